"""The trade-off between the two scales, measured: `python -m instruct_pix2pix.mini.tradeoff`.

The curve of the InstructPix2Pix paper's figure 8 with known right answers in place of CLIP: for a
row of image_cfg values, and for one of text_cfg values, how far the pictures move toward the edit
that was asked for, against how much they stay as they were. Writes `tradeoff.md` and
`docs/images/trade-off.png`.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import comfy.cli_args
import matplotlib.pyplot as plt
import numpy as np
import torch

from .evaluate import BUILT_IN, NUMERICS, Editing, held_out_edits, named, psnr, run_edits
from .instructions import EDITED, Edit
from .scenes import render

ROOT = Path(__file__).parents[1]
IMAGE_CFGS = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
TEXT_CFGS = (1.0, 2.0, 4.0, 7.5)
# Pairs of text_cfg and image_cfg; the first curve is the paper's.
CURVES = {
    "image_cfg, at text_cfg 7.5": [(7.5, scale) for scale in IMAGE_CFGS],
    "image_cfg, at text_cfg 1": [(1.0, scale) for scale in IMAGE_CFGS],
    "text_cfg, at image_cfg 1.5": [(scale, 1.5) for scale in TEXT_CFGS],
}
# The instruction does not count: the source should come back.
ASKED_NOTHING = 0.0, 1.5


@dataclass(frozen=True)
class Point:
    """Means over all edits at one pair of scales."""

    text_cfg: float
    image_cfg: float
    direction: float
    similarity: float


def direction(source: np.ndarray, result: np.ndarray, target: np.ndarray) -> float:
    """The cosine between what was done and what was asked, -1..1; 0 where nothing was done.

    All are uint8 [h, w, 3]. In pixels what CLIP's directional similarity is in its space.
    """
    done, asked = (picture.astype(np.float64) - source for picture in (result, target))
    lengths = np.linalg.norm(done) * np.linalg.norm(asked)
    return float((done * asked).sum() / lengths) if lengths else 0.0


def measure(editing: Editing, edits: list[Edit], text_cfg: float, image_cfg: float) -> Point:
    """Against the source as the first stage gives it back, so that only the edit counts."""
    pictures = run_edits(editing, edits)
    asked, kept = [], []
    for edit, source, result in zip(edits, pictures.round_trips, pictures.results, strict=True):
        asked.append(direction(source, result, render(edit.target, len(source))))
        kept.append(psnr(result, source))
    return Point(text_cfg, image_cfg, float(np.mean(asked)), float(np.mean(kept)))


def plot(curves: dict[str, list[Point]], path: Path) -> None:
    """A line for each curve, whose square is its largest scale; the legend says both ends."""
    figure, panel = plt.subplots(figsize=(6, 4.5))
    for name, points in curves.items():
        over_text = points[0].text_cfg != points[-1].text_cfg
        ends = [p.text_cfg if over_text else p.image_cfg for p in (points[0], points[-1])]
        where = [[p.direction for p in points], [p.similarity for p in points]]
        (line,) = panel.plot(*where, "o-", label=f"{name}: {ends[0]:g} to {ends[1]:g}")
        panel.plot(where[0][-1], where[1][-1], "s", color=line.get_color(), markersize=10)
    panel.set(
        xlabel="edit: cosine between the change and the one asked for",
        ylabel="image: PSNR to the source, dB",
        title="ip2p-mini: the two scales, the largest of each as a square",
    )
    panel.legend()
    panel.grid(alpha=0.3)
    figure.savefig(path, bbox_inches="tight", dpi=110)
    plt.close(figure)


def markdown(points: list[Point], count: int, steps: int, weights: str) -> str:
    rows = [
        f"| {p.text_cfg:g} | {p.image_cfg:g} | {p.direction:.3f} | {p.similarity:.2f} |"
        for p in points
    ]
    return "\n".join(
        [
            "# The trade-off between text_cfg and image_cfg, measured on ip2p-mini",
            "",
            f"`python -m instruct_pix2pix.mini.tradeoff --count {count}`, {weights}: {count} "
            f"held-out edit{'s' if count > 1 else ''} of each family, {steps} Euler ancestral "
            f"steps, numerics {NUMERICS}, against the source as the first stage alone gives it "
            "back. At text_cfg 0 the instruction does not count: the source should come back.",
            "",
            "| text_cfg | image_cfg | edit: cosine between the change and the one asked for "
            "| image: PSNR to the source, dB |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=BUILT_IN)
    parser.add_argument("--count", type=int, default=1, help="edits of each family")
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    # ComfyUI looks for a device when it is imported.
    comfy.cli_args.args.cpu = not torch.cuda.is_available()
    from .editing import load_editing

    edits = [edit for family in EDITED for edit in held_out_edits(family, arguments.count)]

    def point(pair: tuple[float, float]) -> Point:
        return measure(load_editing(arguments.checkpoint, arguments.steps, *pair), edits, *pair)

    curves = {name: [point(pair) for pair in pairs] for name, pairs in CURVES.items()}
    plot(curves, ROOT / "docs" / "images" / "trade-off.png")
    points = [*(one for points in curves.values() for one in points), point(ASKED_NOTHING)]
    text = markdown(points, arguments.count, arguments.steps, named(arguments.checkpoint))
    Path(__file__).with_name("tradeoff.md").write_text(text)


if __name__ == "__main__":
    main()
