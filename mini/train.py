"""Train ip2p-mini: `python -m instruct_pix2pix.mini.train --run FOLDER`.

Processes draw the training set in shards, while the stages follow one another: vae (the first
stage), then unet (with the text encoder). Everything is kept in the run's folder, its recipe too:
the same command goes on where the last one stopped or was killed, and `--minutes` ends a start in
time. `mini.export` then writes the checkpoint. It trains on a GPU where PyTorch sees one.
"""

import argparse
import logging
import math
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import torch

from .recipe import Recipe, load_recipe
from .shards import NotDrawn, start_drawing
from .train_text import train_text
from .train_text_to_image import captions_vocabulary, train_text_to_image
from .train_unet import Edits, train_unet
from .train_vae import load_vae, train_vae
from .training import default_device

STAGES = ["vae", "unet", "text-to-image"]
# What the command line can change of the recipe.
ASKED = [field.name for field in fields(Recipe) if field.name != "scenes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=STAGES)
    parser.add_argument("--run", type=Path, default=Path("runs/mini"), help="folder of the run")
    parser.add_argument("--start", type=Path, help="file of weights to start from")
    parser.add_argument("--minutes", type=float, default=math.inf, help="how long to train now")
    parser.add_argument("--device", default=default_device())
    parser.add_argument(
        "--processes", type=int, default=max((os.cpu_count() or 1) - 1, 1), help="that draw"
    )
    recipe_options = parser.add_argument_group("recipe", "what a run is made of, kept with it")
    for name in ASKED:
        kind = type(getattr(Recipe(), name))
        recipe_options.add_argument(f"--{name.replace('_', '-')}", type=kind)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    folder, device = arguments.run, arguments.device
    asked = {name: getattr(arguments, name) for name in ASKED}
    recipe = replace(load_recipe(folder), **{k: v for k, v in asked.items() if v is not None})
    recipe.save(folder)
    until = time.monotonic() + 60 * arguments.minutes
    # "vae" and "unet" by the trainer's names, "text" with all of CLIP's tokens.
    start = torch.load(arguments.start, weights_only=True) if arguments.start else {}
    vocabulary = train_text(folder, start.get("text"), seed=recipe.seed)
    captioned = captions_vocabulary(folder, vocabulary)
    start_drawing(folder, recipe, vocabulary.used, captioned.used, arguments.processes)
    if "vae" in arguments.stages and not train_vae(folder, recipe, device, start.get("vae"), until):
        return
    if arguments.stages == ["vae"]:
        return
    edits = Edits(folder, recipe, load_vae(folder, device))
    if "unet" in arguments.stages and not train_unet(
        folder, recipe, edits, vocabulary, start, until
    ):
        return
    if "text-to-image" in arguments.stages:
        train_text_to_image(folder, recipe, edits, captioned, until)


if __name__ == "__main__":
    try:
        main()
    except NotDrawn as error:
        sys.exit(str(error))
