"""Draws workflows/pictures/, what the templates open with; `make thumbnails` calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from instruct_pix2pix.mini.landscapes import Landscape
from instruct_pix2pix.mini.objects import Object
from instruct_pix2pix.mini.portraits import Portrait
from instruct_pix2pix.mini.scenes import SAMPLES, Scene, mask, render
from PIL import Image, ImageDraw

PICTURES = Path(__file__).resolve().parents[2] / "workflows" / "pictures"
SIDE = 512
# The picture of each file. No two templates show the same person, as far as that goes.
EXAMPLES: dict[str, Scene] = {
    "ip2p-woman.png": SAMPLES["portrait - long brown hair"],
    "ip2p-woman-masked.png": Portrait(
        101,
        hair_style="curly",
        hair_color="black",
        skin="dark",
        garment="dress",
        garment_color="yellow",
    ),
    "ip2p-beach.png": SAMPLES["portrait - at the beach"],
    "ip2p-sweater.png": Portrait(
        114,
        hair_style="bun",
        hair_color="blonde",
        skin="fair",
        garment="sweater",
        garment_color="purple",
    ),
    "ip2p-jacket.png": Portrait(
        124,
        hair_style="short",
        hair_color="black",
        skin="tan",
        garment="leather jacket",
        garment_color="red",
        beard="beard",
    ),
    "ip2p-hoodie.png": Portrait(
        131,
        hair_style="ponytail",
        hair_color="black",
        skin="brown",
        garment="hoodie",
        garment_color="green",
    ),
    "ip2p-dress.png": Portrait(
        143,
        hair_style="bob",
        hair_color="red",
        skin="fair",
        garment="dress",
        garment_color="green",
    ),
    "ip2p-bob.png": Portrait(120, hair_style="bob", hair_color="black", skin="tan"),
    "ip2p-long.png": Portrait(174, hair_color="black", skin="tan", garment_color="red"),
    "ip2p-shirt.png": Portrait(
        154,
        hair_style="short",
        hair_color="red",
        skin="fair",
        garment_color="blue",
        beard="mustache",
    ),
    "ip2p-raincoat.png": Portrait(
        161,
        hair_style="curly",
        hair_color="brown",
        garment="raincoat",
        garment_color="yellow",
    ),
    "ip2p-wall.png": SAMPLES["portrait - short blonde hair"],
    "ip2p-house.png": SAMPLES["landscape - sunny house"],
    "ip2p-cottage.png": Landscape(49),
    "ip2p-farm.png": Landscape(45),
    "ip2p-lake.png": Landscape(44, landmark="lake"),
    "ip2p-hills.png": Landscape(44, landmark="road"),
    "ip2p-road.png": Landscape(75, landmark="road"),
    "ip2p-cat.png": Object(0, subject="cat"),
}
# The mask of the hair is in the alpha channel, where the editor's mask editor saves it.
MASKED = "ip2p-woman-masked.png"
WALL = "ip2p-wall.png"  # a room with a small portrait in a frame, masked


def draw_examples() -> None:
    """Write all of them."""
    PICTURES.mkdir(exist_ok=True)
    for name in EXAMPLES:
        draw_example(name).save(PICTURES / name, optimize=True)


def draw_example(name: str) -> Image.Image:
    """The picture of one of EXAMPLES."""
    scene = EXAMPLES[name]
    picture = Image.fromarray(render(scene, SIDE))
    if name == WALL:
        return on_a_wall(picture)
    if name == MASKED:
        hair = mask(scene, "hair", SIDE)
        picture.putalpha(Image.fromarray(np.where(hair, 0, 255).astype(np.uint8)))
    return picture


def on_a_wall(portrait: Image.Image) -> Image.Image:
    """A room, 960 x 640, where the portrait hangs small above a sideboard; the mask is on it."""
    width, height, side = 960, 640, 200
    room = Image.new("RGB", (width, height), (214, 205, 190))
    draw = ImageDraw.Draw(room)
    draw.rectangle((0, 500, width, height), (150, 112, 82))  # the floor
    draw.rectangle((0, 492, width, 500), (240, 236, 228))
    draw.rounded_rectangle((260, 380, 700, 520), 8, (110, 74, 50))  # a sideboard
    for left in (272, 486):
        draw.rounded_rectangle((left, 394, left + 200, 506), 6, (132, 92, 62))
        draw.ellipse((left + 94, 444, left + 106, 456), (60, 42, 30))
    draw.rectangle((795, 215, 805, 500), (70, 70, 76))  # a lamp
    draw.polygon([(760, 150), (840, 150), (880, 240), (720, 240)], (238, 206, 140))
    draw.ellipse((760, 490, 840, 512), (70, 70, 76))
    left, top = (width - side) // 2, 110
    draw.rectangle((left - 14, top - 14, left + side + 13, top + side + 13), (92, 62, 40))
    draw.rectangle((left - 5, top - 5, left + side + 4, top + side + 4), (245, 243, 236))
    room.paste(portrait.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    alpha = Image.new("L", room.size, 255)
    alpha.paste(0, (left, top, left + side, top + side))
    room.putalpha(alpha)
    return room
