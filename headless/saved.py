"""Workflows as the editor saves them, made into prompts in the API format.

The editor itself does this when a workflow is queued. Here it is done for what workflows mostly
are: nodes, links, reroutes, primitives, muted and bypassed nodes. Subgraphs and group nodes are
refused by name, because only the editor unfolds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import InputError, NodesMissing
from .messages import Prompt

MUTED, BYPASSED = 2, 4
NOTES = ("Note", "MarkdownNote")
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
CONTROL = ("fixed", "increment", "decrement", "randomize")


def to_prompt(saved: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    """The prompt that the editor would queue for a saved workflow.

    object_info  the server's description of its nodes, which orders the widgets' values

    Raises InputError for what only the editor can unfold, NodesMissing for unknown nodes.
    """
    try:
        return _Graph(saved, object_info).prompt()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        kind = type(error).__name__
        raise InputError(
            f"the workflow is not as the editor saves it ({kind}: {error}); "
            "export it with File > Export (API)"
        ) from None


class _Graph:
    def __init__(self, saved: dict[str, Any], object_info: dict[str, Any]) -> None:
        self.info = object_info
        self.nodes = {node["id"]: node for node in saved["nodes"]}
        definitions = saved.get("definitions") or {}
        self.folded = {graph["id"] for graph in definitions.get("subgraphs") or ()}
        # A link is [id, from node, from slot, to node, to slot, type], or an object of these.
        self.links: dict[Any, tuple[Any, int]] = {}
        for link in saved.get("links") or ():
            if isinstance(link, dict):
                self.links[link["id"]] = (link["origin_id"], link["origin_slot"])
            else:
                self.links[link[0]] = (link[1], link[2])

    def prompt(self) -> Prompt:
        prompt: Prompt = {}
        for key, node in self.nodes.items():
            kind = node["type"]
            skipped = node.get("mode", 0) in (MUTED, BYPASSED)
            if skipped or kind in (*NOTES, "Reroute", "PrimitiveNode"):
                continue
            if kind in self.folded or kind.startswith("workflow"):
                name = node.get("title") or kind
                raise InputError(
                    f"{name!r} is a subgraph or group, which only the editor unfolds; "
                    "export the workflow with File > Export (API)"
                )
            if kind not in self.info:
                raise NodesMissing(f"the server has no node {kind}; install its pack there")
            prompt[str(key)] = {
                "class_type": kind,
                "inputs": self.inputs(node),
                "_meta": {"title": node.get("title") or self.info[kind].get("display_name", kind)},
            }
        if not prompt:
            raise InputError("the workflow has no nodes that can run")
        return prompt

    def inputs(self, node: dict[str, Any]) -> dict[str, Any]:
        found = dict(self.widgets(node))
        for slot in node.get("inputs") or ():
            if slot.get("link") is None:
                continue
            origin = self.origin(slot["link"])
            if origin is not None:
                found[slot["name"]] = origin
        return found

    def widgets(self, node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Names and values of a node's widgets, which are saved by their order alone."""
        values = node.get("widgets_values") or []
        if isinstance(values, dict):
            yield from ((k, v) for k, v in values.items() if k in dict(self.declared(node)))
            return
        place = 0
        for name, options in self.declared(node):
            if place >= len(values):  # an input that is newer than the workflow
                if "default" in options:
                    yield name, options["default"]
                continue
            yield name, values[place]
            place += 1
            # The editor's own widget under a seed, which says what to do with it after a run.
            controlled = options.get("control_after_generate") or name in ("seed", "noise_seed")
            if controlled and place < len(values) and values[place] in CONTROL:
                place += 1

    def declared(self, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The inputs of a node that have a widget, in order, with their options."""
        groups = self.info[node["type"]]["input"]
        for group in ("required", "optional"):
            for name, (kind, *rest) in (groups.get(group) or {}).items():
                options = rest[0] if rest and isinstance(rest[0], dict) else {}
                widget = isinstance(kind, list) or kind in WIDGETS
                if widget and not options.get("forceInput") and not options.get("socketless"):
                    yield name, options

    def origin(self, link: Any) -> Any:
        """What a link brings: [node, slot], the value of a primitive, or None for nothing."""
        key, slot = self.links[link]
        node = self.nodes[key]
        kind, mode = node["type"], node.get("mode", 0)
        if mode == MUTED:
            return None
        if kind == "PrimitiveNode":
            return node["widgets_values"][0]
        if kind == "Reroute" or mode == BYPASSED:
            # Through to the first input of the same type, the one in the same place preferred.
            inputs = node.get("inputs") or []
            wanted = node["outputs"][slot]["type"]
            order = [*inputs[slot : slot + 1], *inputs]
            for entry in order:
                same = kind == "Reroute" or entry["type"] == wanted
                if same and entry.get("link") is not None:
                    return self.origin(entry["link"])
            return None
        return [str(key), slot]
