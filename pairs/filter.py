"""Which of many drawn pairs are kept: the thresholds of the authors, and of UltraEdit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple


class Scores(NamedTuple):
    """What one pair is judged by; None where no encoder gave a value.

    image      CLIP cosine of both pictures
    direction  CLIP cosine of the change of the pictures and the change of the captions
    before     CLIP cosine of the first picture and its caption; `after` of the second
    dino       DINOv2 cosine of both pictures
    """

    seed: int
    image: float | None = None
    direction: float | None = None
    before: float | None = None
    after: float | None = None
    dino: float | None = None


@dataclass(frozen=True)
class Thresholds:
    """The least value of each score that is kept, itself included; None asks for nothing."""

    image: float | None = None
    direction: float | None = None
    before: float | None = None
    after: float | None = None
    dino: float | None = None

    def refusal(self, scores: Scores) -> str:
        """The first score that is too low, or "" for a pair that is kept."""
        for name in (field.name for field in fields(self)):
            least, value = getattr(self, name), getattr(scores, name)
            # Not a number: there is no reason to keep the pair.
            if least is not None and value is not None and not value >= least:
                return name
        return ""


# instruct-pix2pix, dataset_creation/generate_img_dataset.py: the defaults of the published data.
AUTHORS = Thresholds(image=0.7, direction=0.2, before=0.2, after=0.2)
# UltraEdit, data_generation: with SDXL-Turbo and from real pictures.
ULTRAEDIT = Thresholds(image=0.75, direction=0.22, dino=0.4)
THRESHOLDS = {"authors": AUTHORS, "ultraedit": ULTRAEDIT}
KEPT = 4  # of each caption pair


class NothingKept(ValueError):
    """Pairs were drawn, and all of them refused."""


class Filtered(NamedTuple):
    """The seeds that are kept, the best first, and how many pairs each threshold refused."""

    seeds: list[int]
    refused: dict[str, int]


def filtered(scores: Iterable[Scores], thresholds: Thresholds, keep: int = KEPT) -> Filtered:
    """The `keep` best pairs of one caption pair, by direction, as the authors sort them.

    A score that is None is not asked for. Equal directions keep the order of the seeds, and so do
    pairs without any: the most similar pictures are those in which nothing was changed.
    """
    passed, refused = [], dict.fromkeys((field.name for field in fields(thresholds)), 0)
    for pair in scores:
        if name := thresholds.refusal(pair):
            refused[name] += 1
        else:
            passed.append(pair)
    best = sorted(passed, key=_order)
    refused["more than are kept"] = max(0, len(best) - keep)
    return Filtered([pair.seed for pair in best[:keep]], {k: n for k, n in refused.items() if n})


def _order(pair: Scores) -> tuple[float, int]:
    return -(pair.direction or 0.0), pair.seed


def described(found: Filtered, count: int, thresholds: Thresholds) -> str:
    """What became of `count` pairs, in a sentence."""
    parts = [
        f"{number} for {name}" + (f" below {least:g}" if least is not None else "")
        for name, number in found.refused.items()
        for least in (getattr(thresholds, name, None),)
    ]
    refused = f"; refused: {', '.join(parts)}" if parts else ""
    return f"{len(found.seeds)} of {count} pairs kept{refused}"
