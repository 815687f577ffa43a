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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.files import slug
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.headless.workflow import MINI, load_prompt, patched
from PIL import Image, ImageOps
from playwright.sync_api import Page

from .editor import chromium, open_editor

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
CORE = {"cnr_id": "comfy-core", "ver": "0.3.75"}
OURS = {"cnr_id": "instruct-pix2pix", "ver": "0.1.0"}
MODELS = [
    {
        "name": "instruct-pix2pix-00-22000.safetensors",
        "url": "https://huggingface.co/timbrooks/instruct-pix2pix/resolve/main/"
        "instruct-pix2pix-00-22000.safetensors",
        "directory": "checkpoints",
    }
]
PICTURE = (340, 400)
# The rest are as wide as COLUMN and as high as their widgets need.
SIZES = {
    "PreviewImage": PICTURE,
    "SaveImage": PICTURE,
    "LoadImage": PICTURE,
    "MaskPreview": PICTURE,
    "IP2PEncodeInstruction": (400, 210),
    "MarkdownNote": (400, 220),
}
COLUMN, TITLE, GAP = 340, 30, 30
NOTE = 0

Cells = list[list[int]]


@dataclass(frozen=True)
class Layout:
    """How a template is shown.

    note    Markdown beside the nodes
    groups  title and columns of node ids, left to right; NOTE stands for the note
    """

    note: str
    groups: tuple[tuple[str, Cells], ...]


OWN = """

**Your own photo:** add a *Load Image* node and connect it wherever *Source* is connected.
**Your own checkpoint:** choose it in *Model*, and set `text_cfg` 7.5 and `image_cfg` 1.5, which
suit it better than the built-in ip2p-mini. That knows drawn people, landscapes and things only; for
photos see the template *Your photo, your checkpoint*."""
SCALES = (
    "\n\nToo little changes? Raise `text_cfg` or lower `image_cfg` a little. Too much? The other "
    "way round. Or try another `seed`."
)
MODEL_AND_SOURCE = ("Model and picture", [[1, 2, NOTE]])
EDIT = ("Edit", [[5, 6, 7]])
BEFORE_AND_AFTER = ("Before and after", [[9], [8]])
PLAIN = (MODEL_AND_SOURCE, ("What to change", [[4, 3]]), EDIT, BEFORE_AND_AFTER)


def several(*names: str) -> tuple[tuple[str, Cells], ...]:
    """One picture and an edit for each name, with node ids from 10, 20, ... on."""
    edits = (
        (name.capitalize(), [[first, first + 1, first + 2, first + 3], [first + 4]])
        for first, name in zip(range(10, 100, 10), names, strict=False)
    )
    return (("Model and picture", [[1, 2, NOTE], [3, 9]]), *edits)


LAYOUTS = {
    "Hair color": Layout(
        "Press **Run**. Then write another color into *Instruction*: black, blonde, red, purple, "
        "green." + SCALES + OWN,
        PLAIN,
    ),
    "Virtual try-on": Layout(
        "Press **Run**. Then describe other clothes in *Instruction*: *put on a blue suit*, *wear "
        "a yellow t-shirt*." + SCALES + OWN,
        PLAIN,
    ),
    "Weather - sunny to cloudy": Layout(
        "Press **Run**. Then ask for other weather in *Instruction*: *make it rain*, *make it "
        "snow*, *make it foggy*." + SCALES + OWN,
        PLAIN,
    ),
    "Season - summer to winter": Layout(
        "Press **Run**. Then ask for another season in *Instruction*: *what if it were spring?*, "
        "*turn summer into autumn*. The time of day works too: *make it night*." + SCALES + OWN,
        PLAIN,
    ),
    "Change the background": Layout(
        "Press **Run**. Then name another place in *Instruction*: *put her in front of a forest*, "
        "*change the background to a library*, *mountains*, *a city at night*." + SCALES + OWN,
        PLAIN,
    ),
    "Virtual makeup": Layout(
        "Press **Run**. Then try other make-up in *Instruction*: *give her purple lips*, *put on "
        "green eye shadow*." + SCALES + OWN,
        PLAIN,
    ),
    "Hairstyle, glasses and hats": Layout(
        "One portrait, three edits. Write others into the instructions: *give her a bun*, *make "
        "him bald*, *put glasses on her*, *give him a beanie*, *take off the hat*." + OWN,
        several("hairstyle", "glasses", "hat"),
    ),
    "Material - wood, marble, bronze": Layout(
        "One thing, three materials. Others that the built-in model knows: glass and gold. Choose "
        "the vase, the bust or the car in *Source*, and name it in the instructions." + OWN,
        several("wood", "marble", "bronze"),
    ),
    "Art medium": Layout(
        "One picture in three media. Others that the built-in model knows: an oil painting, a "
        "mosaic, black and white." + OWN,
        several("sketch", "watercolor", "comic"),
    ),
    "Edit only a region": Layout(
        "White in the mask may change; black stays as it is, to the bit. The mask goes to *Encode "
        "source*, which keeps the model to it, and to *Restore*, which puts the rest of the "
        "original back. `feather` softens the edge inside the mask.\n\nFor a mask of your own, "
        "right-click the picture in *Load Image* and open the Mask Editor." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change, and where", [[4, 3, 10]]),
            EDIT,
            BEFORE_AND_AFTER,
        ),
    ),
    "Several seeds at once": Layout(
        "One run, four attempts: *How many* repeats the source, and each copy gets noise of its "
        "own. Keep the best; another `seed` gives four others." + OWN,
        (MODEL_AND_SOURCE, ("What to change", [[4, 3, 10]]), EDIT, BEFORE_AND_AFTER),
    ),
    "Compare guidance": Layout(
        "The same edit with four values of `image_cfg`: the higher, the more stays as it was. "
        "Find the value for a new picture like this, then keep one sampler. `text_cfg` works the "
        "other way round." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change", [[4, 3, 9]]),
            *(
                (f"image_cfg {scale}", [[first + 3, first, first + 1, first + 2]])
                for first, scale in ((10, "1.0"), (20, "1.25"), (30, "1.5"), (40, "2.0"))
            ),
        ),
    ),
    "Advanced - any sampler and sigmas": Layout(
        "*Guider* brings the two scales to ComfyUI's own custom sampling. Any sampler, any noise "
        "levels and any noise can be connected to *Sample*.\n\n`latent_image` is the encoded "
        "source, so a mask works here too." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change", [[4, 3]]),
            ("How to sample", [[13, 10, 11, 12]]),
            ("Edit", [[5, 6, 7]]),
            BEFORE_AND_AFTER,
        ),
    ),
    "Edit only what was asked": Layout(
        "Nobody paints a mask here: *Find the region* asks the model where the instruction "
        "changes the picture. Only that region is edited, and all else stays as it is, to the "
        "bit.\n\nToo small or too large a region? Change `threshold` or `grow`. Edits of the "
        "whole picture, like weather, have no region." + OWN,
        (
            ("Model and picture", [[1, 2, NOTE]]),
            ("What to change", [[3, 4]]),
            ("Where", [[10, 11]]),
            ("Edit", [[12, 5, 6, 7]]),
            BEFORE_AND_AFTER,
        ),
    ),
    "Small face, big edit": Layout(
        "A small face has few pixels, and the model sees fewer still. With `fit` *around mask*, "
        "*Encode source* shows it the mask's surroundings only, large; *Restore* puts them back "
        "where they were.\n\nThe six nodes of the example only make a small face: for your own "
        "photo, connect *Load Image* and its mask instead." + OWN,
        (
            ("Model and picture", [[1, 2, NOTE]]),
            ("An example: a small face", [[10, 15, 11], [12, 13, 14]]),
            ("What to change", [[4, 3]]),
            EDIT,
            BEFORE_AND_AFTER,
        ),
    ),
    "Guidance grid": Layout(
        "The same edit with every pair of two lists of scales, labelled. Read off the pair that "
        "suits the picture, then use it in *IP2PKSampler*." + OWN,
        (MODEL_AND_SOURCE, ("What to change", [[4, 3]]), ("Grid", [[5, 9]]), ("Sheet", [[8]])),
    ),
    "Auto-tune the two scales": Layout(
        "*Auto guidance* tries pairs of scales in few steps, asks the model which result it "
        "believes most, and makes that edit. *Report* says what was tried. More `keep` holds on "
        "to the picture, less follows the instruction." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change", [[4, 3]]),
            ("Edit", [[5, 6, 7]]),
            ("Before and after", [[9], [8], [10]]),
        ),
    ),
    "Edit in turns": Layout(
        "One instruction a line in *Turns*, each made on the last one's result, in latents: the "
        "picture is not worn out by decoding and encoding in between. All turns come out, so "
        "going back is picking an earlier one." + OWN,
        (MODEL_AND_SOURCE, ("Turns", [[3, 5]]), ("Back to pixels", [[6, 7]]), BEFORE_AND_AFTER),
    ),
    "Your photo, your checkpoint": Layout(
        "1. Put `instruct-pix2pix-00-22000.safetensors` (from `timbrooks/instruct-pix2pix` on "
        "Hugging Face, 7.7 GB) into `models/checkpoints`; the editor offers the download when "
        "this template is opened. Press `R`, then choose it in *Model*.\n2. Choose or drop your "
        "photo in *Source*. Any size: the result comes back in the same size and framing.\n3. "
        "Write an order into *Instruction*: *make it look like winter*, *give him a beard*, *turn "
        "it into a watercolor painting*." + SCALES,
        (
            ("Checkpoint and photo", [[1, 2]]),
            ("What to change", [[4, 3, NOTE]]),
            EDIT,
            ("After", [[8]]),
        ),
    ),
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
    prompt = load_prompt(api_file(title))
    properties: dict[str, dict[str, Any]] = {
        key: dict(OURS if node["class_type"].startswith("IP2P") else CORE)
        for key, node in prompt.items()
    }
    for key, node in prompt.items():
        if node["inputs"].get("checkpoint") == MODELS[0]["name"]:
            properties[key]["models"] = MODELS
    made = page.evaluate(LOAD, [prompt, layout.note, properties])
    note = max(key for key, _, _ in made)
    sizes: dict[int, tuple[float, float]] = {}
    for key, kind, needed in made:
        width, height = SIZES.get(kind, (COLUMN, 0))
        sizes[NOTE if key == note else key] = (width, max(height, needed))
    boxes, groups = placed(layout, sizes)
    boxes[note] = boxes.pop(NOTE)
    saved: dict[str, Any] = json.loads(page.evaluate(SAVE, [boxes, groups]))
    saved["id"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"instruct-pix2pix/{title}"))
    # The editor fits a workflow without a view of its own into the window.
    saved["extra"].pop("ds", None)
    return saved


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
    prompt = patched(load_prompt(api_file(title)), {"Model.checkpoint": MINI})
    async with Client(server.url) as client:
        await client.ready()
        source = next(key for key, node in prompt.items() if node["_meta"]["title"] == "Source")
        if prompt[source]["class_type"] == "LoadImage":
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
    server = PrivateServer()
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


if __name__ == "__main__":
    main()
