"""Train ip2p-mini from nothing: `python -m mini.train`, from the repository's root.

Stages, each resumed where it stopped: sketch (the first stage's latents), vae (its decoder in
full), latents, unet (with the text encoder), export. The minutes are those that the committed
weights took on two CPU cores; on a GPU give fewer.
"""

import argparse
import logging
from pathlib import Path

import torch

from .networks import DEVICE
from .scenes import VERSION
from .train_unet import encode_scenes, export_model, train_unet
from .train_vae import train_vae
from .training import plot_losses

STAGES = ["sketch", "vae", "latents", "unet", "export"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=STAGES)
    parser.add_argument("--folder", type=Path, default=Path("runs/mini"))
    parser.add_argument("--sketch-minutes", type=float, default=48)
    parser.add_argument("--vae-minutes", type=float, default=22.5)
    parser.add_argument("--unet-minutes", type=float, default=190)
    parser.add_argument("--output", type=Path, default=Path("mini/ip2p-mini.safetensors"))
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of one thread each, without a GPU"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    folder = arguments.folder
    workers = 1 if DEVICE == "cuda" else arguments.workers
    if "sketch" in arguments.stages:
        train_vae(folder, arguments.sketch_minutes, workers, finishing=False)
    if "vae" in arguments.stages:
        train_vae(folder, arguments.vae_minutes, workers, finishing=True)
    if "latents" in arguments.stages:
        encode_scenes(folder, workers)
    if "unet" in arguments.stages:
        train_unet(folder, arguments.unet_minutes, workers)
    if "export" in arguments.stages:
        export_model(folder, arguments.output, {"seed": 0, "scenes": VERSION})
        plot_losses(folder)


if __name__ == "__main__":
    main()
