"""Makes subgraphs/Edit by instruction.json: python -m instruct_pix2pix.tests.browser.blueprint

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

NAME = "Edit by instruction"
FILE = Path(__file__).resolve().parents[2] / "subgraphs" / f"{NAME}.json"
TEXT = (
    "Edits a picture of any size by an order such as 'make it snow', with an InstructPix2Pix "
    "checkpoint or the built-in ip2p-mini, which knows drawn scenes only. A mask keeps the rest as "
    "it is. More of the edit: raise text_cfg or lower image_cfg; less: the other way round."
)
# What stands on the box: a socket or a widget, the nodes inside and their inputs.
SOCKETS = {
    "image": [("Encode source", "image")],
    "mask": [("Encode source", "mask"), ("Restore", "mask")],
}
WIDGETS = {
    "instruction": "Instruction",
    "checkpoint": "Model",
    "text_cfg": "Sampler",
    "image_cfg": "Sampler",
    "seed": "Sampler",
    "steps": "Sampler",
}
INSIDE = ("Model", "Encode source", "Instruction", "Sampler", "Decode", "Restore")
LINK = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
# As the editor numbers the two ends of a subgraph.
INPUT, OUTPUT = -10, -20


def numbered(prompt: dict[str, Any]) -> dict[str, Any]:
    """The prompt with ids 1, 2, 3 ... in its own order."""
    ids = {key: str(number) for number, key in enumerate(prompt, start=1)}
    return {
        ids[key]: {
            **node,
            "inputs": {
                name: [ids[value[0]], value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            },
        }
        for key, node in prompt.items()
    }


def blueprint(page: Page) -> dict[str, Any]:
    """The workflow of one box, and the graph inside."""
    prompt = numbered(edit_prompt("photo.png", "make it snow", mask="mask.png"))
    ids = {node["_meta"]["title"]: int(key) for key, node in prompt.items()}
    outside = [[number for title, number in ids.items() if title not in INSIDE]]
    layout = Layout(
        "",
        (
            ("Model", [[ids["Model"]]]),
            ("What to change", [[ids["Instruction"], ids["Encode source"]]]),
            ("Edit", [[ids["Sampler"], ids["Decode"], ids["Restore"]]]),
            ("Outside", [*outside, [NOTE]]),
        ),
    )
    saved = arranged(page, prompt, layout)
    nodes = {node["title"]: node for node in saved["nodes"] if node.get("title") in INSIDE}
    groups = saved["groups"][:-1]
    links = [dict(zip(LINK, link, strict=True)) for link in saved["links"]]
    inner = {node["id"] for node in nodes.values()}
    links = [link for link in links if {link["origin_id"], link["target_id"]} <= inner]
    kept = {link["id"] for link in links}
    for node in nodes.values():
        for slot in node["inputs"]:
            slot["link"] = slot["link"] if slot["link"] in kept else None
        for slot in node["outputs"]:
            slot["links"] = [link for link in slot["links"] or [] if link in kept]

    def connect(*ends: Any) -> int:
        number = max(link["id"] for link in links) + 1
        links.append(dict(zip(LINK, (number, *ends), strict=True)))
        return number

    inputs: list[dict[str, Any]] = []
    targets = SOCKETS | {name: [(title, name)] for name, title in WIDGETS.items()}
    for position, (name, ends) in enumerate(targets.items()):
        made = []
        for title, wanted in ends:
            slots = nodes[title]["inputs"]
            index = [slot["name"] for slot in slots].index(wanted)
            kind, node = slots[index]["type"], nodes[title]["id"]
            slots[index]["link"] = connect(INPUT, position, node, index, kind)
            made.append(slots[index]["link"])
        slot = {"id": stable_id(f"{NAME}/{name}"), "name": name, "type": kind, "linkIds": made}
        inputs.append(slot)
    last = connect(ids["Restore"], 0, OUTPUT, 0, "IMAGE")
    nodes["Restore"]["outputs"][0]["links"] = [last]
    right = max(group["bounding"][0] + group["bounding"][2] for group in groups)
    high = 20 * len(inputs) + 40
    definition = {
        "id": stable_id(NAME),
        "version": 1,
        "state": {
            "lastGroupId": len(groups),
            "lastNodeId": max(inner),
            "lastLinkId": last,
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "inputNode": {"id": INPUT, "bounding": [-120 - 2 * GAP, 0, 120, high]},
        "outputNode": {"id": OUTPUT, "bounding": [right + 2 * GAP, 0, 120, 60]},
        "inputs": inputs,
        "outputs": [
            {"id": stable_id(f"{NAME}/out"), "name": "image", "type": "IMAGE", "linkIds": [last]}
        ],
        "widgets": [],
        "nodes": list(nodes.values()),
        "groups": groups,
        "links": links,
        "extra": {},
        "category": "InstructPix2Pix",
        "description": TEXT,
    }
    box = {
        "id": 1,
        "type": definition["id"],
        "pos": [0, 0],
        "size": [COLUMN, 340],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [
            {"name": slot["name"], "type": slot["type"], "link": None}
            | ({"widget": {"name": slot["name"]}} if slot["name"] in WIDGETS else {})
            for slot in inputs
        ],
        "outputs": [{"name": "image", "type": "IMAGE", "links": []}],
        "title": NAME,
        "properties": OURS,
        "widgets_values": [],
    }
    return {
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [box],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [definition]},
        "extra": {"BlueprintDescription": TEXT},
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
