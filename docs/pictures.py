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

from instruct_pix2pix.headless.client import Client, connect
from instruct_pix2pix.headless.workflow import load_prompt, patched
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
WORKFLOW = DOCS.parent / "workflows" / "api" / "hair-color.json"
TEXT_CFGS = (1.0, 2.0, 4.0, 7.5)
IMAGE_CFGS = (1.0, 1.5, 2.0)
CELL, MARGIN = 192, 56


async def edits(client: Client, folder: Path) -> dict[tuple[float, float], Path]:
    """The same edit at each pair of scales."""
    prompt, files = load_prompt(WORKFLOW), {}
    for text_cfg in TEXT_CFGS:
        for image_cfg in IMAGE_CFGS:
            scales = {"Sampler.text_cfg": text_cfg, "Sampler.image_cfg": image_cfg}
            result = await client.run(patched(prompt, scales))
            path = files[text_cfg, image_cfg] = folder / f"{text_cfg}-{image_cfg}.png"
            await client.save(result.outputs[0].file, path)
    return files


def grid(files: dict[tuple[float, float], Path]) -> Image.Image:
    """Columns are text_cfg, rows image_cfg."""
    size = (MARGIN * 2 + CELL * len(TEXT_CFGS), MARGIN + CELL * len(IMAGE_CFGS))
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for column, text_cfg in enumerate(TEXT_CFGS):
        x = MARGIN * 2 + CELL * column
        draw.text((x + CELL / 2, MARGIN / 2), f"text {text_cfg}", "black", font, anchor="mm")
        for row, image_cfg in enumerate(IMAGE_CFGS):
            y = MARGIN + CELL * row
            draw.text((MARGIN, y + CELL / 2), f"image\n{image_cfg}", "black", font, anchor="mm")
            with Image.open(files[text_cfg, image_cfg]) as edit:
                sheet.paste(edit.resize((CELL - 4, CELL - 4), Image.Resampling.LANCZOS), (x, y))
    return sheet


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
