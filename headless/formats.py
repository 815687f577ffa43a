"""The files that an edit can be saved as: their names, whether one is whole, and what it holds.

ComfyUI's SaveImage makes PNG. The other formats are made from that here, with the prompt kept in
them as ComfyUI keeps it in WebP.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import InputError, ServerMisbehaved

if TYPE_CHECKING:
    from PIL import Image

# EXIF tags in which ComfyUI keeps "prompt:{...}" and "workflow:{...}".
EXIF_TAGS = {"prompt": 0x0110, "workflow": 0x010F}
MOST_EXIF = 65_000  # bytes; more does not fit into a JPEG


@dataclass(frozen=True)
class OutputFormat:
    """One kind of picture file.

    name      as Pillow calls it
    suffixes  of file names, the usual one first
    start     what a file begins with
    end       what a whole file ends with; a WebP says its size instead
    options   how Pillow saves it
    """

    name: str
    suffixes: tuple[str, ...]
    start: bytes
    end: bytes = b""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        return self.suffixes[0]

    def check(self, file: BinaryIO, name: str) -> None:
        """Raise ServerMisbehaved unless the file is whole, as far as its two ends tell."""
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        start = file.read(12)
        file.seek(-min(len(self.end), size), io.SEEK_END)
        whole = start.startswith(self.start) and file.read() == self.end
        if self.name == "WEBP":
            whole = whole and int.from_bytes(start[4:8], "little") + 8 == size
        if not whole:
            raise ServerMisbehaved(f"what the server sent for {name} is not a whole {self.name}")

    def encode(self, png: BinaryIO, into: BinaryIO) -> None:
        """Write the picture of a PNG in this format, with what the PNG says of its making."""
        from PIL import Image

        with Image.open(png) as picture:
            picture.load()
            exif = Image.Exif()
            for name, tag in EXIF_TAGS.items():
                if name in picture.info:
                    exif[tag] = f"{name}:{picture.info[name]}"
            shown = self.drawable(picture)
        data = exif.tobytes()
        shown.save(into, self.name, exif=data if len(data) < MOST_EXIF else b"", **self.options)

    def drawable(self, picture: Image.Image) -> Image.Image:
        """The picture in colours that this format has: a JPEG has no transparency."""
        from PIL import Image

        if self.name == "JPEG" and picture.has_transparency_data:
            seen = picture.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
        return picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB")


PNG = OutputFormat("PNG", (".png",), b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82")
JPEG = OutputFormat(
    *("JPEG", (".jpg", ".jpeg"), b"\xff\xd8\xff", b"\xff\xd9"),
    {"quality": 95, "subsampling": 0},
)
WEBP = OutputFormat("WEBP", (".webp",), b"RIFF", b"", {"quality": 95})
FORMATS = {kind.suffix.removeprefix("."): kind for kind in (PNG, JPEG, WEBP)}
BY_SUFFIX = {suffix: kind for kind in FORMATS.values() for suffix in kind.suffixes}


def format_named(name: str) -> OutputFormat:
    """The format of `--format jpg`. Raises InputError that lists them all."""
    wanted = name.lower().removeprefix(".").replace("jpeg", "jpg")
    if wanted not in FORMATS:
        raise InputError(f"format: got {name!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[wanted]


def format_of(name: str, called: str = "output") -> OutputFormat:
    """The format of a file name. Raises InputError for an unknown ending."""
    found = BY_SUFFIX.get(Path(name).suffix.lower())
    if found is None:
        raise InputError(f"{called}: {name[:120]!r} must end in {', '.join(BY_SUFFIX)}")
    return found


def prompt_in(path: Path) -> dict[str, Any] | None:
    """The prompt that a picture file was made by; None if it is broken or does not say."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            told = picture.info.get("prompt")
            if told is None:
                told = picture.getexif()[EXIF_TAGS["prompt"]].removeprefix("prompt:")
            found = json.loads(told)
            return found if isinstance(found, dict) else None
    except Exception:  # Pillow raises nearly anything on a broken file
        return None
