"""Tensors and settings as they lie on disk: single files, shards and folders.

Everything is memory-mapped: a tensor costs memory when a model copies it, so taking one set of
weights out of a file that holds two never reads the other. Nothing here runs code from a file.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import comfy.utils  # noqa: F401  (allows the classes that Lightning's old files hold, as stubs)
import safetensors
import torch

from .outline import (
    SAFETENSORS,
    VARIANTS,
    OutlineError,
    component_files,
    read_outline,
    short_name,
)
from .pickles import WRAPPERS, PickleError, Stored, read_pickle

StateDict = dict[str, torch.Tensor]


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
        return _read_pickled(path), {}
    except CheckpointError:
        raise
    except PickleError as error:
        raise CheckpointError(
            f"{name}: this file cannot be used as a checkpoint: {error}. If it was downloaded, "
            "download it again, as a .safetensors file if there is one."
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{name}: this file cannot be opened ({error.strerror}). If it was moved or deleted, "
            "refresh the editor (key R) and choose again."
        ) from error
    except UnpicklingError as error:
        raise CheckpointError(
            f"{name}: this file is not a checkpoint, or holds Python objects beside its tensors; "
            "they could run code, so they are never loaded. Use the .safetensors version of this "
            "file."
        ) from error
    # The readers meet whatever bytes there are, and raise whatever comes of them.
    except Exception as error:
        raise CheckpointError(
            f"{name}: this file is not a checkpoint, or its download was cut short. Download it "
            "again, as a .safetensors file if there is one."
        ) from error


def read_component(
    folder: Path, stem: str, pickled_stem: str, variants: tuple[str, ...] = VARIANTS
) -> StateDict:
    """The tensors of one folder of a diffusers pipeline, or {} where the folder holds none.

    Safetensors go before .bin, and earlier `variants` before later ones. Files may be sharded.
    """
    try:
        files = component_files(folder, stem, pickled_stem, variants)
    except OutlineError as error:
        raise CheckpointError(str(error)) from error
    tensors: StateDict = {}
    for file in files:
        tensors |= read_tensors(file, short_name(file))[0]
    return tensors


def read_metadata(folder: Path, stem: str) -> dict[str, str]:
    """What the .safetensors files of one folder of a diffusers pipeline say of themselves."""
    outlines = (read_outline(file) for file in component_files(folder, stem, stem))
    return {key: text for each in outlines if each for key, text in each.metadata.items()}


def read_settings(path: Path) -> dict[str, Any]:
    """A JSON object from a file, {} where there is none."""
    if not path.is_file():
        return {}
    return parse_settings(path.read_text(encoding="utf-8", errors="replace"), short_name(path))


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


def _read_pickled(path: Path) -> StateDict:
    if not zipfile.is_zipfile(path):
        return _read_legacy(path)
    size = path.stat().st_size
    whole = cast(torch.UntypedStorage, torch.UntypedStorage.from_file(str(path), False, size))
    return {name: _mapped(whole, stored) for name, stored in read_pickle(path).items()}


def _mapped(whole: torch.UntypedStorage, stored: Stored) -> torch.Tensor:
    """One tensor over the mapped file; those of one record share its storage, as when saved."""
    start, length = stored.record
    dtype = getattr(torch, stored.dtype)
    offset = (stored.start - start) // dtype.itemsize
    record = whole[start : start + length]
    tensor = torch.empty(0, dtype=dtype).set_(record, offset, stored.shape, stored.stride)
    # A stride of zero makes a few bytes look like any number of them.
    if tensor.nbytes > whole.nbytes():
        raise PickleError("a tensor in it claims to be larger than the file")
    return tensor


def _read_legacy(path: Path) -> StateDict:
    """Files from before PyTorch 1.6 are not zip archives: they are read whole, tensors alone."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise PickleError("it holds no named tensors")
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
