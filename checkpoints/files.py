"""Tensors and settings as they lie on disk: single files, shards and folders.

Everything is memory-mapped: a tensor costs memory when a model copies it, so taking one set of
weights out of a file that holds two never reads the other. Nothing here runs code from a file.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import comfy.utils  # noqa: F401  (allows the classes that Lightning checkpoints hold, as inert stubs)
import safetensors
import torch

StateDict = dict[str, torch.Tensor]

SAFETENSORS = (".safetensors", ".sft")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used. The message names it and says what to load instead."""


def read_tensors(path: Path, name: str) -> tuple[StateDict, dict[str, str]]:
    """The tensors of one file, memory-mapped, and its safetensors metadata.

    `name` is what errors call the file. Raises CheckpointError for a file that is missing, empty,
    cut short, of another kind, or that holds Python objects beside its tensors, which are never
    built.
    """
    try:
        if path.stat().st_size == 0:
            raise CheckpointError(f"{name}: this file is empty. Download it again.")
        if path.suffix.lower() in SAFETENSORS:
            return _read_safetensors(path)
        return _read_pickled(path, name), {}
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"{name}: this file cannot be opened ({error.strerror}). If it was moved or deleted, "
            "refresh the editor (key R) and choose again."
        ) from error
    except UnpicklingError as error:
        raise CheckpointError(
            f"{name}: this file is no checkpoint, or holds Python objects beside its tensors; they "
            "could run code, so they are never loaded. Use the .safetensors version of this file."
        ) from error
    # The readers meet whatever bytes there are, and raise whatever comes of them.
    except Exception as error:
        raise CheckpointError(
            f"{name}: this file is no checkpoint, or its download was cut short. Download it "
            "again, as a .safetensors file if there is one."
        ) from error


def read_component(folder: Path, stem: str, pickled_stem: str) -> StateDict:
    """The tensors of one folder of a diffusers pipeline, or {} where the folder holds none.

    Full precision goes before fp16, and safetensors before .bin. Files may be sharded.
    """
    for name, suffix in ((stem, ".safetensors"), (pickled_stem, ".bin")):
        for variant in ("", ".fp16"):
            single = folder / f"{name}{variant}{suffix}"
            if single.is_file():
                return read_tensors(single, _short(single))[0]
            index = folder / f"{name}{suffix}.index{variant}.json"
            if index.is_file():
                return _read_shards(index)
    return {}


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON object from a file, {} where there is none."""
    if not path.is_file():
        return {}
    return parse_settings(path.read_text(encoding="utf-8", errors="replace"), _short(path))


def parse_settings(text: str, name: str) -> dict[str, Any]:
    """A JSON object from text; `name` is what an error calls it."""
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{name}: this is not valid JSON ({error}).") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{name}: a JSON object was expected, not {type(settings).__name__}.")
    return settings


def _read_safetensors(path: Path) -> tuple[StateDict, dict[str, str]]:
    with safetensors.safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def _read_pickled(path: Path, name: str) -> StateDict:
    # Files from before PyTorch 1.6 are no zip archives and cannot be mapped.
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise CheckpointError(f"{name}: this file holds no named tensors.")
    tensors = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    # A stride of zero makes a few bytes look like any number of them.
    if any(tensor.nbytes > path.stat().st_size for tensor in tensors.values()):
        raise CheckpointError(f"{name}: a tensor in it claims to be larger than the file.")
    return tensors


def _read_shards(index: Path) -> StateDict:
    places = read_settings(index).get("weight_map")
    if not isinstance(places, dict):
        raise CheckpointError(f"{_short(index)}: this index has no weight_map.")
    tensors: StateDict = {}
    for name in sorted({str(place) for place in places.values()}):
        # An index may name files beside it, no others.
        if Path(name).name != name:
            raise CheckpointError(f"{_short(index)}: {name!r} is not the name of a file beside it.")
        shard = index.parent / name
        tensors |= read_tensors(shard, _short(shard))[0]
    return tensors


def _short(path: Path) -> str:
    """A file of a diffusers folder as errors name it: pipeline/component/file."""
    return "/".join(path.parts[-3:])
