"""Small runs on the tiny model: `python runs.py FOLDER STEPS` makes one in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def settings(**changes):
    from instruct_pix2pix.training.settings import Settings

    small = dict(kind="full", steps=4, batch_size=2, resolution=64, learning_rate=1e-3)
    small |= dict(sample_every=0, save_every=0, held_out=0.0, precision="fp32", ema_decay=0.99)
    return Settings(**small | changes)


def run(folder: Path, checkpoint, pairs=None, held_out=(), lessons=(), **changes):
    from instruct_pix2pix.tests.pairs.layouts import made
    from instruct_pix2pix.training.run import Run

    return Run(
        folder,
        settings(**changes),
        checkpoint.model,
        checkpoint.clip,
        checkpoint.vae,
        made() if pairs is None else pairs,
        held_out,
        lessons,
    )


if __name__ == "__main__":
    # The path and the name of the pack, as for the tests.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import conftest  # noqa: F401
    from instruct_pix2pix.checkpoints.loading import load_checkpoint
    from instruct_pix2pix.tests.training.runs import run as start

    folder, checkpoint, *changes = sys.argv[1:]
    values = {name: json.loads(value) for name, value in (change.split("=") for change in changes)}
    start(Path(folder), load_checkpoint(Path(checkpoint)), **values).train()
