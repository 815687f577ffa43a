"""Training pairs in, an editor of one's own out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image

from ..edits.presets import PRESETS
from ..pairs.checks import examine
from ..pairs.command import contact_sheet
from ..pairs.layouts import read_pairs
from ..pairs.pair import Pair, PairsError
from ..training.graph import run_folder, train_in_graph
from ..training.run import Progress
from ..training.settings import Settings

EXAMPLE = "example (built-in)"
EXAMPLE_FOLDER = Path(__file__).resolve().parents[1] / "pairs" / "example"
PREVIEW = 512

PairsType = io.Custom("IP2P_PAIRS")


def find_pairs(folder: str) -> Path:
    """The place of a set of pairs: the bundled one, or one below ComfyUI's input folder."""
    if folder == EXAMPLE:
        return EXAMPLE_FOLDER
    root = Path(folder_paths.get_input_directory())
    place = root / folder
    # Prompts may come from anywhere: they read what lies in input/, and what is linked there.
    if Path(folder).is_absolute() or ".." in Path(folder).parts or not folder.strip():
        raise PairsError(
            f"folder: got {folder!r}. Put the pairs, or a link to them, into ComfyUI's input "
            "folder, and give the name that they have there."
        )
    return place


def as_image(picture: Image.Image) -> torch.Tensor:
    """A picture as ComfyUI's IMAGE [1, H, W, 3]."""
    return torch.from_numpy(np.array(picture)).float()[None] / 255


class IP2PLoadPairs(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PLoadPairs",
            display_name="Load Training Pairs (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Reads pictures before and after an edit, with the instructions between them, "
                "and says what is wrong with them before you train."
            ),
            inputs=[
                io.String.Input(
                    "folder",
                    default=EXAMPLE,
                    tooltip=(
                        "A folder or table in ComfyUI's input folder: before/ and after/ with "
                        "equal names and .txt beside, a .parquet, .jsonl or .csv, or the official "
                        "seeds.json."
                    ),
                ),
                io.Int.Input(
                    "limit",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="The most pairs to read; 0 reads all.",
                ),
            ],
            outputs=[
                PairsType.Output("pairs", display_name="pairs", tooltip="For IP2PTrain."),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="What was found: counts, sizes, pairs that cannot be used and why.",
                ),
                io.Image.Output(
                    "sheet",
                    display_name="sheet",
                    tooltip="Twelve pairs, before and after: look whether they are the right way.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str, limit: int) -> list[str]:
        """Changes when a picture or a text does."""
        place = find_pairs(folder)
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        return [f"{path} {(s := path.stat()).st_mtime_ns} {s.st_size}" for path in files]

    @classmethod
    def execute(cls, folder: str, limit: int) -> io.NodeOutput:
        place = find_pairs(folder)
        root = place if folder == EXAMPLE else Path(folder_paths.get_input_directory())
        pairs = read_pairs(place, below=root)
        report = examine(pairs[:limit] if limit else pairs)
        text = "\n".join(report.lines(resolution=0))
        if not report.pairs:
            raise PairsError(f"folder: not one pair in {folder!r} can be used.\n{text}")
        return io.NodeOutput(report.pairs, text, as_image(contact_sheet(report.pairs)))


class IP2PTrain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PTrain",
            display_name="Train (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Teaches a model your own edits from pairs of pictures. The queue waits until "
                "it is done, so use it for runs as short as a LoRA's; for long ones use the "
                "command ip2p train."
            ),
            inputs=[
                io.Model.Input("model", tooltip="Where to start: an InstructPix2Pix model."),
                io.Clip.Input("clip", tooltip="Its text encoder; it is not trained."),
                io.Vae.Input("vae", tooltip="Its VAE; it is not trained."),
                PairsType.Input("pairs", tooltip="From IP2PLoadPairs."),
                io.Combo.Input(
                    "kind",
                    options=["lora", "full"],
                    default="lora",
                    tooltip=(
                        "lora: a small addition to the model. full: every weight, and far more "
                        "memory."
                    ),
                ),
                io.Int.Input(
                    "rank",
                    default=16,
                    min=1,
                    max=1024,
                    tooltip="Size of the LoRA. A higher one holds more.",
                ),
                io.Int.Input(
                    "steps",
                    default=500,
                    min=1,
                    max=1_000_000,
                    tooltip="Updates. Stop when the sample pictures are good; more may be worse.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=4,
                    min=1,
                    max=1024,
                    tooltip="Pairs at once. As many as the memory takes.",
                ),
                io.Float.Input(
                    "learning_rate",
                    default=1e-4,
                    min=0.0,
                    max=1.0,
                    step=1e-6,
                    round=1e-7,
                    tooltip="Size of a step. Too high spoils the model, too low learns nothing.",
                ),
                io.Float.Input(
                    "dropout",
                    default=0.05,
                    min=0.0,
                    max=0.33,
                    step=0.01,
                    tooltip=(
                        "Share of samples that lose the text, the picture, or both. Without it "
                        "the two scales of guidance do nothing."
                    ),
                ),
                io.Int.Input(
                    "resolution",
                    default=512,
                    min=64,
                    max=4096,
                    step=8,
                    tooltip="Training size in pixels. Connect the loader's.",
                ),
                io.Int.Input(
                    "sample_every",
                    default=100,
                    min=1,
                    max=1_000_000,
                    tooltip="Steps between sample pictures and measured held-out losses.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip=(
                        "The random numbers of the training. The same seed trains the same model."
                    ),
                ),
                io.String.Input(
                    "run",
                    default="my edit",
                    tooltip=(
                        "Name of the run's folder in output/training. After a stop, the same "
                        "prompt goes on where the run was."
                    ),
                ),
                io.Float.Input(
                    "keep",
                    default=0.5,
                    min=0.0,
                    max=0.9,
                    step=0.05,
                    optional=True,
                    tooltip=(
                        "Share of samples with other instructions, on which the model learns to "
                        "answer as before, so that it does not forget. 0 for a model that does not "
                        "edit yet."
                    ),
                ),
                io.Float.Input(
                    "text_cfg",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    optional=True,
                    tooltip="Scale of the instruction in the sample pictures.",
                ),
                io.Float.Input(
                    "image_cfg",
                    default=1.5,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    optional=True,
                    tooltip="Scale of the picture in the sample pictures.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    # The ids may not equal input ids on the oldest supported ComfyUI.
                    "trained",
                    display_name="model",
                    tooltip="The model with what was learnt, for IP2PKSampler.",
                ),
                io.Custom("LORA_MODEL").Output(
                    "lora",
                    display_name="lora",
                    tooltip="What was learnt, for LoraModelLoader and SaveLoRA.",
                ),
                io.Custom("LOSS_MAP").Output(
                    "loss", display_name="loss", tooltip="The loss of each step, for LossGraphNode."
                ),
                io.Image.Output(
                    "samples",
                    display_name="samples",
                    tooltip="Before, the edit at the start and now, after: a row for each pair.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        pairs: list[Pair],
        run: str,
        steps: int,
        keep: float = 0.5,
        **choices: Any,
    ) -> io.NodeOutput:
        settings = Settings(steps=steps, keep=keep, save_every=0, held_out=0.1, **choices)
        root = Path(folder_paths.get_output_directory()) / "training"
        bar = comfy.utils.ProgressBar(steps)

        def show(progress: Progress) -> None:
            picture = progress.picture and ("JPEG", progress.picture, PREVIEW)
            bar.update_absolute(progress.step, steps, picture)

        lessons = [preset.instruction() for preset in PRESETS.values()]
        folder = run_folder(root, run, settings, pairs)
        trained = train_in_graph(folder, settings, model, clip, vae, pairs, lessons, show)
        return io.NodeOutput(
            trained.model, trained.lora, {"loss": trained.losses}, as_image(trained.sheet)
        )
