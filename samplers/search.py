"""The search for the two scales: what to try, and how to judge it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from torch import Tensor

LARGEST_SCALE = 100.0
Pair = tuple[float, float]

# Where people find their scales (the authors' demo draws text_cfg from 6 to 9 and image_cfg from
# 1.2 to 1.8), with room on both sides: well-trained models need less of text_cfg.
TEXT_RANGE, IMAGE_RANGE = (2.0, 12.0), (1.0, 2.2)
# Steps of the evenest sequence in the plane: 1 / g and 1 / g^2, where g^3 = g + 1.
PLASTIC = 0.7548776662466927, 0.5698402909980532
# How much of both ranges the second look covers.
CLOSER = 0.4


def parse_scales(name: str, text: str) -> list[float]:
    """The numbers of a list such as "5, 7.5, 10", in its order.

    name  the input that holds the list, for the errors
    text  numbers from 0 to 100, separated by commas, semicolons or white space

    Raises ValueError naming the input and what is wrong in it.
    """
    text = text.strip(" \t\r\n,;")
    separators = re.findall(r"[\s,;]+", text)
    unclear = re.search(r"(?<![\d.])\d+,\d+(?![\d.])", text)
    if unclear and any("," not in separator for separator in separators):
        raise ValueError(
            f"{name}: {unclear[0]!r} may be one number or two. Write decimals with a point, and "
            'one kind of separator between numbers, such as "1.5; 2.0".'
        )
    words = re.split(r"[\s,;]+", text)
    if words == [""]:
        raise ValueError(f'{name}: the list is empty. Write numbers such as "5, 7.5, 10".')
    scales = []
    for word in words:
        try:
            scale = float(word)
        except ValueError:
            raise ValueError(
                f'{name}: {word!r} is not a number. Write numbers such as "5, 7.5, 10", with a '
                "point for decimals and commas between them."
            ) from None
        if not (math.isfinite(scale) and 0 <= scale <= LARGEST_SCALE):
            raise ValueError(
                f"{name}: {word} is out of range. A scale is a number from 0 to "
                f"{LARGEST_SCALE:g}; usual are 3 to 12 for text_cfg, 1 to 2.2 for image_cfg."
            )
        scales.append(scale)
    return scales


def spread_scales(usual: Pair, count: int) -> list[Pair]:
    """`count` pairs (text_cfg, image_cfg): the usual one, then others evenly over both ranges."""
    return [usual, *(pair_at(*place) for place in even_places(count - 1))]


def closer_scales(best: Pair, count: int) -> list[Pair]:
    """`count` pairs around the best so far, which may lie outside the ranges of the first look."""
    centre = [
        math.log(scale / low) / math.log(high / low)
        for scale, (low, high) in zip(best, (TEXT_RANGE, IMAGE_RANGE), strict=True)
    ]
    return [
        pair_at(*(c + CLOSER * (p - 0.5) for c, p in zip(centre, place, strict=True)))
        for place in even_places(count)
    ]


def even_places(count: int) -> list[list[float]]:
    """Places in the unit square, as even as can be for any `count`.

    Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018 (R2).
    """
    return [[(0.5 + n * step) % 1 for step in PLASTIC] for n in range(1, count + 1)]


def pair_at(text: float, image: float) -> Pair:
    """The pair at shares of both ranges, in equal ratios, rounded as one would type it.

    What falls below 1, where a scale turns into its opposite, is mirrored.
    """
    text_cfg, image_cfg = (
        math.exp(abs(math.log(low * (high / low) ** share)))
        for share, (low, high) in ((text, TEXT_RANGE), (image, IMAGE_RANGE))
    )
    return round(text_cfg, 1), round(20 * image_cfg) / 20


def belief(errors: Tensor, keep: float) -> Tensor:
    """How likely the model finds each result, [n]; higher is better.

    errors  mean squared errors of the noise predictions of the noised result,
            [levels, 3 (instruction, image, uncond), n]
    keep    0 weighs the instruction only, 1 the picture only

    A prediction's error stands for a negative log likelihood (Li et al., "Your Diffusion Model is
    Secretly a Zero-Shot Classifier", ICCV 2023), so this is

        log p(z) + 2 keep log p(picture | z) + 2 (1 - keep) log p(instruction | z, picture)

    up to a constant: the weights of dual guidance, with the rule itself, log p(z | picture,
    instruction), at keep 0.5. A burnt result is unlikely whatever it shows.
    """
    _, _, uncond = errors.mean(0)
    follows, keeps = follows_and_keeps(errors)
    return 2 * keep * keeps + 2 * (1 - keep) * follows - uncond


def follows_and_keeps(errors: Tensor) -> tuple[Tensor, Tensor]:
    """How much the instruction and the picture each explain the results of `errors`, [n] each."""
    instruction, image, uncond = errors.mean(0)
    return image - instruction, uncond - image


def report_table(head: Sequence[str], rows: Sequence[Sequence[str]], best: set[int]) -> list[str]:
    """Lines of columns of equal width, with a star at the rows of `best`."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    marks = [" ", *("*" if index in best else " " for index in range(len(rows)))]
    return [
        "  ".join([mark, *map(str.rjust, line, widths)])
        for mark, line in zip(marks, [head, *rows], strict=True)
    ]
