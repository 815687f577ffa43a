"""Makes workflows/*.jpg by running the templates: python -m ...tests.browser.thumbnails

Titles may follow the command, to make these only.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import tempfile
from pathlib import Path

from instruct_pix2pix.edits.prompt import Prompt, node
from instruct_pix2pix.edits.settings import BUILT_IN, BUILT_IN_SCALES, TEXT_TO_IMAGE
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.headless.workflow import load_prompt, patched
from instruct_pix2pix.mini.landscapes import Landscape
from PIL import Image, ImageOps

from .examples import EXAMPLES, draw_examples
from .layouts import LAYOUTS
from .stand_ins import write_stand_ins
from .templates import WORKFLOWS, api_file
from .twins import CHECKPOINT, VIEW_IMAGE_CFG

# Which half of its pictures a thumbnail shows: from where on, as a share of a side, going right or
# down. Without a line here, the middle from left to right.
HALVES = {
    "Edit the background - InstructPix2Pix": ("down", 0.11),
    "Teach your own edit - pairs folder - InstructPix2Pix": ("right", 0.5),
    "Edit season - summer to winter - InstructPix2Pix": ("down", 0.45),
    "App - weather and season": ("down", 0.42),
    "App - your photo": ("down", 0.3),
    "Advanced - LoRA and ControlNet - InstructPix2Pix": ("down", 0.1),
    "Your style as an editor - InstructPix2Pix": ("down", 0.12),
}
MIDDLE = ("right", 0.25)
STYLE = WORKFLOWS.parent / "runs" / "style.safetensors"  # which style.py writes


def with_own_style(prompt: Prompt) -> None:
    """Let the built-in model that draws be SD 1.5, and what it learned of comics be the style."""
    roles = {
        made["_meta"]["title"]: key
        for key, made in prompt.items()
        if made["class_type"] == "CheckpointLoaderSimple"
    }
    if not roles:
        return
    for title, key in roles.items():
        choice = {"checkpoint": TEXT_TO_IMAGE, "weights": "auto"}
        prompt[key] = node(title, "IP2PLoadCheckpoint", **choice)
    model, clip = ([roles["Your style"], slot] for slot in (0, 1))
    # More than what was learned, so that a thumbnail shows it.
    strengths = {"strength_model": 1.5, "strength_clip": 1.5}
    prompt["look"] = node(
        "Look", "IP2PLoadLora", model=model, clip=clip, lora_name=STYLE.name, **strengths
    )
    (merge,) = (made for made in prompt.values() if made["class_type"] == "IP2PMergeCheckpoint")
    merge["inputs"] |= {"custom": ["look", 0], "custom_clip": ["look", 1]}


async def pictures(server: PrivateServer, prompt: Prompt) -> tuple[bytes, list[bytes]]:
    """The source and the results of running a template's prompt with the built-in model."""
    if CHECKPOINT in str(prompt):
        source = next(made for made in prompt.values() if made["class_type"] == "LoadImage")
        scales = {f"Sampler.{name}": value for name, value in BUILT_IN_SCALES.items()}
        if isinstance(EXAMPLES[source["inputs"]["image"]], Landscape):
            scales["Sampler.image_cfg"] = VIEW_IMAGE_CFG
        prompt = patched(prompt, {"Model.checkpoint": BUILT_IN, **scales})
    with_own_style(prompt)
    async with Client(server.url) as client:
        await client.ready()
        for key in [key for key, made in prompt.items() if made["_meta"]["title"] == "Source"]:
            prompt["source"] = node("The source", "PreviewImage", images=[key, 0])
        result = await client.run(prompt)
        with tempfile.TemporaryDirectory() as folder:
            before, results = b"", []
            # In the prompt's order: "before" and "after" of pairs may be made either way round.
            titles = [made["_meta"]["title"] for made in prompt.values()]
            for made in sorted(result.outputs, key=lambda made: titles.index(made.title)):
                await client.save(made.file, Path(folder) / "picture.png")
                picture = (Path(folder) / "picture.png").read_bytes()
                if made.title == "The source":
                    before = picture
                elif made.title.startswith("Result"):
                    results.append(picture)
    return before, results


def thumbnail(
    before: bytes, results: list[bytes], half: tuple[str, float] = MIDDLE, side: int = 512
) -> Image.Image:
    """One half of the source (see HALVES) and the same half of the result, so that what is edited
    can be compared; of two results, that half of each. More: four of them, or the source and
    three. A result of another size than the source is a sheet, and shown as it is."""
    if not before:
        # Pairs, the pictures before and then those after: the second pair and the third.
        count = len(results) // 2
        before, *results = (results[n] for n in (1, count + 1, 2, count + 2))
        return four([Image.open(io.BytesIO(picture)) for picture in (before, *results)], side)
    opened = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in (before, *results)]
    if opened[1].size != opened[0].size:
        return ImageOps.pad(opened[1], (side, side), color="white")
    source, *edits = (ImageOps.fit(picture, (side, side)) for picture in opened)
    if len(edits) == 2:
        source, edits = edits[0], edits[1:]
    if len(edits) == 3:
        edits.insert(0, source)
    if len(edits) > 1:
        return four(edits[:4], side)
    sheet = Image.new("RGB", (side, side), "white")
    way, start = half[0], round(half[1] * side)
    end, second = start + side // 2 - 2, side // 2 + 2
    right = way == "right"
    box = (start, 0, end, side) if right else (0, start, side, end)
    sheet.paste(source.crop(box))
    sheet.paste(edits[0].crop(box), (second, 0) if right else (0, second))
    return sheet


def four(pictures: list[Image.Image], side: int) -> Image.Image:
    """Four pictures in two rows, on a sheet of `side` pixels."""
    sheet = Image.new("RGB", (side, side), "white")
    cell = side // 2 - 2
    for number, edit in enumerate(pictures):
        at = (number % 2 * (cell + 4), number // 2 * (cell + 4))
        sheet.paste(edit.resize((cell, cell), Image.Resampling.LANCZOS), at)
    return sheet


def main() -> None:
    titles = sys.argv[1:] or list(LAYOUTS)
    draw_examples()
    with tempfile.TemporaryDirectory() as models:
        arguments = write_stand_ins(Path(models))
        shutil.copyfile(STYLE, Path(models, "loras", STYLE.name))
        server = PrivateServer(arguments=arguments)
        try:
            asyncio.run(server.start())
            for title in titles:
                prompt = load_prompt(api_file(title))
                made = asyncio.run(pictures(server, prompt))
                sheet = thumbnail(*made, HALVES.get(title, MIDDLE))
                sheet.save(WORKFLOWS / f"{title}.jpg", quality=88, optimize=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
