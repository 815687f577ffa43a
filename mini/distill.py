"""Guidance put into ip2p-mini itself: a LoRA with which one evaluation a step does what three did.

    python -m instruct_pix2pix.mini.distill

with ComfyUI on the path draws pairs, trains by the pack's own trainer (`ip2p train --distill`) in
runs/distill, goes on where it was stopped, and writes ip2p-mini-distilled.safetensors.
"""

from pathlib import Path

import comfy.cli_args
import torch
from PIL import Image

comfy.cli_args.args.cpu = not torch.cuda.is_available()

from ..pairs.pair import Pair, as_png  # noqa: E402
from ..training.base import load_base  # noqa: E402
from ..training.result import distilled  # noqa: E402
from ..training.run import Progress, Run  # noqa: E402
from ..training.settings import Settings  # noqa: E402
from ..training.state import write_tensors  # noqa: E402
from . import data  # noqa: E402
from .drawing import stream  # noqa: E402
from .evaluate import BUILT_IN, digest, named  # noqa: E402
from .instructions import instruct  # noqa: E402
from .scenes import render  # noqa: E402

RESULT = Path(__file__).with_name("ip2p-mini-distilled.safetensors")
RUN = Path("runs/distill") / digest(BUILT_IN)
# Of the scenes' first seed: none meets what the model was trained on, or is measured with.
FIRST_SEED = 630_000
SCENES = {"portrait": 50, "landscape": 35, "object": 30}
PAIRS, SHOWN = 240, 4
WORDINGS = 4  # of each pair
SETTINGS = Settings(
    distill=True,
    dropout=0.0,
    text_cfg=7.5,
    image_cfg=1.5,
    rank=12,  # the most that two megabytes hold
    steps=1000,
    batch_size=8,
    learning_rate=2e-3,
    warmup=20,
    resolution=256,
    precision="fp32",
    sample_every=150,
    save_every=50,
)


def drawn_pairs(count: int, side: int) -> list[Pair]:
    """Pairs of all kinds of edits as the model was trained on, in several wordings each."""
    world = data.groups(SCENES, FIRST_SEED)
    drawings, pairs = [scene for group in world for scene in group], data.Pairs(world)
    rng, drawn = stream(0, "distill"), []
    for number in range(count):
        one = pairs.draw(rng)
        before, after = drawings[one.source], drawings[one.target]
        others = (instruct(before, after, rng) for _ in range(WORDINGS - 1))
        pictures = (Image.fromarray(render(scene, side)) for scene in (before, after))
        source, target = (as_png(f"{number}.png", picture) for picture in pictures)
        drawn.append(Pair(f"edit {number}", source, target, (one.instruction, *others)))
    return drawn


def tell(progress: Progress) -> None:
    if progress.step % 10 == 0:
        print(progress.step, progress.loss, progress.held_out, progress.speed, flush=True)


def main() -> None:
    base = load_base(BUILT_IN.stem)
    pairs = drawn_pairs(PAIRS + SHOWN, SETTINGS.resolution)
    parts = base.model, base.clip, base.vae
    run = Run(RUN, SETTINGS, *parts, pairs[:PAIRS], pairs[PAIRS:])
    run.train(tell)
    tensors = {name: tensor.half() for name, tensor in run.weights.lora_tensors().items()}
    write_tensors(RESULT, tensors, {"format": "pt"} | distilled(SETTINGS))
    print(f"{RESULT} {RESULT.stat().st_size / 1e6:.2f} MB, {named(RESULT)}")


if __name__ == "__main__":
    main()
