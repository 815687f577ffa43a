"""Workflows as the editor saves them, made into prompts in the API format.

The editor itself does this when a workflow is queued: it unfolds subgraphs, follows links through
reroutes, Get and Set, and bypassed nodes, and names the values of widgets. What cannot be read with
certainty is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .client import Client
from .errors import InputError, NodesMissing
from .messages import Prompt
from .widgets import specs_of, widget_values, wrapped

MUTED, BYPASSED = 2, 4
NOTES = {"Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"}
# Buttons that mute and bypass others in the editor; the modes that they set are saved.
SWITCHES = {
    *("Fast Muter (rgthree)", "Fast Bypasser (rgthree)", "Fast Groups Muter (rgthree)"),
    *("Fast Groups Bypasser (rgthree)", "Fast Actions Button (rgthree)"),
    *("Node Collector (rgthree)", "Mute / Bypass Repeater (rgthree)"),
    *("Mute / Bypass Relay (rgthree)", "Random Unmuter (rgthree)"),
}
SETTERS, GETTERS = {"SetNode", "easy setNode"}, {"GetNode", "easy getNode"}
# Their links are nowhere in the file.
EVERYWHERE = ("Anything Everywhere", "Prompts Everywhere", "Seed Everywhere")
INPUT_SIDE, OUTPUT_SIDE = -10, -20  # the ids of a subgraph's own two ends
EXPORT = "export the workflow with File > Export (API)"


def to_prompt(saved: dict[str, Any], object_info: dict[str, Any]) -> Prompt:
    """The prompt that the editor would queue for a saved workflow.

    object_info  the server's description of its nodes

    Raises InputError for what only the editor can tell, NodesMissing for unknown nodes.
    """
    try:
        definitions = (saved.get("definitions") or {}).get("subgraphs") or ()
        folded = {graph["id"]: graph for graph in definitions}
        prompt = dict(_Scope(saved, folded, object_info).nodes_that_run())
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        kind = type(error).__name__
        raise InputError(
            f"the workflow is not as the editor saves it ({kind}: {error}); {EXPORT}"
        ) from None
    if not prompt:
        raise InputError("the workflow has no nodes that can run")
    return prompt


async def as_prompt(client: Client, saved: dict[str, Any]) -> Prompt:
    """`to_prompt`, by the nodes that the client's server has."""
    await client.ready()
    return to_prompt(saved, await client.server.object_info())


class _Scope:
    """The nodes of a workflow, or those of one box that stands for a subgraph.

    outer, box  for a subgraph: the scope around it, and the node that it is there
    """

    def __init__(
        self,
        graph: dict[str, Any],
        folded: dict[str, dict[str, Any]],
        info: dict[str, Any],
        outer: _Scope | None = None,
        box: dict[str, Any] | None = None,
        prefix: str = "",
    ) -> None:
        self.graph, self.folded, self.info = graph, folded, info
        self.outer, self.box, self.prefix = outer, box, prefix
        self.nodes = {node["id"]: node for node in graph["nodes"]}
        # A link is [id, from node, from slot, to node, to slot, type], or an object of these.
        self.links: dict[Any, tuple[Any, int]] = {}
        self.ends: dict[int, Any] = {}  # of a subgraph: the link at each of its outputs
        for link in graph.get("links") or ():
            if isinstance(link, dict):
                key, origin = link["id"], (link["origin_id"], link["origin_slot"])
                target = link["target_id"], link["target_slot"]
            else:
                key, origin, target = link[0], (link[1], link[2]), (link[3], link[4])
            self.links[key] = origin
            if target[0] == OUTPUT_SIDE:
                self.ends[target[1]] = key

    def inside(self, box: dict[str, Any]) -> _Scope:
        prefix = f"{self.prefix}{box['id']}:"
        return _Scope(self.folded[box["type"]], self.folded, self.info, self, box, prefix)

    def nodes_that_run(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, node in self.nodes.items():
            kind = node["type"]
            if node.get("mode", 0) in (MUTED, BYPASSED) or is_of_the_editor(node, self.info):
                continue
            if kind in self.folded:
                yield from self.inside(node).nodes_that_run()
                continue
            self.refuse_what_only_the_editor_knows(node)
            title = node.get("title") or self.info[kind].get("display_name") or kind
            described = {"class_type": kind, "inputs": self.inputs(node, title)}
            yield f"{self.prefix}{key}", {**described, "_meta": {"title": title}}

    def refuse_what_only_the_editor_knows(self, node: dict[str, Any]) -> None:
        kind = node["type"]
        name = node.get("title") or kind
        if kind.startswith(("workflow/", "workflow>")):
            raise InputError(
                f"{name!r} is a group node, which newer editors have no more; open the workflow "
                f"in the editor, convert it to a subgraph, or {EXPORT}"
            )
        if kind.startswith(EVERYWHERE):
            raise InputError(f"{name!r} links nodes in a way that is not saved; {EXPORT}")
        if kind not in self.info:
            pack = (node.get("properties") or {}).get("cnr_id")
            which = f"the pack {pack}" if pack else "its pack"
            raise NodesMissing(f"the server has no node {kind}; install {which} there")

    def inputs(self, node: dict[str, Any], title: str) -> dict[str, Any]:
        described = self.info[node["type"]]
        found = widget_values(node, described, title)
        specs = {spec.name: spec for spec in specs_of(described["input"])}
        for slot in node.get("inputs") or ():
            if slot.get("link") is None:
                continue
            origin = self.origin(slot["link"])
            if origin is None:
                continue
            name = slot["name"]
            if not isinstance(origin, list) and name in specs and not specs[name].fits(origin):
                raise InputError(
                    f"{title}.{name}: {str(origin)[:80]!r} is saved for it, which is no "
                    f"{specs[name].kind}; {EXPORT}"
                )
            found[name] = origin
        return found

    def origin(self, link: Any) -> Any:
        """What a link brings: [node, slot], the value of a widget, or None for nothing."""
        if link not in self.links:
            return None  # the editor drops such a link, too
        key, slot = self.links[link]
        if key == INPUT_SIDE:
            return self.from_outside(slot)
        node = self.nodes[key]
        kind, mode = node["type"], node.get("mode", 0)
        if mode == MUTED:
            return None
        if kind == "PrimitiveNode":
            return wrapped(node["widgets_values"][0])
        if kind in GETTERS:
            return self.from_setter(node)
        if mode == BYPASSED or is_reroute(node, self.info):
            return self.through(node, slot)
        if kind in SETTERS:
            return self.first_linked(node)
        if kind in self.folded:
            scope = self.inside(node)
            return scope.origin(scope.ends[slot]) if slot in scope.ends else None
        return [f"{self.prefix}{key}", slot]

    def from_outside(self, slot: int) -> Any:
        """What comes into a subgraph by one of its inputs: a link, or the value on its box."""
        assert self.outer and self.box
        name = self.graph["inputs"][slot]["name"]
        for entry in self.box.get("inputs") or ():
            if entry["name"] == name and entry.get("link") in self.outer.links:
                return self.outer.origin(entry["link"])
        named = self.box.get("widgets_values_named")
        if isinstance(named, dict):
            return wrapped(named.get(name))
        shown = [entry["name"] for entry in self.graph["inputs"] if self.has_widget(entry)]
        values = self.box.get("widgets_values") or []
        if name not in shown or shown.index(name) >= len(values):
            return None  # then the value inside counts
        return wrapped(values[shown.index(name)])

    def has_widget(self, entry: dict[str, Any]) -> bool:
        """Whether an input of this subgraph is a widget on its box: what it leads to has one."""
        for link in self.graph.get("links") or ():
            if link["id"] not in (entry.get("linkIds") or ()):
                continue
            target = self.nodes.get(link["target_id"])
            slots = (target or {}).get("inputs") or []
            if target is None or link["target_slot"] >= len(slots):
                continue
            slot = slots[link["target_slot"]]
            if target["type"] in self.folded:
                inner = self.inside(target)
                found = (e for e in inner.graph["inputs"] if e["name"] == slot["name"])
                if any(inner.has_widget(e) for e in found):
                    return True
            elif slot.get("widget"):
                return True
        return False

    def from_setter(self, getter: dict[str, Any]) -> Any:
        """What a Set node of the same name, here or further out, was given."""
        name = getter["widgets_values"][0]
        scope: _Scope | None = self
        while scope:
            for node in scope.nodes.values():
                if node["type"] in SETTERS and (node.get("widgets_values") or [None])[0] == name:
                    return scope.first_linked(node)
            scope = scope.outer
        raise InputError(f"a Get node asks for {name!r}, which no Set node sets; {EXPORT}")

    def first_linked(self, node: dict[str, Any]) -> Any:
        links = (entry.get("link") for entry in node.get("inputs") or ())
        return next((self.origin(link) for link in links if link is not None), None)

    def through(self, node: dict[str, Any], slot: int) -> Any:
        """Through to the first input of the same type, the one in the same place preferred."""
        if is_reroute(node, self.info):
            return self.first_linked(node)
        inputs = node.get("inputs") or []
        wanted = node["outputs"][slot]["type"]
        for exact in (True, False):
            for entry in [*inputs[slot : slot + 1], *inputs]:
                same = entry["type"] == wanted if exact else connects(entry["type"], wanted)
                if same and entry.get("link") is not None:
                    return self.origin(entry["link"])
        return None


def is_reroute(node: dict[str, Any], info: dict[str, Any]) -> bool:
    """Whether a node only leads a link round a corner; packs have such ones of their own."""
    return "reroute" in node["type"].lower() and node["type"] not in info


def is_of_the_editor(node: dict[str, Any], info: dict[str, Any]) -> bool:
    """Whether a node never runs: what it says or leads is all in the file."""
    kind = node["type"]
    known = NOTES | SWITCHES | SETTERS | GETTERS | {"PrimitiveNode"}
    return kind in known or is_reroute(node, info)


def connects(one: Any, other: Any) -> bool:
    """Whether the editor joins two types: alike, any (*), or with one of their names in common."""
    if "*" in (one, other):
        return True
    names = [set(str(kind).lower().split(",")) for kind in (one, other)]
    return bool(names[0] & names[1])
