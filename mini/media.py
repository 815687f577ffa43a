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

# Tiles on a side of a mosaic: one to a cell of the latent at 256 pixels.
TILES = 32
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


def outlines(pixels: np.ndarray, width: float, least: float) -> np.ndarray:
    """Lines of about `width` pixels along the edges, 0..1, [h, w, 1].

    least  the difference of a color channel across an edge from which on it is drawn
    """
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    reach = 2 * max(1, round(width / 2)) + 1
    low, high = (
        np.asarray(image.filter(kind(reach)), np.float32)
        for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    lines = np.clip(((high - low).max(-1, keepdims=True) - least) / least, 0, 1)
    return blurred(np.repeat(255 * lines, 3, -1), width / 4)[..., :1] / 255


def texture(shape: tuple[int, ...], name: str, cell: float) -> np.ndarray:
    """Smooth noise around 0, -1..1, [h, w, 1], with bumps of `cell` pixels."""
    height, width = shape[:2]
    small = (max(2, round(height / cell)), max(2, round(width / cell)))
    noise = stream(0, name).uniform(0, 255, small).astype(np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    return (np.asarray(image, np.float32) / 127.5 - 1)[..., None]


def pencil_sketch(pixels: np.ndarray) -> np.ndarray:
    """Soft graphite: lines along the edges, tones with broad hatching where it is dark."""
    unit = len(pixels) / 128
    grey = (blurred(pixels, 1.2 * unit) @ LUMA)[..., None]
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32) / unit
    hatching = np.sin((x + y)[..., None] * np.pi / 4)
    dark = np.clip((225 - grey) / 225, 0, 1)
    tone = 251 - 150 * dark * (1 + 0.2 * hatching)
    lines = outlines(pixels, unit, 30)
    return np.repeat(tone - 0.85 * lines * (tone - 40), 3, -1)


def watercolor(pixels: np.ndarray) -> np.ndarray:
    """Thin washes that gather at their borders, on white paper with an uneven margin."""
    unit = len(pixels) / 128
    soft = kuwahara(pixels, 2.2 * unit)
    wash = 0.74 + 0.2 * texture(pixels.shape, "wash", 22 * unit)
    grey = (soft @ LUMA)[..., None]
    thin = 255 - (255 - (grey + 1.25 * (soft - grey))) * wash
    thin -= 46 * outlines(soft, unit, 26)
    height, width = pixels.shape[:2]
    border = 6 * unit + 3 * unit * texture(pixels.shape, "border", 14 * unit)[..., 0]
    y, x = np.mgrid[:height, :width]
    inside = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) - border
    cover = np.clip(inside / (3 * unit), 0, 1)[..., None]
    return 253 + (thin - 253) * cover


def kuwahara(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Every pixel takes the mean of the calmest of the four squares beside it (Kuwahara 1976)."""
    shift = max(1, round(radius / 2))
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    mean = np.asarray(image.filter(ImageFilter.BoxBlur(shift)), np.float32)
    squares = Image.fromarray(np.clip((pixels @ LUMA) ** 2 / 255, 0, 255).astype(np.uint8))
    square = np.asarray(squares.filter(ImageFilter.BoxBlur(shift)), np.float32) * 255
    spread = square - (mean @ LUMA) ** 2
    best, least = mean, np.full(spread.shape, np.inf, np.float32)
    padded = np.pad(mean, ((shift, shift), (shift, shift), (0, 0)), "edge")
    calm = np.pad(spread, shift, "edge")
    height, width = spread.shape
    for down in (0, 2 * shift):
        for right in (0, 2 * shift):
            place = (slice(down, down + height), slice(right, right + width))
            better = calm[place] < least
            best = np.where(better[..., None], padded[place], best)
            least = np.where(better, calm[place], least)
    return blurred(best, 0.3 * shift)


def oil_painting(pixels: np.ndarray) -> np.ndarray:
    """Rich, warm colors in broad strokes whose ridges catch the light."""
    unit = len(pixels) / 128
    strokes = kuwahara(pixels, 3 * unit)
    grey = (strokes @ LUMA)[..., None]
    rich = 112 + (grey + 1.5 * (strokes - grey) - 112) * 1.16
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32) / unit
    bend = texture(pixels.shape, "bend", 24 * unit)[..., 0]
    ridges = np.sin((x - 0.6 * y) * np.pi / 4 + 3 * bend) * np.cos((y + 0.4 * x) * np.pi / 11)
    return rich * np.array([1.04, 0.99, 0.87], np.float32) + 12 * ridges[..., None]


def mosaic(pixels: np.ndarray) -> np.ndarray:
    """Square tiles of one color each, lit from the upper left, with dark joints between them."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels.astype(np.uint8))
    across, down = min(TILES, width), min(TILES, height)
    colors = np.asarray(image.resize((across, down), Image.Resampling.BOX), np.float32)
    colors = 124 + 1.15 * (colors - 124)
    rows, columns = np.arange(height) * down / height, np.arange(width) * across / width
    tiled = colors[rows.astype(int)][:, columns.astype(int)]
    # From the middle of a tile to its rim, 0 to 1.
    v, u = (np.abs(places % 1 - 0.5) * 2 for places in (rows, columns))
    joint = np.clip((np.maximum(v[:, None], u[None]) - 0.72) / 0.2, 0, 1)[..., None]
    return tiled + joint * (0.5 * tiled + 24 - tiled)


def black_and_white(pixels: np.ndarray) -> np.ndarray:
    """Greyscale with some more contrast."""
    return np.repeat(128 + 1.15 * ((pixels @ LUMA)[..., None] - 128), 3, -1)


def comic(pixels: np.ndarray) -> np.ndarray:
    """Four tones of vivid color, ink along the edges, and dots in the shadows."""
    unit = len(pixels) / 128
    soft = kuwahara(pixels, 2 * unit)
    grey = np.maximum((soft @ LUMA)[..., None], 1)
    tone = np.interp(
        grey, [0, 50, 62, 108, 120, 178, 190, 255], [18, 18, 84, 84, 150, 150, 226, 226]
    )
    vivid = grey + 1.55 * (soft - grey)
    flat = np.clip(vivid, 0, 255) * (0.35 + 0.65 * tone / grey)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32) / unit
    dots = np.cos(x * np.pi / 4) ** 2 * np.cos(y * np.pi / 4) ** 2
    # Wide shadows only: dots would put the eyes out.
    dark = np.clip((125 - (blurred(pixels, 5 * unit) @ LUMA)[..., None]) / 40, 0, 1)
    flat = np.clip(flat, 0, 255) * (1 - 0.5 * dark * np.clip(4 * dots[..., None] - 1.2, 0, 1))
    ink = outlines(blurred(pixels, 0.4 * unit), unit, 40)
    return flat + np.clip(1.4 * ink, 0, 1) * (np.array([22, 20, 28], np.float32) - flat)
