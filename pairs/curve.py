"""The plan of the paper's figure 8: every pair edited at several scales of the picture.

    python program.py COMFYUI pairs.curve PAIRS --output curve

writes what `ip2p batch` edits and what `ip2p measure` reads afterwards.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .layouts import read_pairs
from .pair import Pair, PairsError, open_picture

WRONG_INPUT = 3
IMAGE_CFGS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)  # the authors'
TEXT_CFG = 7.5


def chosen(pairs: Sequence[Pair], limit: int) -> list[Pair]:
    """At most `limit` pairs, chosen as the authors choose them: by a permutation of seed 0.

    Of the pairs of one source picture the first, so that no picture counts twice.
    """
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(pair.group, pair)
    own = list(first.values())
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(0)).tolist()
    return [own[number] for number in order[:limit]]


def plan(
    pairs: Sequence[Pair], folder: Path, image_cfgs: Sequence[float], text_cfg: float
) -> tuple[Path, Path]:
    """Write the pictures, manifest.jsonl for `ip2p batch` and samples.jsonl for `ip2p measure`.

    A picture has the same seed at every scale, so that the scale is all that differs. Raises
    PairsError where a picture cannot be read, or the folder cannot be written.
    """
    rows, samples = [], []
    try:
        for kind in ("sources", "truths"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, pair in enumerate(pairs):
            name = f"{number:05d}.png"
            open_picture(pair.source).save(folder / "sources" / name)
            open_picture(pair.target).save(folder / "truths" / name)
            for scale in image_cfgs:
                group = f"image_cfg {scale:g}"
                row = {"image": f"sources/{name}", "instruction": pair.instruction}
                scales = {"text_cfg": text_cfg, "image_cfg": scale, "seed": number}
                rows.append(row | scales | {"numerics": "official", "output": f"{group}/{name}"})
                samples.append(
                    {
                        **{"name": pair.name, "group": group, "result": f"edited/{group}/{name}"},
                        **{"source": f"sources/{name}", "truth": f"truths/{name}"},
                        **{"caption": pair.caption, "edited_caption": pair.edited_caption},
                        "instruction": pair.instruction,
                    }
                )
        manifest, table = folder / "manifest.jsonl", folder / "samples.jsonl"
        for path, lines in ((manifest, rows), (table, samples)):
            path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise PairsError(f"{folder} cannot be written ({error.strerror}).") from error
    return manifest, table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--columns", default="{}", help="JSON: role -> column")
    parser.add_argument("--limit", type=int, default=5000)
    parser.add_argument("--text-cfg", type=float, default=TEXT_CFG)
    parser.add_argument("--image-cfgs", default=",".join(map(str, IMAGE_CFGS)))
    given = parser.parse_args()
    try:
        scales = [float(scale) for scale in given.image_cfgs.split(",")]
        pairs = chosen(read_pairs(given.place, json.loads(given.columns)), given.limit)
        plan(pairs, given.output, scales, given.text_cfg)
    except ValueError as error:
        print(error)
        return WRONG_INPUT
    print(f"{len(pairs)} pairs at {len(scales)} scales")
    return 0


if __name__ == "__main__":
    sys.exit(main())
