"""Art media: a finished drawing as a sketch, a painting, a mosaic or a comic."""

import numpy as np
from PIL import Image, ImageFilter

from .drawing import stream

MEDIA = (
    "drawing",
    "pencil sketch",
    "watercolor",
    "oil painting",
    "mosaic",
    "black and white",
    "comic",
)

# Tiles on a side of a mosaic.
TILES = 16
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def apply(pixels: np.ndarray, medium: str) -> np.ndarray:
    """The picture in a medium, uint8 [h, w, 3] as `pixels`.

    All pictures are on the same paper and of the same strokes.
    """
    if medium == "drawing":
        return pixels
    painters = {
        "pencil sketch": pencil_sketch,
        "watercolor": watercolor,
        "oil painting": oil_painting,
        "mosaic": mosaic,
        "black and white": black_and_white,
        "comic": comic,
    }
    painted = painters[medium](pixels.astype(np.float32))
    return np.rint(np.clip(painted, 0, 255)).astype(np.uint8)


def blurred(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Float [h, w, 3], softened over `radius` pixels."""
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32)


def outlines(pixels: np.ndarray) -> np.ndarray:
    """How steeply the brightness changes, 0..1, [h, w, 1]."""
    grey = pixels @ LUMA
    down, right = np.gradient(grey)
    return np.clip(np.hypot(down, right) / 60, 0, 1)[..., None]


def texture(shape: tuple[int, ...], name: str, cell: float) -> np.ndarray:
    """Smooth noise around 0, -1..1, [h, w, 1], with bumps of `cell` pixels."""
    height, width = shape[:2]
    small = (max(2, round(height / cell)), max(2, round(width / cell)))
    noise = stream(0, name).uniform(0, 255, small).astype(np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(image, np.float32) / 127.5 - 1)[..., None]


def pencil_sketch(pixels: np.ndarray) -> np.ndarray:
    """Grey lines, and hatching where it is dark, on white paper."""
    unit = len(pixels) / 128
    grey = (blurred(pixels, unit) @ LUMA)[..., None]
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32) / unit
    strokes = 0.5 + 0.5 * np.sin(
        (x + y)[..., None] * 1.6 + 2 * texture(pixels.shape, "hatching", 16)
    )
    shade = np.clip((190 - grey) / 190, 0, 1) * (0.35 + 0.65 * strokes)
    drawn = 250 - 130 * shade - 170 * outlines(pixels)
    return np.repeat(drawn, 3, -1)


def watercolor(pixels: np.ndarray) -> np.ndarray:
    """Pale colors that bleed and gather at their borders, on white paper."""
    unit = len(pixels) / 128
    soft = blurred(pixels, 1.4 * unit)
    pale = 255 - (255 - soft) * (0.62 + 0.2 * texture(pixels.shape, "wash", 10 * unit))
    pale -= 40 * outlines(soft)
    height, width = pixels.shape[:2]
    border = 5 * unit + 2 * unit * texture(pixels.shape, "border", 8 * unit)[..., 0]
    y, x = np.mgrid[:height, :width]
    inside = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) - border
    cover = np.clip(inside / (2 * unit), 0, 1)[..., None]
    return 252 + (pale - 252) * cover


def oil_painting(pixels: np.ndarray) -> np.ndarray:
    """Rich colors in visible, slanting strokes."""
    unit = len(pixels) / 128
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bend = 3 * unit * texture(pixels.shape, "bend", 12 * unit)[..., 0]
    # Every stroke takes the color of its middle: places are rounded along and across it.
    along, across = (x + y) + bend, (x - y) + bend
    along = (np.floor(along / (9 * unit)) + 0.5) * 9 * unit - bend
    across = (np.floor(across / (4 * unit)) + 0.5) * 4 * unit - bend
    rows = np.clip(np.rint((along - across) / 2), 0, height - 1).astype(int)
    columns = np.clip(np.rint((along + across) / 2), 0, width - 1).astype(int)
    strokes = 0.75 * pixels[rows, columns] + 0.25 * pixels
    grey = (strokes @ LUMA)[..., None]
    rich = 110 + (grey + 1.6 * (strokes - grey) - 110) * 1.15
    ridges = np.sin(((x - y) + bend) * np.pi / (2 * unit))[..., None]
    return rich * np.array([1.04, 0.98, 0.86], np.float32) + 13 * ridges


def mosaic(pixels: np.ndarray) -> np.ndarray:
    """Square tiles of one color each, with dark joints between them."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels.astype(np.uint8))
    across, down = min(TILES, width), min(TILES, height)
    colors = np.asarray(image.resize((across, down), Image.Resampling.BOX), np.float32)
    glaze = stream(0, "glaze").uniform(-22, 22, (TILES, TILES, 1)).astype(np.float32)
    colors = 120 + 1.15 * (colors - 120) + glaze[:down, :across]
    rows, columns = np.arange(height) * down / height, np.arange(width) * across / width
    tiled = colors[rows.astype(int)][:, columns.astype(int)]
    joint = 0.2
    in_joint = (rows % 1 < joint)[:, None] | (columns % 1 < joint)[None]
    return np.where(in_joint[..., None], np.array([74, 70, 66], np.float32), tiled)


def black_and_white(pixels: np.ndarray) -> np.ndarray:
    """Greyscale with some more contrast."""
    return np.repeat(128 + 1.15 * ((pixels @ LUMA)[..., None] - 128), 3, -1)


def comic(pixels: np.ndarray) -> np.ndarray:
    """Few flat colors, black outlines, and dots in the shadows."""
    unit = len(pixels) / 128
    grey = (pixels @ LUMA)[..., None]
    vivid = grey + 1.6 * (pixels - grey)
    flat = np.clip(np.rint(vivid / 85), 0, 3) * 85
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32) / unit
    dots = np.cos(x * np.pi / 2) * np.cos(y * np.pi / 2) > 0.25
    flat = np.where((grey < 120) & dots[..., None], flat * 0.55, flat)
    return flat * (1 - np.clip(1.6 * outlines(blurred(pixels, 0.6 * unit)), 0, 1))
