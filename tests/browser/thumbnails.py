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
from PIL import Image, ImageOps

from .examples import draw_examples
from .layouts import LAYOUTS
from .stand_ins import write_stand_ins
from .templates import WORKFLOWS, api_file
from .twins import CHECKPOINT

# Templates whose edit is seen beside the middle: their thumbnails show the right halves.
BESIDE = (
    "Edit the background - InstructPix2Pix",
    "Edit your photo with your pix2pix checkpoint - InstructPix2Pix",
    "Teach your own edit - pairs folder - InstructPix2Pix",
)
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
    # Twice what was learned, so that a thumbnail shows it.
    strengths = {"strength_model": 2.0, "strength_clip": 2.0}
    prompt["look"] = node(
        "Look", "IP2PLoadLora", model=model, clip=clip, lora_name=STYLE.name, **strengths
    )
    (merge,) = (made for made in prompt.values() if made["class_type"] == "IP2PMergeCheckpoint")
    merge["inputs"] |= {"custom": ["look", 0], "custom_clip": ["look", 1]}


async def pictures(server: PrivateServer, prompt: Prompt) -> tuple[bytes, list[bytes]]:
    """The source and the results of running a template's prompt with the built-in model."""
    if CHECKPOINT in str(prompt):
        scales = {f"Sampler.{name}": value for name, value in BUILT_IN_SCALES.items()}
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
    before: bytes, results: list[bytes], left: float = 0.25, side: int = 512
) -> Image.Image:
    """Half of the source's width, from `left` on, beside the same half of the result, so that what
    is edited can be compared; of two results, that half of each. More: four of them, or the source
    and three. A result of another size than the source is a sheet, and shown as it is."""
    if not before:
        # Pairs, the pictures before and then those after: the second pair and the fourth.
        half = len(results) // 2
        before, *results = (results[n] for n in (1, half + 1, 3, half + 3))
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
    half = side // 2
    sheet = Image.new("RGB", (side, side), "white")
    start = round(left * side)
    for at, picture in ((0, source), (half + 2, edits[0])):
        sheet.paste(picture.crop((start, 0, start + half - 2, side)), (at, 0))
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
                sheet = thumbnail(*made, left=0.5 if title in BESIDE else 0.25)
                sheet.save(WORKFLOWS / f"{title}.jpg", quality=88, optimize=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
