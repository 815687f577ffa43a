"""Makes workflows/*.json from workflows/api/: python -m instruct_pix2pix.tests.browser.templates

twins.py writes the prompts in workflows/api/; LAYOUTS says how each is shown. The editor itself
opens a prompt and saves it as a template. Titles may follow the command, to make these only.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.headless.workflow import load_prompt
from playwright.sync_api import Page

from .editor import chromium, open_editor
from .layouts import LAYOUTS, NEEDS, NOTE, Layout
from .stand_ins import MODELS, write_stand_ins

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
CORE = {"cnr_id": "comfy-core", "ver": "0.3.75"}
OURS = {"cnr_id": "instruct-pix2pix", "ver": "0.1.0"}
# Widths and heights; other nodes are as wide as COLUMN and as high as their widgets need.
SIZES = {
    "LoadImage": (290, 340),
    "PreviewImage": (290, 300),
    "SaveImage": (380, 440),
    "PreviewAny": (380, 220),
    "IP2PEncodeInstruction": (330, 180),
    "IP2PPreset": (330, 0),
}
SHEET = (460, 520)  # a result that is many pictures in one
COLUMN, NOTE_WIDTH, TITLE, GAP = 290, 330, 30, 20
BETWEEN = 64  # columns of a group: room for links that go up and down
# As the editor opens it, in a window of any size: at half the size letters cannot be read.
VIEW = {"scale": 0.7, "offset": [125.0, 195.0]}

# Opens a prompt and puts a note of the name NOTE beside it.
LOAD = """async ([prompt, note, width, properties, control]) => {
    await app.loadApiJson(prompt, "template")
    const markdown = LiteGraph.createNode("MarkdownNote")
    app.graph.add(markdown)
    markdown.title = "Note"
    markdown.widgets[0].value = note
    markdown.pos = [0, 0]
    markdown.setSize([width, 100])
    for (const node of app.graph.nodes) {
        Object.assign(node.properties, properties[node.title])
        const after = node.widgets?.find((widget) => widget.name === "control_after_generate")
        if (after) after.value = control
    }
    app.canvas.ds.reset()
    app.canvas.setDirty(true, true)
    return app.graph.nodes.map((node) => [node.title, node.type, node.computeSize()[1]])
}"""
# How high the text of the note is, once it is drawn.
TEXT = """() => {
    const box = app.graph.nodes.find((node) => node.type === "MarkdownNote").widgets[0].element
    const parts = [...(box.querySelector(".tiptap") ?? box).children]
    return Math.max(0, ...parts.map((part) => part.offsetTop + part.offsetHeight))
}"""
SAVE = """([boxes, groups]) => {
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = boxes[node.title]
        node.pos = [x, y]
        node.setSize([width, height])
    }
    for (const [title, bounding] of groups) {
        const group = new LiteGraph.LGraphGroup(title)
        group.pos = bounding.slice(0, 2)
        group.size = bounding.slice(2)
        app.graph.add(group)
    }
    app.canvas.draw(true, true)
    const ends = {}
    for (const node of app.graph.nodes) {
        node.outputs?.forEach((slot, index) => slot.links?.forEach((id) => {
            ends[id] = [...(ends[id] ?? []), node.id, ...node.getConnectionPos(false, index)]
        }))
    }
    for (const node of app.graph.nodes) {
        node.inputs?.forEach((slot, index) => {
            if (slot.link != null) ends[slot.link].push(
                node.id, ...node.getConnectionPos(true, index))
        })
    }
    const titles = app.graph.nodes.map((node) => [node.id, node.title])
    return [JSON.stringify(app.graph.serialize({sortNodes: true})), ends, titles]
}"""


def save_template(page: Page, title: str, layout: Layout) -> dict[str, Any]:
    """The template as the editor saves it."""
    saved = arranged(page, load_prompt(api_file(title)), layout)
    saved["id"] = stable_id(title)
    saved["extra"]["ds"] = VIEW
    if layout.form:
        ids = {node.get("title"): node["id"] for node in saved["nodes"]}
        # Without `linearMode`, which older editors obey though they know no form.
        saved["extra"]["linearData"] = {
            "inputs": [[ids[node], widget] for node, widget in layout.form],
            "outputs": [ids["Result"]],
        }
    return saved


def arranged(page: Page, prompt: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """A prompt with numbers for ids as the editor saves it, laid out."""
    properties: dict[str, dict[str, Any]] = {}
    for made in prompt.values():
        ours = made["class_type"].startswith("IP2P")
        own = properties[made["_meta"]["title"]] = dict(OURS if ours else CORE)
        if needed := [file for file in MODELS if file["name"] in made["inputs"].values()]:
            own["models"] = needed
    note = layout.note + NEEDS
    control = "fixed" if layout.compared else "randomize"
    made = page.evaluate(LOAD, [prompt, note, NOTE_WIDTH, properties, control])
    sizes: dict[str, tuple[float, float]] = {}
    for title, kind, needed in made:
        width, height = SIZES.get(kind, (COLUMN, 0))
        if title.startswith("Result") and "Grid" in [name for name, _, _ in made]:
            width, height = SHEET
        sizes[title] = (width, max(height, needed))
    page.wait_for_function(TEXT)
    sizes[NOTE] = (NOTE_WIDTH, page.evaluate(TEXT) + 40)
    boxes, groups = placed(layout, sizes)
    text, ends, titles = page.evaluate(SAVE, [boxes, groups])
    saved: dict[str, Any] = json.loads(text)
    saved["extra"] |= routed(ends, {key: boxes[title] for key, title in titles})
    return saved


def stable_id(name: str) -> str:
    """A UUID that is the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"instruct-pix2pix/{name}"))


def placed(
    layout: Layout, sizes: dict[str, tuple[float, float]]
) -> tuple[dict[str, list[float]], list[tuple[str, list[float]]]]:
    """Boxes [x, y, width, height] of the nodes by title, and of the groups, all equally high."""
    boxes: dict[str, list[float]] = {}
    places: list[tuple[str, float, float]] = []
    x = bottom = 0.0
    for title, columns in layout.groups:
        left = x
        x += GAP
        for column in columns:
            width = max(sizes[name][0] for name in column)
            y = 2.0 * TITLE + GAP
            for name in column:
                boxes[name] = [x, y, width, sizes[name][1]]
                y += sizes[name][1] + TITLE + GAP
            bottom = max(bottom, y - TITLE)
            x += width + BETWEEN
        places.append((title, left, x - BETWEEN + GAP - left))
        x += 2 * GAP + 16 - BETWEEN
    return boxes, [(title, [left, 0.0, width, bottom]) for title, left, width in places]


def routed(
    ends: dict[str, list[float]], boxes: dict[int, list[float]]
) -> dict[str, list[dict[str, Any]]]:
    """Points through which the links go that would otherwise run under a node.

    ends  of each link: id of the node that it leaves, x, y; id of the node that it enters, x, y

    Such a link goes down to a line of its own below all nodes, one for each output, and up again
    beside the node that it enters.
    """
    bottom = max(y + height for _, y, _, height in boxes.values())
    lanes: dict[tuple[float, float], float] = {}
    points: list[dict[str, Any]] = []
    extensions = []
    for link, (first, x1, y1, last, x2, y2) in ends.items():
        others = [box for key, box in boxes.items() if key not in (first, last)]
        if not any(crosses(x1, y1, x2, y2, box) for box in others):
            continue
        lane = lanes.setdefault((x1, y1), bottom + GAP + 12 + 10 * len(lanes))
        x, _, width, _ = boxes[int(first)]
        down, up = x + width + 26, x2 - 34
        for place in ([down, y1], [down, lane], [up, lane], [up, y2]):
            point = {"id": len(points) + 1, "pos": place, "linkIds": [int(link)]}
            if place != [down, y1]:
                point["parentId"] = len(points)
            points.append(point)
        extensions.append({"id": int(link), "parentId": len(points)})
    return {"reroutes": points, "linkExtensions": extensions} if points else {}


def crosses(x1: float, y1: float, x2: float, y2: float, box: list[float]) -> bool:
    """Whether the curve that the editor draws from one point to the other meets the box."""
    x, y, width, height = box
    bend = 0.25 * math.hypot(x2 - x1, y2 - y1)
    for step in range(101):
        t = step / 100
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        px = a * x1 + b * (x1 + bend) + c * (x2 - bend) + d * x2
        py = (a + b) * y1 + (c + d) * y2
        if x - 4 <= px <= x + width + 4 and y - TITLE - 4 <= py <= y + height + 4:
            return True
    return False


def saved(title: str) -> dict[str, Any]:
    """The template as its file has it."""
    workflow: dict[str, Any] = json.loads((WORKFLOWS / f"{title}.json").read_text(encoding="utf-8"))
    return workflow


def api_file(title: str) -> Path:
    """The prompt of a template."""
    return WORKFLOWS / "api" / f"{LAYOUTS[title].twin}.json"


def main() -> None:
    titles = sys.argv[1:] or list(LAYOUTS)
    models = tempfile.TemporaryDirectory()
    server = PrivateServer(arguments=write_stand_ins(Path(models.name)))
    try:
        asyncio.run(server.start())
        with chromium() as browser:
            page = browser.new_page()
            open_editor(page, server.url)
            for title in titles:
                saved = save_template(page, title, LAYOUTS[title])
                text = json.dumps(saved, indent=2)
                (WORKFLOWS / f"{title}.json").write_text(text + "\n", encoding="utf-8")
    finally:
        server.stop()
        models.cleanup()


if __name__ == "__main__":
    main()
