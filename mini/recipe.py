"""What a training run is made of, kept beside its state."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run."""

    resolution: int = 256  # pixels on a side of the training pictures, a multiple of 64
    seed: int = 0
    shards: int = 200  # pieces of the training set, each of the following
    scenes: dict[str, int] = field(  # how many of each kind, with some 17 renderings each
        default_factory=lambda: {"portrait": 10, "landscape": 7, "object": 6}
    )
    edits: int = 10_000  # drawn between the renderings
    vae_shards: int = 60  # of the shards, those that the first stage sees
    vae_steps: int = 12_000
    vae_minutes: float = math.inf  # a stage ends with its steps or its minutes
    vae_batch: int = 4  # whole pictures, or four times as many quarters
    vae_rate: float = 1e-3
    unet_steps: int = 30_000
    unet_minutes: float = math.inf
    unet_batch: int = 128
    unet_rate: float = 1e-3
    text_rate: float = 3e-4
    captions: int = 4  # of each picture, for the text-to-image model
    text_to_image_steps: int = 20_000
    text_to_image_minutes: float = math.inf
    text_to_image_batch: int = 128
    text_to_image_rate: float = 1e-3

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # JSON has no infinity: null is no limit.
        values = {k: None if v == math.inf else v for k, v in asdict(self).items()}
        text = json.dumps(values, indent=1, allow_nan=False)
        (folder / NAME).write_text(text + "\n")


NAME = "recipe.json"


def load_recipe(folder: Path) -> Recipe:
    """The recipe of the run in `folder`, or a new run's."""
    path = folder / NAME
    if not path.exists():
        return Recipe()
    values: dict[str, Any] = json.loads(path.read_text())
    values |= {name: math.inf for name, value in values.items() if value is None}
    return Recipe(**values)
