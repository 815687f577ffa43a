"""A picture file read as a viewer shows it, in bytes that ComfyUI decodes to the same pixels.

ComfyUI's LoadImage takes 16-bit grey for white, drops transparency and colour profiles, makes a
batch of an animation, and edits the grey half of a file that was cut. The newest makes blocks of
the colours of most JPEGs, and reads CMYK, YCbCr and JPEG within TIFF wrongly. So a file is decoded
here first: it goes up as it is where every ComfyUI sees what a viewer shows, else as an 8-bit sRGB
PNG.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from PIL import Image, ImageChops, ImageCms, ImageOps, UnidentifiedImageError

from .errors import InputError

MAX_PICTURE = 1 << 30
PICTURES = {
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".avif", ".heic", ".heif"),
}
# What every ComfyUI decodes, with the suffix that it goes up under.
SENT = {
    **{"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"},
    **{"BMP": ".bmp", "TIFF": ".tif", "GIF": ".gif"},
}
READ = (*SENT, "AVIF", "HEIF", "PPM")  # no format that runs a program, as EPS does
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # Pillow's modes in the words of a profile
SAVE_ANEW = "save it as an 8-bit PNG or JPEG"
JPEG_NOISE = 24  # levels of 255 that the channels of a grey JPEG may be apart
SAME = 3  # levels of 255 by which a colour may differ from sRGB before it is converted

Role = Literal["source", "mask", "input"]


@dataclass(frozen=True)
class Picture:
    """A picture as it goes to a server.

    name   the name that it is uploaded under: equal for equal bytes
    notes  sentences about what is edited otherwise than the file has it
    """

    name: str
    data: bytes
    notes: tuple[str, ...] = ()


def read_picture(path: Path, role: Role = "source", called: str = "") -> Picture:
    """Read a picture file.

    role    "source" of an edit: transparent parts become white, of an animation the first frame is
            taken; "mask", whose white may change: transparent parts become black; "input" of any
            workflow: transparency and frames stay, since its nodes may use them
    called  what the file is to its user, where that is not its path

    Raises InputError that says why a file cannot be edited as a viewer shows it.
    """
    called = called or str(path)
    try:
        if path.stat().st_size > MAX_PICTURE:
            raise InputError(f"{called}: larger than 1 GiB")
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{called}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{called} is a folder, not a picture") from None
    except OSError as error:
        raise InputError(f"{called}: {error.strerror}") from None
    with opened(data, called) as picture:
        try:
            picture.load()
        except Image.DecompressionBombError as error:
            raise InputError(f"{called}: {error}") from None
        except Exception as error:  # Pillow raises nearly anything on a broken file
            raise InputError(
                f"{called}: the file is damaged or not whole ({error}); copy or download it again"
            ) from None
        shown, notes = as_seen(picture, called, role)
        suffix = SENT.get(picture.format or "")
    if role == "mask":
        notes += mask_notes(shown, called)
    if shown is not picture or suffix is None:
        encoded = io.BytesIO()
        shown.save(encoded, "PNG", compress_level=1)
        data, suffix = encoded.getvalue(), ".png"
    return Picture(hashlib.sha256(data).hexdigest()[:24] + suffix, data, notes)


def opened(data: bytes, called: str) -> Image.Image:
    """The picture, not yet decoded. Raises InputError if it is none."""
    heif = data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS
    if heif:
        try:
            import pillow_heif
        except ImportError:
            raise InputError(
                f"{called} is HEIC, which needs one more package: "
                "pip install 'instruct-pix2pix[heic]'; or save it as JPEG"
            ) from None
        pillow_heif.register_heif_opener()
    Image.init()
    try:
        known = [name for name in READ if name in Image.OPEN]
        return Image.open(io.BytesIO(data), formats=known)
    except UnidentifiedImageError:
        what = "is empty" if not data else "is not a picture that can be read"
        raise InputError(f"{called} {what}; give a PNG, JPEG, WebP, TIFF, GIF or BMP") from None
    except Exception as error:
        raise InputError(
            f"{called}: the file is damaged or no picture ({error}); copy or download it again"
        ) from None


def as_seen(picture: Image.Image, called: str, role: Role) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture itself where the server decodes it rightly, else a copy in 8 bits and sRGB."""
    notes, name = [], Path(called).name
    upright = shown = ImageOps.exif_transpose(picture)
    if picture.mode in ("I", "I;16", "I;16B", "I;16L"):
        shown = eight_bits(upright, called)
    elif picture.mode in ("F", "LAB", "HSV"):
        kind = "floating-point numbers" if picture.mode == "F" else f"{picture.mode} colours"
        raise InputError(f"{called} holds {kind}, which not all viewers show alike; {SAVE_ANEW}")
    if role != "mask":
        shown = in_srgb(shown)
    if role != "input" and shown.has_transparency_data:
        seen = shown.convert("RGBA")
        if seen.getchannel("A").getextrema() != (255, 255):
            ground = "black" if role == "mask" else "white"
            notes.append(f"{name}: its transparent parts are taken as {ground}")
            shown = Image.alpha_composite(Image.new("RGBA", seen.size, ground), seen)
            shown = shown.convert("RGB")
    # The others of an MPO are previews, which core skips.
    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    if shown is upright and (role == "input" if frames > 1 else decoded_alike(picture)):
        return picture, tuple(notes)
    if frames > 1:
        notes.append(f"{name}: only the first of its {frames} frames or pages is used")
    if shown.mode in ("CMYK", "YCbCr"):
        shown = shown.convert("RGB")
    shown.info = {}  # a profile or a transparent colour would be applied again
    return shown, tuple(notes)


def decoded_alike(picture: Image.Image) -> bool:
    """Whether every ComfyUI decodes the file as Pillow does, within 3 levels of 255."""
    if picture.format in ("JPEG", "MPO"):
        parts = getattr(picture, "layer", ())  # (number, share across, share down, table) each
        whole = all(across == down == 1 for _, across, down, _ in parts)
        return picture.mode == "L" or (picture.mode == "RGB" and whole)
    return picture.format in SENT and picture.format != "TIFF"


def eight_bits(picture: Image.Image, called: str) -> Image.Image:
    """16-bit grey in 8 bits."""
    wide = picture.convert("I")
    low, high = cast("tuple[int, int]", wide.getextrema())
    if low < 0 or high > 65535:
        raise InputError(
            f"{called} holds 32-bit numbers from {low} to {high}, whose white is not known; "
            f"{SAVE_ANEW}"
        )
    grey = wide.point(lambda level: level * (1 / 257) + 0.5).convert("L")
    grey.info = {"icc_profile": picture.info.get("icc_profile")}
    return grey


def in_srgb(picture: Image.Image) -> Image.Image:
    """The picture in sRGB by its own profile; itself where that is sRGB, or where it has none."""
    profile = picture.info.get("icc_profile")
    if not profile:
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = {"P": "RGB", "PA": "RGB", "RGBA": "RGB", "LA": "L", "1": "L"}.get(
            picture.mode, picture.mode
        )
        if SPACES.get(mode) != source.profile.xcolor_space.strip():
            return picture
        convert = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode != "CMYK" and is_srgb(convert, mode):
            return picture
        seen = ImageCms.applyTransform(picture.convert(mode), convert)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture  # a viewer passes over a broken profile, too
    assert seen is not None
    if picture.has_transparency_data:
        seen.putalpha(picture.convert("RGBA").getchannel("A"))
    return seen


def is_srgb(convert: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves the colours as they are, tried on colours from all corners."""
    levels = bytes(range(0, 256, 15))
    if mode == "L":
        probe = Image.frombytes("L", (len(levels), 1), levels)
    else:
        cube = bytes(v for r in levels for g in levels for b in levels for v in (r, g, b))
        probe = Image.frombytes("RGB", (len(levels) ** 3, 1), cube)
    seen = ImageCms.applyTransform(probe, convert)
    assert seen is not None
    before, after = probe.convert("RGB").tobytes(), seen.tobytes()
    return max(abs(a - b) for a, b in zip(before, after, strict=True)) <= SAME


def mask_notes(mask: Image.Image, called: str) -> tuple[str, ...]:
    """What a person should know of a mask whose white may change: that it has none, or colours."""
    name = Path(called).name
    red, green, blue = mask.convert("RGB").split()
    if not red.getbbox():
        return (f"{name}: the mask has no white, so nothing changes; paint what may change",)
    apart = (ImageChops.difference(red, other) for other in (green, blue))
    if any(channel.point(lambda level: level > JPEG_NOISE).getbbox() for channel in apart):
        return (f"{name}: the mask has colours, of which only red counts; use black and white",)
    return ()
