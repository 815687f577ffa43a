"""Makes subgraphs/: python -m instruct_pix2pix.tests.browser.blueprint

The editor offers it as one node, with the whole graph of an edit inside. That graph is the one of
`ip2p edit`, arranged and saved by the editor; here it gets its inputs, its output and its box.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from instruct_pix2pix.edits.prompt import edit_prompt
from instruct_pix2pix.headless.server import PrivateServer
from playwright.sync_api import Page

from .editor import chromium, open_editor
from .layouts import NOTE, Layout
from .templates import COLUMN, GAP, OURS, arranged, stable_id
from .twins import IMAGE_CFG, TEXT_CFG, find_region, numbered

NAME = "InstructPix2Pix - edit by instruction"
FILE = Path(__file__).resolve().parents[2] / "subgraphs" / f"{NAME}.json"
TEXT = (
    "Edits a picture of any size by an order such as 'make it snow', with an InstructPix2Pix "
    "checkpoint or the built-in ip2p-mini, which knows drawn scenes only. What the order does not "
    "touch stays as it is, and so does all outside of a mask. More of the edit: raise text_cfg or "
    "lower image_cfg; less: the other way round. The usual scales are 7.5 and 1.5; those shown "
    "suit ip2p-mini."
)
ALIASES = ["pix2pix", "instruct", "ip2p", "edit", "edit by text", "image edit"]
# What stands on the box: a socket, and the node and input that it leads to; or a widget, and its
# node. Widgets are shown and not made sockets of, since a socket has no default value to show.
SOCKETS = {"image": ("Encode source", "image"), "mask": ("Encode source", "mask")}
WIDGETS = {
    "instruction": "Instruction",
    "checkpoint": "Model",
    "text_cfg": "Sampler",
    "image_cfg": "Sampler",
    "seed": "Sampler",
    "steps": "Sampler",
}
GROUPS = (
    ("Model", [["Model"]]),
    ("What to change", [["Instruction", "Encode source"]]),
    ("Edit", [["Sampler"], ["Find the region", "Decode", "Restore"]]),
)
INSIDE = {title for _, columns in GROUPS for column in columns for title in column}
LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
# As the editor numbers the two ends of a subgraph.
INPUT, OUTPUT = -10, -20


def blueprint(page: Page) -> dict[str, Any]:
    """The workflow of one box, and the graph inside."""
    scales = {"text_cfg": TEXT_CFG, "image_cfg": IMAGE_CFG}
    edit = edit_prompt("photo.png", "make it snow", mask="mask.png", **scales)
    prompt = numbered(find_region(edit))
    ids = {node["_meta"]["title"]: int(key) for key, node in prompt.items()}
    outside = [[title for title in ids if title not in INSIDE], [NOTE]]
    saved = arranged(page, prompt, Layout("", "", (*GROUPS, ("Outside", outside))))
    nodes = {node["title"]: node for node in saved["nodes"] if node.get("title") in INSIDE}
    links, reroutes = inner_links(saved, nodes)

    def connect(*ends: Any) -> int:
        number = max(link["id"] for link in links) + 1
        links.append(dict(zip(LINK, (number, *ends), strict=True)))
        return number

    inputs: list[dict[str, Any]] = []
    for position, (name, (title, wanted)) in enumerate(SOCKETS.items()):
        slots = nodes[title]["inputs"]
        index = [slot["name"] for slot in slots].index(wanted)
        kind = slots[index]["type"]
        link = slots[index]["link"] = connect(INPUT, position, nodes[title]["id"], index, kind)
        identity = stable_id(f"{NAME}/{name}")
        inputs.append({"id": identity, "name": name, "type": kind, "linkIds": [link]})
    last = connect(ids["Restore"], 0, OUTPUT, 0, "IMAGE")
    nodes["Restore"]["outputs"][0]["links"] = [last]
    groups = saved["groups"][:-1]
    right = max(group["bounding"][0] + group["bounding"][2] for group in groups)
    definition = {
        "id": stable_id(NAME),
        "version": 1,
        "state": {
            "lastGroupId": len(groups),
            "lastNodeId": max(node["id"] for node in nodes.values()),
            "lastLinkId": last,
            "lastRerouteId": max((point["id"] for point in reroutes), default=0),
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": INPUT, "bounding": [-120 - 2 * GAP, 0, 120, 80]},
        "outputNode": {"id": OUTPUT, "bounding": [right + 2 * GAP, 0, 120, 60]},
        "inputs": inputs,
        "outputs": [
            {"id": stable_id(f"{NAME}/out"), "name": "image", "type": "IMAGE", "linkIds": [last]}
        ],
        "widgets": [],
        "nodes": list(nodes.values()),
        "groups": groups,
        "links": links,
        "reroutes": reroutes,
        "extra": {},
        "category": "InstructPix2Pix",
        "description": TEXT,
    }
    shown = [[str(ids[title]), name] for name, title in WIDGETS.items()]
    return {
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [box(definition, shown)],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [definition]},
        "extra": {"BlueprintDescription": TEXT, "BlueprintSearchAliases": ALIASES},
    }


def inner_links(
    saved: dict[str, Any], nodes: dict[str, dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The links between these nodes and their points, of which the nodes keep no others."""
    inner = {node["id"] for node in nodes.values()}
    links = [dict(zip(LINK, link, strict=True)) for link in saved["links"]]
    links = [link for link in links if {link["origin_id"], link["target_id"]} <= inner]
    kept = {link["id"] for link in links}
    for node in nodes.values():
        for slot in node["inputs"]:
            slot["link"] = slot["link"] if slot["link"] in kept else None
        for slot in node["outputs"]:
            slot["links"] = [link for link in slot["links"] or [] if link in kept]
    points = {entry["id"]: entry["parentId"] for entry in saved["extra"].get("linkExtensions", ())}
    for link in links:
        if link["id"] in points:
            link["parentId"] = points[link["id"]]
    reroutes = [p for p in saved["extra"].get("reroutes", ()) if set(p["linkIds"]) <= kept]
    return links, reroutes


def box(definition: dict[str, Any], shown: list[list[str]]) -> dict[str, Any]:
    """The one node, with the widgets `shown`: of each the id of its node and its name."""
    return {
        "id": 1,
        "type": definition["id"],
        "pos": [0, 0],
        "size": [COLUMN, 300],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [
            {"name": slot["name"], "type": slot["type"], "link": None}
            for slot in definition["inputs"]
        ],
        "outputs": [{"name": "image", "type": "IMAGE", "links": []}],
        "title": NAME,
        "properties": {**OURS, "proxyWidgets": shown},
        "widgets_values": [],
    }


def save(page: Page) -> None:
    """Write FILE with an editor that is open."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(blueprint(page), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    server = PrivateServer()
    try:
        asyncio.run(server.start())
        with chromium() as browser:
            page = browser.new_page()
            open_editor(page, server.url)
            save(page)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
