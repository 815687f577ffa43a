"""Makes workflows/ from workflows/api/: python -m instruct_pix2pix.tests.browser.templates

The prompts in workflows/api/ are written by hand; LAYOUTS says how each is shown. The editor itself
opens a prompt and saves it as a template, which is then run: `<Title>.json` and `<Title>.jpg`.
Titles may follow the command, to make these only.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

from instruct_pix2pix.edits.settings import BUILT_IN
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.names import slug
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.headless.workflow import load_prompt, patched
from PIL import Image, ImageOps
from playwright.sync_api import Page

from .editor import chromium, open_editor
from .layouts import LAYOUTS, NOTE, Layout
from .stand_ins import MODELS, write_stand_ins

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
CORE = {"cnr_id": "comfy-core", "ver": "0.3.75"}
OURS = {"cnr_id": "instruct-pix2pix", "ver": "0.1.0"}
PICTURE = (340, 400)
# The rest are as wide as COLUMN and as high as their widgets need.
SIZES = {
    "PreviewImage": PICTURE,
    "SaveImage": PICTURE,
    "LoadImage": PICTURE,
    "MaskPreview": PICTURE,
    "IP2PEncodeInstruction": (400, 210),
    "IP2PLoadCheckpoint": (400, 0),
    "IP2PTrain": (400, 0),
    "ControlNetLoader": (400, 0),
}
COLUMN, TITLE, GAP = 340, 30, 30
# A node that samples grows by this much, over those below, to show its live preview.
PREVIEW = 220
SAMPLING = {
    *("IP2PKSampler", "IP2PGuidanceGrid", "IP2PAutoGuidance", "IP2PEditChain"),
    "SamplerCustomAdvanced",
}

# Opens a prompt, takes node 0 for the note, and gives each node its place.
LOAD = """async ([prompt, note, properties]) => {
    await app.loadApiJson(prompt, "template")
    const markdown = LiteGraph.createNode("MarkdownNote")
    markdown.title = "Note"
    app.graph.add(markdown)
    markdown.widgets[0].value = note
    for (const node of app.graph.nodes) {
        Object.assign(node.properties, properties[node.id])
        const control = node.widgets?.find((widget) => widget.name === "control_after_generate")
        if (control) control.value = "fixed"
    }
    return app.graph.nodes.map((node) => [node.id, node.type, node.computeSize()[1]])
}"""
SAVE = """([boxes, groups]) => {
    for (const node of app.graph.nodes) {
        const [x, y, width, height] = boxes[node.id]
        node.pos = [x, y]
        node.setSize([width, height])
    }
    for (const [title, bounding] of groups) {
        const group = new LiteGraph.LGraphGroup(title)
        group.pos = bounding.slice(0, 2)
        group.size = bounding.slice(2)
        app.graph.add(group)
    }
    app.canvas.ds.reset()
    return JSON.stringify(app.graph.serialize({sortNodes: true}))
}"""


def save_template(page: Page, title: str, layout: Layout) -> dict[str, Any]:
    """The template as the editor saves it."""
    saved = arranged(page, load_prompt(api_file(title)), layout)
    saved["id"] = stable_id(title)
    # The editor fits a workflow without a view of its own into the window.
    saved["extra"].pop("ds", None)
    return saved


def arranged(page: Page, prompt: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """A prompt with numbers for ids as the editor saves it, laid out."""
    properties: dict[str, dict[str, Any]] = {
        key: dict(OURS if node["class_type"].startswith("IP2P") else CORE)
        for key, node in prompt.items()
    }
    for key, node in prompt.items():
        needed = [file for file in MODELS if file["name"] in node["inputs"].values()]
        if needed:
            properties[key]["models"] = needed
    made = page.evaluate(LOAD, [prompt, layout.note, properties])
    note = max(key for key, _, _ in made)
    sizes: dict[int, tuple[float, float]] = {}
    for key, kind, needed in made:
        width, height = SIZES.get(kind, (COLUMN, 0))
        sizes[key] = (width, max(height, needed + PREVIEW * (kind in SAMPLING)))
    del sizes[note]
    sizes[NOTE] = (400, note_height(layout.note))
    boxes, groups = placed(layout, sizes)
    boxes[note] = boxes.pop(NOTE)
    saved: dict[str, Any] = json.loads(page.evaluate(SAVE, [boxes, groups]))
    return saved


def note_height(note: str) -> float:
    """Room for Markdown in a note as wide as 400: 60 letters a line, and a line between blocks."""
    lines = sum(len(line) // 60 + 1 for line in note.splitlines())
    return max(220, 40 + 13 * lines)


def stable_id(name: str) -> str:
    """A UUID that is the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"instruct-pix2pix/{name}"))


def placed(
    layout: Layout, sizes: dict[int, tuple[float, float]]
) -> tuple[dict[int, list[float]], list[tuple[str, list[float]]]]:
    """Boxes [x, y, width, height] of the nodes by id, and of the groups."""
    boxes: dict[int, list[float]] = {}
    groups: list[tuple[str, list[float]]] = []
    x = 0.0
    for title, columns in layout.groups:
        left, bottom = x, 0.0
        x += GAP
        for column in columns:
            width = max(sizes[key][0] for key in column)
            y = 2.0 * TITLE + GAP
            for key in column:
                boxes[key] = [x, y, width, sizes[key][1]]
                y += sizes[key][1] + TITLE + GAP
            bottom = max(bottom, y - TITLE)
            x += width + GAP
        groups.append((title, [left, 0.0, x - left, bottom]))
        x += GAP
    return boxes, groups


async def pictures(server: PrivateServer, title: str) -> tuple[bytes, list[bytes]]:
    """The source and the results of running a template's prompt with the built-in model."""
    prompt = patched(load_prompt(api_file(title)), {"Model.checkpoint": BUILT_IN})
    async with Client(server.url) as client:
        await client.ready()
        titles = {node["_meta"]["title"]: key for key, node in prompt.items()}
        source = titles.get("Source", "")  # what teaches has pairs, and shows them as Before
        if source and prompt[source]["class_type"] == "LoadImage":
            sample = load_prompt(api_file("Weather - sunny to cloudy"))["2"]
            prompt[source] = {**sample, "inputs": {**sample["inputs"], "seed": 1}}
        shown = [node["inputs"]["images"] for node in prompt.values() if is_before(node)]
        prompt["source"] = {
            "class_type": "PreviewImage",
            "inputs": {"images": shown[0] if shown else [source, 0]},
            "_meta": {"title": "The source"},
        }
        result = await client.run(prompt)
        with tempfile.TemporaryDirectory() as folder:
            before, results = b"", []
            for made in result.outputs:
                await client.save(made.file, Path(folder) / "picture.png")
                picture = (Path(folder) / "picture.png").read_bytes()
                if made.title == "The source":
                    before = picture
                elif made.title.startswith("Result"):
                    results.append(picture)
    return before, results


def is_before(node: dict[str, Any]) -> bool:
    return bool(node["_meta"]["title"] == "Before")


def thumbnail(before: bytes, results: list[bytes], side: int = 512) -> Image.Image:
    """One result: half of the source beside half of the edit. More: four of them, or the source
    and three. A result of another size than the source is a sheet, and shown as it is."""
    opened = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in (before, *results)]
    if opened[1].size != opened[0].size:
        return ImageOps.pad(opened[1], (side, side), color="white")
    source, *edits = (picture.resize((side, side), Image.Resampling.LANCZOS) for picture in opened)
    if len(edits) == 3:
        edits.insert(0, source)
    if len(edits) == 1:
        half = side // 2
        sheet = edits[0]
        sheet.paste(source.crop((0, 0, half, side)), (0, 0))
        sheet.paste("white", (half - 2, 0, half + 2, side))
        return sheet
    sheet = Image.new("RGB", (side, side), "white")
    cell = side // 2 - 2
    for number, edit in enumerate(edits[:4]):
        at = (number % 2 * (cell + 4), number // 2 * (cell + 4))
        sheet.paste(edit.resize((cell, cell), Image.Resampling.LANCZOS), at)
    return sheet


def api_file(title: str) -> Path:
    """The prompt of a template."""
    return WORKFLOWS / "api" / f"{slug(title)}.json"


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
        for title in titles:
            sheet = thumbnail(*asyncio.run(pictures(server, title)))
            sheet.save(WORKFLOWS / f"{title}.jpg", quality=88, optimize=True)
    finally:
        server.stop()
        models.cleanup()


if __name__ == "__main__":
    main()
