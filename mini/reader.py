"""Reads the attributes of a scene out of its picture: what a drawn world has in place of CLIP.

A small network that learns from drawings, whose attributes we know. It judges pictures that no
program drew, so it has to be right on drawings that it never saw; `accuracy` says how often it is.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .data import variants
from .drawing import one, stream
from .scenes import KINDS, Scene, attributes, kind_of, render, sample_scene

SIDE = 128  # pixels at which pictures are read
BATCH = 64
# What can be read: the kind, and each attribute of each kind.
HEADS: dict[tuple[str, str], tuple[str, ...]] = {("", "kind"): KINDS} | {
    (kind, name): options
    for kind in KINDS
    for name, options in attributes(sample_scene(0, kind)).items()
}
Reading = dict[str, str]


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 128)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        cells = (SIDE // 2 ** (len(widths) - 1)) ** 2
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(cells * widths[-1], 256), nn.ReLU(), nn.Dropout(0.3)
        )
        self.heads = nn.ModuleList(nn.Linear(256, len(options)) for options in HEADS.values())

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Logits [n, values] of every head, of pictures [n, 3, SIDE, SIDE] in 0..1."""
        hidden = self.body(pictures)
        return [head(hidden) for head in self.heads]

    @torch.no_grad()
    def read(self, pictures: np.ndarray) -> list[Reading]:
        """The kind and the attributes of pictures, uint8 [n, h, w, 3]."""
        found: list[Reading] = []
        for some in np.array_split(pictures, max(1, len(pictures) // BATCH)):
            numbers = [logits.argmax(1).tolist() for logits in self(to_input(some))]
            for row in zip(*numbers, strict=True):
                said = {key: HEADS[key][n] for key, n in zip(HEADS, row, strict=True)}
                kind = said["", "kind"]
                own = {name: value for (of, name), value in said.items() if of == kind}
                found.append({"kind": kind} | own)
        return found


def to_input(pictures: np.ndarray) -> Tensor:
    """uint8 [n, h, w, 3] -> [n, 3, SIDE, SIDE] in 0..1"""
    given = torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1).float() / 255
    if given.shape[-1] == SIDE:
        return given
    return functional.interpolate(given, (SIDE, SIDE), mode="bilinear", antialias=True)


def truth(scene: Scene) -> Reading:
    """What can be read in the picture of a scene."""
    return {"kind": kind_of(scene)} | {name: getattr(scene, name) for name in attributes(scene)}


def labels(scenes: Sequence[Scene]) -> Tensor:
    """The numbers of the values, int64 [n, heads]; -1 for what scenes of the kind do not have."""
    rows = []
    for scene in scenes:
        said, kind = truth(scene), kind_of(scene)
        rows.append(
            [
                options.index(said[name]) if of in ("", kind) else -1
                for (of, name), options in HEADS.items()
            ]
        )
    return torch.tensor(rows)


def examples(first_seed: int, count: int) -> list[Scene]:
    """Scenes of all kinds in turn, one rendering of each: portraits, which have most, twice."""
    kinds = ("portrait", "portrait", "landscape", "object")
    seeds = range(first_seed, first_seed + count)
    return [
        one(stream(seed, "reading"), variants(sample_scene(seed, kinds[seed % 4])))
        for seed in seeds
    ]


def draw(scenes: Sequence[Scene]) -> np.ndarray:
    """Their pictures, uint8 [n, SIDE, SIDE, 3]"""
    return np.stack([render(scene, SIDE) for scene in scenes])


def spoiled(pictures: Tensor) -> Tensor:
    """Pictures [n, 3, h, w] as a model gives them back: softer, noisier, a little off in tone."""
    small = functional.interpolate(pictures, scale_factor=0.5, mode="bilinear", antialias=True)
    soft = functional.interpolate(small, pictures.shape[-2:], mode="bilinear")
    share = torch.rand(len(pictures), 1, 1, 1)
    mixed = pictures.lerp(soft, share)
    tone = 1 + 0.1 * torch.randn(len(pictures), 3, 1, 1)
    return (mixed * tone + 0.04 * share * torch.randn_like(mixed)).clamp(0, 1)


def train_reader(pictures: np.ndarray, wanted: Tensor, epochs: int, seed: int) -> Reader:
    """Learn from drawings uint8 [n, SIDE, SIDE, 3] and their `labels`."""
    torch.manual_seed(seed)
    reader = Reader()
    optimizer = torch.optim.AdamW(reader.parameters(), weight_decay=1e-2)
    steps = epochs * (len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(pictures))
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            logits = reader(spoiled(to_input(pictures[rows.numpy()])))
            losses = [
                functional.cross_entropy(found, column, ignore_index=-1)
                for found, column in zip(logits, wanted[rows].T, strict=True)
                if (column >= 0).any()
            ]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
            schedule.step()
    return reader.eval()


def accuracy(reader: Reader, scenes: Sequence[Scene], pictures: np.ndarray) -> dict[str, float]:
    """How often each attribute is read rightly, and "all of them"."""
    right: dict[str, list[bool]] = {}
    for scene, reading in zip(scenes, reader.read(pictures), strict=True):
        true = truth(scene)
        for name, value in true.items():
            right.setdefault(name, []).append(reading.get(name) == value)
        right.setdefault("all of them", []).append(reading == true)
    return {name: float(np.mean(values)) for name, values in right.items()}
