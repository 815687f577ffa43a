"""One training pair: two pictures and the instruction that leads from one to the other."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageOps


class PairsError(ValueError):
    """Pairs that cannot be used. The message names the place and says what to change."""


class Picture(Protocol):
    """A picture where it lies: a file, or a cell of a table. It is read when it is needed."""

    @property
    def name(self) -> str:
        """What errors and reports call it."""

    @property
    def stamp(self) -> str:
        """Another one when the picture is another one, told without reading it."""

    def read(self) -> bytes:
        """The encoded bytes. Raises PairsError where there are none."""


@dataclass(frozen=True)
class PictureFile:
    """A picture in a file of its own."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stamp(self) -> str:
        try:
            status = self.path.stat()
        except OSError as error:
            raise PairsError(f"{self.path} cannot be read ({error.strerror}).") from error
        return f"{self.path.absolute()} {status.st_size} {status.st_mtime_ns}"

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise PairsError(f"{self.path} cannot be read ({error.strerror}).") from error


def inside(path: Path, folder: Path | None, asked: str) -> Path:
    """`path`, which must lie below `folder` by its name or by what links lead to; None: anywhere.

    asked  how errors call what named the path. Raises PairsError.
    """
    if folder is None:
        return path
    written = Path(os.path.abspath(path))  # without "..", which would leave the folder of a link
    if written.is_relative_to(os.path.abspath(folder)):
        return written
    real = path.resolve()
    if not real.is_relative_to(folder.resolve()):
        raise PairsError(
            f"{asked} names {path}, which is not below {folder}. Put the picture there, and "
            "give its path from there."
        )
    return real


@dataclass(frozen=True)
class PictureBytes:
    """A picture that is held in memory, encoded."""

    name: str
    content: bytes = field(repr=False)

    @property
    def stamp(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def read(self) -> bytes:
        return self.content


def as_png(name: str, picture: Image.Image) -> PictureBytes:
    """The picture encoded as PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return PictureBytes(name, file.getvalue())


@dataclass(frozen=True)
class Pair:
    """What one row of a set of pairs holds.

    name            what errors and reports call it
    source, target  the picture before and after the edit
    instructions    the wordings of one edit, at least one; training draws one of them each time
    caption         what the picture before shows, "" where the set does not say
    edited_caption  what the picture after shows, likewise
    mask            white where the edit is, None where the set does not say
    origin          pairs of equal origin show the same source and are never split between
                    training and held-out; "" where only the source picture tells
    split           "train" or "held-out" where the set says, else ""
    scores          figures that came with the pair (CLIP similarities, a seed), kept when written
    """

    name: str
    source: Picture
    target: Picture
    instructions: tuple[str, ...]
    caption: str = ""
    edited_caption: str = ""
    mask: Picture | None = None
    origin: str = ""
    split: str = ""
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def instruction(self) -> str:
        """The first wording."""
        return self.instructions[0]

    @cached_property
    def group(self) -> str:
        """`origin`, else a digest of the source picture's bytes."""
        return self.origin or hashlib.sha256(self.source.read()).hexdigest()[:16]


def open_picture(picture: Picture) -> Image.Image:
    """The picture in RGB, upright as its EXIF says, transparency laid over white.

    Raises PairsError where it does not decode.
    """
    try:
        with Image.open(io.BytesIO(picture.read())) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return upright.convert("RGB")
    except PairsError:
        raise
    # Pillow raises nearly anything on a broken file.
    except Exception as error:
        raise PairsError(
            f"{picture.name} is not a picture that can be read ({error}). Replace the file, or "
            "take the pair out of the set."
        ) from error
