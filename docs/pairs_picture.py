"""The chart on the help page of IP2PMakePairs: PYTHONPATH=.comfyui python docs/pairs_picture.py"""

from __future__ import annotations

from pathlib import Path

import torch
from instruct_pix2pix.pairs.prompt_to_prompt import shared_at
from PIL import Image, ImageDraw, ImageFont

PAGE = Path(__file__).resolve().parents[1] / "nodes" / "web" / "docs" / "images"
SWAPS = (0.1, 0.3, 0.5, 0.7, 0.9)
STEPS = 20
CELL, LEFT, TOP = 30, 130, 56
PAPER, INK, SHARED, OWN = (255, 255, 255), (32, 32, 32), (42, 91, 215), (222, 226, 234)


def main() -> None:
    """Draw one row for each swap, one cell for each step."""
    sigmas = torch.linspace(STEPS, 0, STEPS + 1)  # which levels they are does not matter here
    image = Image.new("RGB", (LEFT + STEPS * CELL + 16, TOP + len(SWAPS) * CELL + 48), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(17)
    draw.text((LEFT, TOP / 2), "step 1", INK, font, "lm")
    draw.text((LEFT + STEPS * CELL, TOP / 2), f"step {STEPS}", INK, font, "rm")
    for row, swap in enumerate(SWAPS):
        y = TOP + row * CELL
        draw.text((16, y + CELL / 2), f"swap {swap:g}", INK, font, "lm")
        for step in range(STEPS):
            color = SHARED if shared_at([swap], sigmas[step], sigmas)[0] else OWN
            x = LEFT + step * CELL
            draw.rectangle((x + 1, y + 1, x + CELL - 2, y + CELL - 2), color)
    y = TOP + len(SWAPS) * CELL + 24
    for x, color, words in ((LEFT, SHARED, "self-attention shared"), (LEFT + 260, OWN, "own")):
        draw.rectangle((x, y - 9, x + 18, y + 9), color)
        draw.text((x + 28, y), words, INK, font, "lm")
    image.save(PAGE / "IP2PMakePairs-1.jpg", quality=90)


if __name__ == "__main__":
    main()
