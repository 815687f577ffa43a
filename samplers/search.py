"""The search for the two scales: what to try, and how to judge it."""

from __future__ import annotations

import math
import re

LARGEST_SCALE = 100.0


def parse_scales(name: str, text: str) -> list[float]:
    """The numbers of a list such as "5, 7.5, 10", in its order.

    name  the input that holds the list, for the errors
    text  numbers from 0 to 100, separated by commas, semicolons or white space

    Raises ValueError naming the input and what is wrong in it.
    """
    words = re.split(r"[\s,;]+", text.strip(" \t\r\n,;"))
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
