"""Choosing and loading a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..checkpoints.files import CheckpointError
from ..checkpoints.layouts import Weights
from ..checkpoints.loading import load_checkpoint
from ..edits.settings import BUILT_IN
from .inputs import setting_input

BUILT_IN_FILE = Path(__file__).resolve().parents[1] / "mini" / "ip2p-mini.safetensors"
WEIGHTS: tuple[Weights, ...] = ("auto", "ema", "raw")


def diffusers_folders() -> dict[str, Path]:
    """The pipelines in the `diffusers` model folders by their path below; the first one wins."""
    found: dict[str, Path] = {}
    for root in folder_paths.get_folder_paths("diffusers"):
        for folder, subfolders, files in os.walk(root, followlinks=True):
            if any(os.path.samefile(folder, parent) for parent in Path(folder).parents):
                subfolders.clear()  # a link in a circle
            elif "model_index.json" in files:
                subfolders.clear()  # a pipeline holds no others
                found.setdefault(os.path.relpath(folder, root), Path(folder))
    return found


def find_checkpoint(checkpoint: str) -> Path:
    """The file or folder behind an entry of the combo.

    Anything that is not an entry raises CheckpointError: a prompt may come from anywhere, and older
    cores do not check it.
    """
    if checkpoint == BUILT_IN:
        return BUILT_IN_FILE
    if checkpoint in folder_paths.get_filename_list("checkpoints"):
        # None when it was deleted since the list was made.
        if path := folder_paths.get_full_path("checkpoints", checkpoint):
            return Path(path)
    folders = diffusers_folders()
    if checkpoint in list(folders):
        return folders[checkpoint]
    raise CheckpointError(
        f"checkpoint: {checkpoint!r} is not there. Put checkpoints in models/checkpoints or "
        "diffusers folders in models/diffusers, refresh the editor (key R), and choose one of them."
    )


class IP2PLoadCheckpoint(io.ComfyNode):
    """Loads an InstructPix2Pix checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PLoadCheckpoint",
            display_name="Load Checkpoint (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Loads a model that edits pictures by instruction: the small built-in one, a "
                "single file, or a diffusers folder."
            ),
            inputs=[
                setting_input(
                    "checkpoint",
                    # Made anew whenever the editor asks, so that a refresh shows new files.
                    [
                        BUILT_IN,
                        *folder_paths.get_filename_list("checkpoints"),
                        *sorted(diffusers_folders()),
                    ],
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
            ],
        )

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
        loaded = load_checkpoint(
            find_checkpoint(checkpoint),
            choice,
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
        )
        return io.NodeOutput(loaded.model, loaded.clip, loaded.vae, loaded.resolution)
