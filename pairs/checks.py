"""What to know of a set of pairs before the first step of training."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from .near import near_copies, thumbnail
from .pair import Pair, PairsError, open_picture

# Of a pair's aspects; more than that and one of the two was cropped.
ASPECT = 0.02
# Mean difference in 0..1 below which two pictures show the same.
SAME = 1 / 255
# Tokens of CLIP without its start and end.
TOKENS = 75
# From so many pairs on, one wording for all of them is too few.
MANY = 50
# Bytes of a cached pair for each pixel: two means and one spread of 4 numbers for 8 x 8 pixels.
CACHED = 3 * 4 * 2 / 64


@dataclass(frozen=True)
class Looked:
    """What one pair shows. `fault` says why it cannot be used, "" where it can.

    digest     of both pictures and the instruction
    thumbnail  of the picture before
    """

    fault: str = ""
    size: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()
    digest: str = ""
    thumbnail: bytes = b""


@dataclass(frozen=True)
class Report:
    """The checks of a set.

    pairs   those that can be used, in order
    faults  name of a pair -> why it cannot be used
    notes   what should be known, one sentence each
    sizes   smallest and largest side of the usable pictures in pixels
    """

    pairs: list[Pair]
    faults: dict[str, str]
    notes: list[str]
    sizes: tuple[int, int]

    def lines(self, resolution: int) -> list[str]:
        """The report in sentences; `resolution` is the training size in pixels, 0 if unknown."""
        held_out = sum(pair.split == "held-out" for pair in self.pairs)
        lines = [
            f"{len(self.pairs)} pairs can be used, {len(self.faults)} cannot.",
            f"{len({pair.group for pair in self.pairs})} source pictures, sides from "
            f"{self.sizes[0]} to {self.sizes[1]} pixels.",
        ]
        if held_out:
            lines.append(f"{held_out} of them are held out, as the set says.")
        if self.sizes[0] < resolution:
            lines.append(
                f"The smallest side is {self.sizes[0]} pixels, below the training size of "
                f"{resolution}: such pictures are enlarged and teach blur."
            )
        if resolution:
            megabytes = len(self.pairs) * resolution**2 * CACHED / 1e6
            lines.append(f"The cache will take about {megabytes:.1f} MB at {resolution} pixels.")
        lines += self.notes
        lines += [f"{name}: {fault}" for name, fault in islice(self.faults.items(), 20)]
        if len(self.faults) > 20:
            lines.append(f"... and {len(self.faults) - 20} more that cannot be used.")
        return lines


def examine(
    pairs: Sequence[Pair],
    count_tokens: Callable[[str], int] | None = None,
    progress: Callable[[int], object] = lambda done: None,
) -> Report:
    """Look at every pair: whether it decodes, and what it will teach.

    count_tokens  tokens of an instruction without start and end; words are counted where it is None
    progress      is called with the number of pairs that have been looked at
    """
    looked: list[Looked] = []
    with ThreadPoolExecutor() as pool:
        # A few at a time, so that stopping does not wait for the whole set.
        for part in _parts(pairs, 64):
            looked += pool.map(look, part)
            progress(len(looked))
    usable = [pair for pair, seen in zip(pairs, looked, strict=True) if not seen.fault]
    seen = [one for one in looked if not one.fault]
    notes = Counter(note for one in seen for note in one.notes)
    sides = [side for one in seen for side in one.size]
    return Report(
        usable,
        {p.name: one.fault for p, one in zip(pairs, looked, strict=True) if one.fault},
        [
            *(f"{count} of {len(usable)} pairs: {note}" for note, count in notes.items()),
            *about_duplicates(usable, seen),
            *about_instructions(usable, count_tokens or (lambda text: len(text.split()))),
            *about_split(usable),
            *about_near_copies(usable, seen),
        ],
        (min(sides), max(sides)) if sides else (0, 0),
    )


def look(pair: Pair) -> Looked:
    """Decode one pair and compare its pictures."""
    if not pair.instruction:
        return Looked("the instruction is empty. Write one, or take the pair out.")
    try:
        source, target = open_picture(pair.source), open_picture(pair.target)
    except PairsError as error:
        return Looked(str(error))
    notes = []
    aspects = [picture.width / picture.height for picture in (source, target)]
    if abs(aspects[0] / aspects[1] - 1) > ASPECT:
        return Looked(
            f"the picture before is {source.width} x {source.height}, the one after "
            f"{target.width} x {target.height}: they do not lie on each other. Crop both alike."
        )
    if source.size != target.size:
        notes.append("the pictures differ in size but not in aspect; both are resized alike.")
    if difference(source, target) < SAME:
        notes.append(
            "before and after are the same, which teaches to change nothing. Keep a few of these "
            "on purpose, or take them out."
        )
    digest = hashlib.sha256(source.tobytes() + target.tobytes()).hexdigest()
    return Looked("", source.size, tuple(notes), digest + pair.instruction, thumbnail(source))


def difference(first: Image.Image, second: Image.Image) -> float:
    """The mean absolute difference in 0..1 of two RGB pictures, the second resized to the first."""
    if second.size != first.size:
        second = second.resize(first.size, Image.Resampling.LANCZOS)
    levels = np.asarray(first, np.int16) - np.asarray(second, np.int16)
    return float(np.abs(levels).mean() / 255)


def about_duplicates(pairs: Sequence[Pair], looked: Sequence[Looked]) -> Iterator[str]:
    """Pairs that are in the set more than once."""
    again = sum(count - 1 for count in Counter(one.digest for one in looked).values())
    if again:
        yield f"{again} of {len(pairs)} pairs are in the set twice or more: they count double."


def about_instructions(pairs: Sequence[Pair], count_tokens: Callable[[str], int]) -> Iterator[str]:
    """Wordings that are too few, or too long for the text encoder."""
    wordings = Counter(text for pair in pairs for text in pair.instructions)
    if len(wordings) == 1 and len(pairs) >= MANY:
        yield (
            f"All {len(pairs)} pairs have one instruction, {next(iter(wordings))!r}: the model "
            "will do this edit whatever it is asked. Write several wordings of it, and add pairs "
            "of other edits or train with keep."
        )
    long = {text: n for text in wordings if (n := count_tokens(text)) > TOKENS}
    if long:
        text, n = max(long.items(), key=lambda item: item[1])
        yield (
            f"{len(long)} instructions are longer than {TOKENS} tokens; the text encoder does not "
            f"see the rest. The longest has {n}: {text[:60]!r}..."
        )


def about_split(pairs: Sequence[Pair]) -> Iterator[str]:
    """Source pictures on both sides of the set's own split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        if pair.split:
            splits[pair.group].add(pair.split)
    both = sum(len(found) > 1 for found in splits.values())
    if both:
        yield (
            f"{both} source pictures are in the training and in the held-out part of the set, so "
            "its held-out loss flatters. Those pairs train; they are not held out."
        )


def about_near_copies(pairs: Sequence[Pair], looked: Sequence[Looked]) -> Iterator[str]:
    """Source pictures that only look like others, which the split cannot know."""
    groups = [pair.group for pair in pairs]
    if found := near_copies([one.thumbnail for one in looked], groups):
        first, second = (pairs[number].name for number in found[0])
        copies = {frozenset((groups[number], groups[other])) for number, other in found}
        yield (
            f"{len(copies)} source pictures show what another one shows, in another size or "
            f"format, such as {second!r} and {first!r}. They can come to be trained on and held "
            "out at once; give such pairs one `origin` in a table, or keep one of them."
        )


def split_pairs(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out pairs; all pairs of one source picture are on the same side.

    share  of the source pictures to hold out, 0 to 1, chosen by a digest of each, so that every
           run chooses alike. It counts only where the set itself holds out none.
    """
    trained = {pair.group for pair in pairs if pair.split == "train"}
    if any(pair.split == "held-out" for pair in pairs):
        held = {pair.group for pair in pairs if pair.split == "held-out"} - trained
    else:
        groups = {pair.group for pair in pairs}
        ordered = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())
        held = set(ordered[: round(share * len(ordered))])
    return (
        [pair for pair in pairs if pair.group not in held],
        [pair for pair in pairs if pair.group in held],
    )


def _parts(pairs: Sequence[Pair], size: int) -> Iterator[Sequence[Pair]]:
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]
