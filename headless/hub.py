"""Editors that are known by name, and how they come from the Hugging Face hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError, OutputError, ServerMisbehaved, ServerUnavailable

WITHOUT = (
    *("*.ckpt", "*.bin", "*.onnx*", "*.msgpack", "*.h5", "safety_checker/*", "*.png", "*.jpg"),
    "checkpoint-*",
)
"""What a pipeline holds beside what is needed to edit; the last is what its trainer left in it."""


@dataclass(frozen=True)
class Known:
    """One editor on the hub.

    name        after `ip2p models get`
    repository  on the hub
    file        a single file, "" for a diffusers folder
    family      as the loader calls it
    size        of the download in GB
    licence     as its page names it, "" where it names none
    note        what sets it apart
    """

    name: str
    repository: str
    file: str
    family: str
    size: float
    licence: str
    note: str

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{self.repository}"

    def place(self, models: Path) -> Path:
        """Where it lies below ComfyUI's folder of models."""
        if self.file:
            return models / "checkpoints" / Path(self.file).name
        return models / "diffusers" / self.repository.split("/")[1]


KNOWN = (
    Known(
        "instruct-pix2pix",
        "timbrooks/instruct-pix2pix",
        "instruct-pix2pix-00-22000.safetensors",
        "Stable Diffusion 1.5",
        7.7,
        "mit",
        "the authors' own; begin here",
    ),
    Known(
        "magicbrush",
        "osunlp/InstructPix2Pix-MagicBrush",
        "MagicBrush-epoch-52-step-4999.ckpt",
        "Stable Diffusion 1.5",
        7.7,
        "creativeml-openrail-m",
        "trained on by hand-made edits of photos",
    ),
    Known(
        "hq-edit",
        "UCSC-VLAA/HQ-Edit",
        "",
        "Stable Diffusion 1.5",
        3.9,
        "",
        "trained on by detailed instructions",
    ),
    Known(
        "hive-magicbrush",
        "osunlp/HIVE-MagicBrush",
        "MagicBrush-epoch-000130.ckpt",
        "Stable Diffusion 2.1",
        8.7,
        "creativeml-openrail-m",
        "HIVE, trained on by hand-made edits of photos",
    ),
    Known(
        "sdxl-instructpix2pix",
        "diffusers/sdxl-instructpix2pix-768",
        "",
        "SDXL",
        12.3,
        "openrail++",
        "768 pixels: type 768 where the resolution is asked for",
    ),
    Known(
        "cosxl-edit",
        "stabilityai/cosxl",
        "cosxl_edit.safetensors",
        "SDXL",
        6.9,
        "cosxl-nc-community",
        "1024 pixels, not for commerce; accept its licence on its page first",
    ),
)


def known(name: str) -> Known:
    """The editor of that name; InputError lists them all."""
    found = next((model for model in KNOWN if model.name == name), None)
    if found is None:
        raise InputError(
            f"models get: {name!r} is not known; choose one of "
            f"{', '.join(model.name for model in KNOWN)}"
        )
    return found


def bring(model: Known, models: Path, say: Callable[[str], None]) -> Path:
    """Download an editor into ComfyUI's folder of models, going on where a download stopped.

    A file that is whole already is only checked. HF_ENDPOINT, HF_TOKEN and a stored login count, as
    everywhere with huggingface_hub. Every large file is compared with the SHA-256 that the hub
    gives; one that differs is deleted. Raises InputError where huggingface_hub is missing or the
    hub refuses, ServerUnavailable where it cannot be reached, ServerMisbehaved for a wrong file.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError as error:
        raise InputError(
            "models get: this needs huggingface_hub. Install it: pip install huggingface_hub"
        ) from error
    place = model.place(models)
    try:
        if model.file:
            place.parent.mkdir(parents=True, exist_ok=True)
            wanted = {model.file: place}
            hub.hf_hub_download(model.repository, model.file, local_dir=place.parent)
        else:
            hub.snapshot_download(model.repository, local_dir=place, ignore_patterns=[*WITHOUT])
            names = [path.relative_to(place) for path in place.rglob("*.safetensors")]
            wanted = {name.as_posix(): place / name for name in names}
        for name, path in wanted.items():
            say(f"checking {name}")
            _check(hub.get_hf_file_metadata(hub.hf_hub_url(model.repository, name)), path)
    except errors.GatedRepoError as error:
        raise InputError(
            f"{model.name}: its owner asks you to accept the licence first, on {model.page}; then "
            "set HF_TOKEN to a token of yours (hf auth login)"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise InputError(f"{model.name}: the hub has no {model.repository}/{model.file}") from error
    except PermissionError as error:
        raise OutputError(f"{place}: cannot be written ({error.strerror})") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise ServerUnavailable(
            f"{model.name}: the download stopped ({str(error).splitlines()[0][:200]}). The same "
            "command goes on where it stopped"
        ) from error
    return place


def _check(told: Any, path: Path) -> None:
    """ServerMisbehaved, and the file deleted, unless it has the size and the hash of the hub's."""
    wrong = ""
    if told.size is not None and path.stat().st_size != told.size:
        wrong = f"{path.stat().st_size} bytes instead of {told.size}"
    elif told.etag and len(told.etag) == 64:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != told.etag:
            wrong = f"SHA-256 {found[:12]}... instead of {told.etag[:12]}..."
    if wrong:
        path.unlink()
        raise ServerMisbehaved(f"{path.name}: the file that came is not the hub's: {wrong}")
