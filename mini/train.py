"""Train ip2p-mini: `python -m instruct_pix2pix.mini.train --run FOLDER`.

Stages: vae (the first stage), latents (every training scene through it), unet (with the text
encoder). Everything is kept in the run's folder, its recipe too: the same command goes on where
the last one stopped or was killed. `mini.export` then writes the checkpoint. Where PyTorch sees a
GPU the training runs there; that way has not been measured.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from .recipe import load_recipe
from .train_unet import encode_scenes, train_unet
from .train_vae import train_vae
from .training import default_device

STAGES = ["vae", "latents", "unet"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=STAGES)
    parser.add_argument("--run", type=Path, default=Path("runs/mini"), help="folder of the run")
    parser.add_argument("--start", type=Path, help="file of weights to start from")
    parser.add_argument("--resolution", type=int, help="pixels on a side, for a new run")
    parser.add_argument("--vae-steps", type=int)
    parser.add_argument("--unet-steps", type=int)
    parser.add_argument("--device", default=default_device())
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of one thread each, on a CPU"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    folder, device = arguments.run, arguments.device
    asked = {name: getattr(arguments, name) for name in ("resolution", "vae_steps", "unet_steps")}
    recipe = replace(load_recipe(folder), **{k: v for k, v in asked.items() if v is not None})
    recipe.save(folder)
    workers = arguments.workers if device == "cpu" else 1
    # "vae" and "unet" by the trainer's names, "text" with all of CLIP's tokens.
    start = torch.load(arguments.start, weights_only=True) if arguments.start else {}
    if "vae" in arguments.stages:
        train_vae(folder, recipe, workers, device, start.get("vae"))
    if "latents" in arguments.stages:
        encode_scenes(folder, recipe, workers, device)
    if "unet" in arguments.stages:
        train_unet(folder, recipe, workers, device, start)


if __name__ == "__main__":
    main()
