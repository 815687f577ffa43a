"""What a server says of a prompt that it refuses, in our words.

ComfyUI names the kind of each problem, the input and the value. The sentence here adds what fits
instead; what is not known as a kind keeps the server's words.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator
from typing import Any

from .errors import NodeProblem, NodesMissing, WorkflowRefused
from .inputs import Info, NodeInput, inputs_of, offered, parse_input
from .messages import Prompt, short, title_of

WHOLE = {
    "prompt_outputs_failed_validation": "the server refuses the workflow",
    "prompt_no_outputs": "the workflow saves nothing and shows nothing; add SaveImage",
}
LINK = 'a link is written ["node id", output number]'


def refusal(prompt: Prompt, reply: dict[str, Any], info: Info | None = None) -> WorkflowRefused:
    """The exception for a refused prompt, from `error` and `node_errors` in either dialect.

    info  what the server says of the prompt's nodes; None where it did not say it
    """
    error = reply.get("error")
    if not isinstance(error, dict):  # a bare sentence
        error = {"message": error or "the server refuses a part of the workflow"}
    kind, message = str(error.get("type")), short(error.get("message"), 500)
    if kind == "missing_node_type" or (kind == "invalid_prompt" and "does not exist" in message):
        return nodes_missing(prompt, error, message, info)
    problems = list(problems_of(prompt, reply.get("node_errors"), info or {}))
    if all(problem.kind.startswith(("exception_", "dependency_")) for problem in problems):
        # A link that leads nowhere makes the server's check itself fail.
        problems = list(wrong_links(prompt, info or {})) or problems
    return WorkflowRefused(WHOLE.get(kind, message), tuple(problems))


def nodes_missing(
    prompt: Prompt, error: dict[str, Any], message: str, info: Info | None
) -> NodesMissing:
    """Every node of the prompt that the server does not have."""
    if info is not None:
        missing = {str(described.get("class_type")) for described in prompt.values()} - set(info)
    else:
        extra = error.get("extra_info")
        named = extra.get("class_type") if isinstance(extra, dict) else None
        missing = {short(named)} if named else set()
    if not missing:
        return NodesMissing(message)
    packs = "the pack that has it" if len(missing) == 1 else "the packs that have them"
    return NodesMissing(
        f"the server has no node {', '.join(sorted(missing))}; install {packs} there"
    )


def problems_of(prompt: Prompt, node_errors: Any, info: Info) -> Iterator[NodeProblem]:
    """What is wrong with single inputs. What has not the expected shape is passed over."""
    for node, described in node_errors.items() if isinstance(node_errors, dict) else ():
        listed = described.get("errors") if isinstance(described, dict) else None
        for problem in listed if isinstance(listed, list) else ():
            if isinstance(problem, dict):
                told = short(sentence(prompt, str(node), problem, info), 2000)
                yield NodeProblem(title_of(prompt, str(node)), str(problem.get("type")), told)


def sentence(prompt: Prompt, node: str, problem: dict[str, Any], info: Info) -> str:
    """One problem: the input, what was received, and what fits."""
    extra = problem.get("extra_info")
    extra = extra if isinstance(extra, dict) else {}
    described, title = prompt.get(node, {}), title_of(prompt, node)
    known = known_input(described, extra, info)
    if known is not None:
        value = extra.get("received_value", described.get("inputs", {}).get(known.name))
        if told := what_is_wrong(prompt, problem, known, value, extra.get("received_type")):
            return f"{title}.{known.name}: {told}"
    return f"{title}: {problem.get('message', '')}: {problem.get('details', '')}".strip(": ")


def known_input(described: dict[str, Any], extra: dict[str, Any], info: Info) -> NodeInput | None:
    """What the server says of an input, beside the problem or else of the node."""
    name, config = extra.get("input_name"), extra.get("input_config")
    if not isinstance(name, str):
        return None
    if isinstance(config, list) and config:
        return parse_input(name, *config)
    return inputs_of(info, str(described.get("class_type"))).get(name)


def what_is_wrong(
    prompt: Prompt, problem: dict[str, Any], known: NodeInput, value: Any, received: Any
) -> str:
    """The sentence about an input; empty for a kind of problem that is not known."""
    fits = offered(value, known.choices) if known.type == "COMBO" else ""
    match problem.get("type"):
        case "required_input_missing":
            return f"nothing is given{fits or f'; it takes {known.takes}'}"
        case "bad_linked_input":
            return f"got {short(repr(value))}, which is not a link; {LINK}"
        case "return_type_mismatch":
            linked = value[0] if isinstance(value, list) and value else "?"
            return f"got {short(received)} from {title_of(prompt, str(linked))}; give {known.takes}"
        case "custom_validation_failed":
            said = str(problem.get("details")).partition(" - ")[2]
            also = "" if value in known.choices else fits
            return f"got {short(repr(value))}, which the node refuses{said and f' ({said})'}{also}"
        case "value_not_in_list":
            return f"the server has no {short(repr(value))}{fits}"
        case "invalid_input_type":
            return f"got {short(repr(value))}, which is not {known.takes}"
        case "value_smaller_than_min" | "value_bigger_than_max":
            return f"got {short(repr(value))}; give {known.range}"
    return ""


def wrong_links(prompt: Prompt, info: Info) -> Iterator[NodeProblem]:
    """Links to nodes and outputs that are not there, or nodes that lead in a circle."""
    before: dict[str, set[str]] = {}
    for node, described in prompt.items():
        title = title_of(prompt, node)
        for name, value in described.get("inputs", {}).items():
            if not isinstance(value, list) or len(value) != 2:
                continue
            if value[0] not in list(prompt):
                told = f"{title}.{name}: links to node {short(repr(value[0]))}, which is not there"
                yield NodeProblem(title, "wrong_link", told)
                continue
            before.setdefault(node, set()).add(value[0])
            source = info.get(str(prompt[value[0]].get("class_type")))
            outputs = source.get("output") if isinstance(source, dict) else None
            if isinstance(outputs, list) and value[1] not in range(len(outputs)):
                named = title_of(prompt, value[0])
                told = f"{title}.{name}: links to output {short(repr(value[1]))} of {named}; give "
                told += f"0 to {len(outputs) - 1}" if len(outputs) > 1 else "0"
                yield NodeProblem(title, "wrong_link", told)
    try:
        graphlib.TopologicalSorter(before).prepare()
    except graphlib.CycleError as error:
        circle = [title_of(prompt, node) for node in reversed(error.args[1])]
        told = f"the links lead in a circle, {' -> '.join(circle)}; cut one of them"
        yield NodeProblem(circle[0], "wrong_link", told)
