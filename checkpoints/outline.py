"""The names and shapes of a checkpoint's tensors, read from its header alone, without torch."""

from __future__ import annotations

import json
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .pickles import PickleError, read_pickle

SAFETENSORS = (".safetensors", ".sft")
MAX_HEADER = 256 << 20
"""No real header is larger, in bytes."""


VARIANTS = ("", ".fp16")
"""Full precision first."""
NOT_AVERAGED = (".non_ema",)
"""Raw weights where a trainer kept the averaged ones beside them."""


class OutlineError(ValueError):
    """A file whose header cannot be read. The message says in what way."""


@dataclass(frozen=True)
class Outline:
    """What a header tells.

    shapes    the sizes of each tensor by its name
    metadata  texts that a .safetensors carries
    pipeline  `_class_name` of a diffusers folder's model_index.json
    """

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str] = field(default_factory=dict)
    pipeline: str = ""


def read_outline(path: Path) -> Outline | None:
    """The outline of a file or of a diffusers folder, whose names are those of its UNet.

    None for a format that does not tell without loading it (a .ckpt from before PyTorch 1.6).
    Raises OutlineError for a damaged file, OSError where there is none.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() in SAFETENSORS:
        return _read_safetensors(path)
    if path.stat().st_size == 0:
        raise OutlineError("it is empty")
    if not zipfile.is_zipfile(path):
        return None
    try:
        return Outline({name: stored.shape for name, stored in read_pickle(path).items()})
    except PickleError as error:
        raise OutlineError(str(error)) from error


def component_files(
    folder: Path, stem: str, pickled_stem: str, variants: tuple[str, ...] = VARIANTS
) -> list[Path]:
    """The files that hold one component of a diffusers pipeline, [] where the folder holds none.

    Safetensors go before .bin, and earlier `variants` before later ones. Raises OutlineError for a
    bad index of shards.
    """
    for name, suffix in ((stem, ".safetensors"), (pickled_stem, ".bin")):
        for variant in variants:
            single = folder / f"{name}{variant}{suffix}"
            if single.is_file():
                return [single]
            index = folder / f"{name}{suffix}.index{variant}.json"
            if index.is_file():
                return _shards(index)
    return []


def short_name(path: Path) -> str:
    """A file of a diffusers folder as errors name it: pipeline/component/file."""
    return "/".join(path.parts[-3:])


def _read_folder(folder: Path) -> Outline:
    pipeline = _json(folder / "model_index.json").get("_class_name", "")
    stem = "diffusion_pytorch_model"
    shapes: dict[str, tuple[int, ...]] = {}
    for component in (folder / "unet", folder / "transformer", folder):
        files = component_files(component, stem, stem)
        for file in files or component_files(component, stem, stem, NOT_AVERAGED):
            part = read_outline(file)
            shapes |= part.shapes if part else {}
        if shapes:
            break
    return Outline(shapes, pipeline=str(pipeline))


def _read_safetensors(path: Path) -> Outline:
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER + 1
        if length > min(MAX_HEADER, path.stat().st_size):
            raise OutlineError("it is not a .safetensors file, or its download was cut short")
        text = file.read(length)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {})
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutlineError(f"its header is damaged ({error})") from error
    if 8 + length + end > path.stat().st_size:
        raise OutlineError("its download was cut short")
    return Outline(shapes, {str(k): str(v) for k, v in metadata.items()})


def _shards(index: Path) -> list[Path]:
    places = _json(index).get("weight_map")
    if not isinstance(places, dict):
        raise OutlineError(f"{short_name(index)}: this index has no weight_map.")
    names = sorted({str(place) for place in places.values()})
    # An index may name files beside it, no others.
    strange = next((name for name in names if Path(name).name != name), None)
    if strange is not None:
        raise OutlineError(f"{short_name(index)}: {strange!r} is not the name of a file beside it.")
    return [index.parent / name for name in names]


def _json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, {} where there is none."""
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError as error:
        raise OutlineError(f"{short_name(path)}: this is not valid JSON ({error}).") from error
    if not isinstance(settings, dict):
        kind = type(settings).__name__
        raise OutlineError(f"{short_name(path)}: a JSON object was expected, not {kind}.")
    return settings
