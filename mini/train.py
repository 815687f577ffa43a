"""Train ip2p-mini from nothing: `python -m mini.train`, from the repository's root.

Stages, each resumed where it stopped: vae, latents, unet (with the text encoder), export.
"""

import argparse
import logging
from pathlib import Path

from .train_vae import train_vae


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=["vae", "latents", "unet", "export"])
    parser.add_argument("--folder", type=Path, default=Path("runs/mini"))
    parser.add_argument("--vae-minutes", type=float, default=40)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if "vae" in arguments.stages:
        train_vae(arguments.folder, arguments.vae_minutes)


if __name__ == "__main__":
    main()
