"""The training set, drawn in shards: renderings, and the edits between them, in words.

Each shard is complete in itself and follows from its number alone, so that processes draw side by
side, and training begins with the first of them.
"""

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from . import media
from .data import FIRST_TRAINING_SEED, Pairs, groups
from .portraits import Portrait
from .recipe import Recipe
from .scenes import Scene, paint

# What an error of the first stage counts more in these regions: they are small, and people look at
# them first.
ATTENTION = {"face": 2, "makeup": 6, "eyewear": 2}
# Numbers of scenes that lie between the first seeds of two shards.
SEEDS = 1000


@dataclass(frozen=True)
class Shard:
    """Some scenes' renderings, and edits that lead from one to another.

    pictures  uint8 [n, side, side, 3]
    weights   uint8 [n, side, side], what an error of the first stage counts in each pixel
    edits     int32 [m, 2], the pictures before and after
    rows      int16 [m, 77], the instructions' tokens, as `Vocabulary.rows` gives them
    captions  int16 [n, k, 77], the tokens of k captions of each picture, in the vocabulary that
              has the captions' words too
    """

    pictures: np.ndarray
    weights: np.ndarray
    edits: np.ndarray
    rows: np.ndarray
    captions: np.ndarray


def draw(scenes: list[Scene], side: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures, uint8 [n, side, side, 3], and what their errors count, uint8 [n, side, side]"""
    drawn, weights = [], np.ones((len(scenes), side, side), np.uint8)
    for weight, scene in zip(weights, scenes, strict=True):
        painting = paint(scene, side, list(ATTENTION) if isinstance(scene, Portrait) else ())
        drawn.append(media.apply(painting.pixels(), scene.medium))
        for name in painting.regions:
            weight[painting.region(name)] += ATTENTION[name]
    return np.stack(drawn), weights


def draw_shard(recipe: Recipe, index: int, used: list[int], captioned: list[int]) -> Shard:
    """The shard of a number.

    used       the tokens of the instructions' vocabulary
    captioned  those of the captions'
    """
    # Loading transformers takes seconds: not before a process draws.
    from .text_to_image import caption_rows
    from .vocabulary import Vocabulary

    found = groups(recipe.scenes, FIRST_TRAINING_SEED + SEEDS * index)
    pairs, rng = Pairs(found), np.random.default_rng([index, 3])
    asked = [pairs.draw(rng) for _ in range(recipe.edits)]
    rows = Vocabulary(used).rows([pair.instruction for pair in asked])
    scenes = [scene for group in found for scene in group]
    pictures, weights = draw(scenes, recipe.resolution)
    links = np.array([(pair.source, pair.target) for pair in asked], np.int32)
    captions = caption_rows(scenes, Vocabulary(captioned), recipe.captions, rng)
    return Shard(pictures, weights, links, rows.numpy().astype(np.int16), captions)


def shard_path(folder: Path, index: int) -> Path:
    return folder / "shards" / f"{index:06d}.safetensors"


class NotDrawn(RuntimeError):
    """A shard that no process will draw any more."""


def is_drawn(folder: Path, index: int) -> bool:
    """Whether a shard is there by now. Raises NotDrawn where every drawing process has ended."""
    drawing = multiprocessing.active_children()  # asked first: the last one may end in between
    if shard_path(folder, index).exists():
        return True
    if not drawing:
        raise NotDrawn(
            f"{shard_path(folder, index)} is missing and the processes that draw have ended. "
            "See their messages above, or whether memory or the disk ran out; then start the same "
            "command again: it goes on from here."
        )
    return False


def load_shard(folder: Path, index: int) -> Shard:
    return Shard(**load_file(shard_path(folder, index)))


def draw_some(folder: Path, recipe: Recipe, indices: range, *vocabularies: list[int]) -> None:
    """Draw those of the shards that are missing, until the process that asks for them ends."""
    parent = os.getppid()
    for index in indices:
        path = shard_path(folder, index)
        if not path.exists() and os.getppid() == parent:
            shard = draw_shard(recipe, index, *vocabularies)
            fresh = path.with_suffix(".new")
            save_file(vars(shard), fresh)
            fresh.replace(path)


def start_drawing(
    folder: Path, recipe: Recipe, used: list[int], captioned: list[int], processes: int
) -> None:
    """Draw the recipe's shards into `folder` in so many processes, which end with this one."""
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    for rank in range(processes):
        indices = range(rank, recipe.shards, processes)
        context.Process(
            target=draw_some, args=(folder, recipe, indices, used, captioned), daemon=True
        ).start()
