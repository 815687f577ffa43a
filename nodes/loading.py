"""Choosing and loading a checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..checkpoints.files import CheckpointError
from ..checkpoints.layouts import Weights
from ..checkpoints.loading import load_checkpoint, load_text_to_image
from ..checkpoints.places import hub_cache, pipelines_below, the_one
from ..edits.settings import BUILT_IN, TEXT_TO_IMAGE
from .inputs import ESSENTIALS, WORDS, newer, setting_input

BUILT_IN_FILE = Path(__file__).resolve().parents[1] / "mini" / "ip2p-mini.safetensors"
TEXT_TO_IMAGE_FILE = BUILT_IN_FILE.with_name("ip2p-mini-text-to-image.safetensors")
WEIGHTS: tuple[Weights, ...] = ("auto", "ema", "raw")


def entries() -> dict[str, Path | str]:
    """What the combo lists, in its order: its path, or the model folder that ComfyUI finds it in.

    Of two entries of one name the first counts.
    """
    found: dict[str, Path | str] = {BUILT_IN: BUILT_IN_FILE, TEXT_TO_IMAGE: TEXT_TO_IMAGE_FILE}
    for kind in ("checkpoints", "diffusion_models"):
        for name in folder_paths.get_filename_list(kind):
            found.setdefault(name, kind)
    folders: dict[str, Path] = {}
    for root in folder_paths.get_folder_paths("diffusers"):
        for name, path in pipelines_below(root):
            folders.setdefault(name, path)
    for name, path in [*sorted(folders.items()), *hub_cache().items()]:
        found.setdefault(name, path)
    return found


def find_checkpoint(checkpoint: str) -> Path:
    """The file or folder behind an entry of the combo.

    Another spelling of an entry is taken where it can mean one alone; anything else raises
    CheckpointError: a prompt may come from anywhere, and older cores do not check it.
    """
    if checkpoint == BUILT_IN:
        return BUILT_IN_FILE
    known = entries()
    name = the_one(checkpoint, known) if isinstance(checkpoint, str) else None
    place = known[name] if name is not None else None
    if isinstance(place, str):
        # None when it was deleted since the list was made.
        full = folder_paths.get_full_path(place, name)
        place = Path(full) if full else None
    if place is None:
        raise CheckpointError(
            f"checkpoint: {checkpoint!r} is not there. Put checkpoints in models/checkpoints or "
            "diffusers folders in models/diffusers, refresh the editor (key R), and choose one of "
            "them. `ip2p models` lists those that can be downloaded."
        )
    if name != checkpoint:
        logging.info("checkpoint: %r is not there, took %r.", checkpoint, name)
    return place


class IP2PLoadCheckpoint(io.ComfyNode):
    """Loads an InstructPix2Pix checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PLoadCheckpoint",
            display_name="Load Checkpoint (InstructPix2Pix)",
            category="InstructPix2Pix",
            **newer(io.Schema, search_aliases=WORDS, essentials_category=ESSENTIALS),
            description=(
                "Loads a model that edits pictures by instruction: the small built-in one, a "
                "single file, or a diffusers folder."
            ),
            inputs=[
                setting_input(
                    "checkpoint",
                    # Made anew whenever the editor asks, so that a refresh shows new files.
                    list(entries()),
                ),
                setting_input("weights"),
            ],
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="The editing model."),
                io.Clip.Output(
                    "clip",
                    display_name="clip",
                    tooltip="The text encoder. If the file has none, use Load CLIP.",
                ),
                io.Vae.Output(
                    "vae",
                    display_name="vae",
                    tooltip="Picture to latent and back. If the file has none, use Load VAE.",
                ),
                io.Int.Output(
                    "resolution",
                    display_name="resolution",
                    tooltip="The picture size that the model was trained for, in pixels.",
                ),
                io.Float.Output(
                    "text_cfg",
                    display_name="text_cfg",
                    tooltip="The usual text_cfg of this kind of model: 7.5, or 5 for SDXL.",
                ),
                io.Float.Output(
                    "image_cfg",
                    display_name="image_cfg",
                    tooltip="The usual image_cfg of this kind of model: 1.5.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str | None = None) -> bool | str:
        """Takes another spelling of an entry, which ComfyUI's own check of combos would not.

        None for a name that another node gives, which is not known yet.
        """
        try:
            if checkpoint is not None:
                find_checkpoint(checkpoint)
        except CheckpointError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, weights: str) -> list[tuple[str, int, int]]:
        """Changes when a file of the checkpoint changes, so that it is loaded again."""
        path = find_checkpoint(checkpoint)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return [(str(file), (s := file.stat()).st_mtime_ns, s.st_size) for file in files]

    @classmethod
    def execute(cls, checkpoint: str, weights: str) -> io.NodeOutput:
        choice = next((known for known in WEIGHTS if known == weights), None)
        if choice is None:
            raise CheckpointError(f"weights: {weights!r} is not one of {', '.join(WEIGHTS)}.")
        path, embeddings = find_checkpoint(checkpoint), folder_paths.get_folder_paths("embeddings")
        if path == TEXT_TO_IMAGE_FILE:
            loaded = load_text_to_image(path, BUILT_IN_FILE, embeddings)
        else:
            loaded = load_checkpoint(path, choice, embeddings)
        return io.NodeOutput(
            loaded.model,
            loaded.clip,
            loaded.vae,
            loaded.resolution,
            loaded.text_cfg,
            loaded.image_cfg,
        )
