"""The README's pictures, made by running the pack: python docs/pictures.py

images/before-after.png is the sheet of `ip2p demo`; images/scales.png is one edit over a grid of
the two scales.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from instruct_pix2pix.edits.settings import BUILT_IN
from instruct_pix2pix.headless.client import Client, connect
from instruct_pix2pix.headless.workflow import load_prompt, patched
from instruct_pix2pix.pictures.sheet import sheet_of
from PIL import Image

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
WORKFLOW = DOCS.parent / "workflows" / "api" / "app-your-photo.json"
TEXT_CFGS = (0.5, 2.0, 5.0, 15.0)
IMAGE_CFGS = (1.0, 1.5, 3.0)
CELL = 192


async def edits(client: Client, folder: Path) -> dict[tuple[float, float], Path]:
    """The same edit at each pair of scales."""
    prompt, files = patched(load_prompt(WORKFLOW), {"Model.checkpoint": BUILT_IN}), {}
    for text_cfg in TEXT_CFGS:
        for image_cfg in IMAGE_CFGS:
            scales = {"Sampler.text_cfg": text_cfg, "Sampler.image_cfg": image_cfg}
            result = await client.run(patched(prompt, scales))
            path = files[text_cfg, image_cfg] = folder / f"{text_cfg}-{image_cfg}.png"
            await client.save(result.outputs[0].file, path)
    return files


def grid(files: dict[tuple[float, float], Path]) -> Image.Image:
    """Columns are text_cfg, rows image_cfg."""
    pictures = [Image.open(files[text, image]) for image in IMAGE_CFGS for text in TEXT_CFGS]
    columns = [f"text_cfg {text_cfg}" for text_cfg in TEXT_CFGS]
    rows = [f"image_cfg {image_cfg}" for image_cfg in IMAGE_CFGS]
    return sheet_of(pictures, (CELL, CELL), columns, rows)


async def scales() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with connect() as client:
            await client.ready()
            grid(await edits(client, Path(folder))).save(IMAGES / "scales.png", optimize=True)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "instruct_pix2pix.headless.cli", "demo"]
        subprocess.run([*command, "--output", folder], check=True)
        shutil.copyfile(Path(folder) / "before-after.png", IMAGES / "before-after.png")
    asyncio.run(scales())


if __name__ == "__main__":
    main()
