"""Pictures that show the same though their bytes differ: another size, format or sharpness.

By a difference hash (Krawetz 2013): whether each of 8 x 8 fields is brighter than the one beside
it. Copies differ in few of the 64 bits; small thumbnails then tell whether they are copies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from PIL import Image

# Width and height of a thumbnail: eight differences a row.
SIZE = (9, 8)
# Parts of the hash. Copies that differ in fewer bits than there are parts have one in common.
PARTS = 4
# Pictures with a part in common that are compared with one; more have it where all is flat.
COMPARED = 8
# Mean difference of thumbnails in grey levels: encoding again makes less than one.
NEAR = 2.0


def thumbnail(picture: Image.Image) -> bytes:
    """What `near_copies` compares, of an RGB picture."""
    return picture.resize(SIZE, Image.Resampling.BOX).tobytes()


def near_copies(thumbnails: Sequence[bytes], groups: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers of two pictures, for each that is a near copy of an earlier one of another group."""
    width, height = SIZE
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, height, width, 3)
    levels = pixels.astype(np.int16)
    grey = levels.sum(-1)
    brighter = grey[:, :, 1:] > grey[:, :, :-1]
    bits = np.packbits(brighter.reshape(len(grey), 64), axis=1)
    known: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    found = []
    for number, parts in enumerate(bits.reshape(len(bits), PARTS, 8 // PARTS)):
        buckets = [known[index, part.tobytes()] for index, part in enumerate(parts)]
        earlier = dict.fromkeys(other for bucket in buckets for other in bucket[:COMPARED])
        for other in earlier:
            near = np.abs(levels[number] - levels[other]).mean() < NEAR
            if near and groups[number] != groups[other]:
                found.append((other, number))
                break
        for bucket in buckets:
            # One place for each source picture, however many pairs it has.
            if all(groups[other] != groups[number] for other in bucket):
                bucket.append(number)
    return found
