"""Picture files of the page: uploads checked, masks fitted, thumbnails, and all in one archive."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from PIL import Image

from ..errors import InputError
from ..picture import Picture, Role, opened, read_picture
from .asked import Refused
from .session import Kept

SMALL = 256  # pixels on the longer side of a thumbnail
MAX_PIXELS = 120_000_000  # more would take gigabytes to read


def checked_picture(data: bytes, role: Role, name: str, folder: Path) -> Picture:
    """An uploaded file as `read_picture` takes it. Raises Refused for what is not a picture."""
    try:
        with opened(data, name) as picture:
            width, height = picture.size
        if width * height > MAX_PIXELS:
            most = MAX_PIXELS // 10**6
            raise Refused("upload", f"{name}: {width} x {height} pixels; at most {most} million")
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(data)
            file.flush()
            return read_picture(Path(file.name), role, name)
    except InputError as error:
        raise Refused("upload", str(error)) from None


def fitting(mask: bytes, picture: Path) -> bytes:
    """A mask, which was painted on the picture as it is shown, in the size of the picture."""
    encoded = io.BytesIO()
    with Image.open(picture) as shown, Image.open(io.BytesIO(mask)) as painted:
        painted.convert("L").resize(shown.size, Image.Resampling.BILINEAR).save(encoded, "PNG")
    return encoded.getvalue()


def thumbnail(path: Path) -> bytes:
    """A picture in JPEG, small enough for lists."""
    encoded = io.BytesIO()
    with Image.open(path) as picture:
        picture.draft("RGB", (SMALL, SMALL))
        picture.thumbnail((SMALL, SMALL))
        picture.convert("RGB").save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def write_zip(file: IO[bytes], pictures: Sequence[Kept]) -> None:
    """All pictures, numbered in their order."""
    with zipfile.ZipFile(file, "w") as archive:
        for number, kept in enumerate(pictures, 1):
            archive.write(kept.path, f"{number:03d}-{kept.name}")
