"""What a training run is made of, kept beside its state."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """The numbers of a run."""

    resolution: int = 256  # pixels on a side of the training pictures, a multiple of 64
    seed: int = 0
    vae_pictures: int = 4000
    vae_steps: int = 24_000
    vae_rate: float = 8e-4
    scenes: dict[str, int] = field(  # how many of each kind the edits are learned on
        default_factory=lambda: {"portrait": 1000, "landscape": 700, "object": 600}
    )
    unet_steps: int = 60_000
    unet_rate: float = 6e-4
    text_rate: float = 2e-4

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME).write_text(json.dumps(asdict(self), indent=1) + "\n")


NAME = "recipe.json"


def load_recipe(folder: Path) -> Recipe:
    """The recipe of the run in `folder`, or a new run's."""
    path = folder / NAME
    return Recipe(**json.loads(path.read_text())) if path.exists() else Recipe()
