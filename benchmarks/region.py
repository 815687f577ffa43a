"""How well the edit's region is found, and what editing only there is worth, on ip2p-mini.

    make bench                                the committed table, benchmarks/region.md
    python benchmarks/region.py --count 10    a quick look

On held-out scenes in held-out words. We draw the scenes, so the true region of an edit is known:
the pixels in which the drawings of its source and its target differ. The region-exact edit takes
the mask of IP2PEditMask with room to grow, encodes, samples and restores with it; the plain edit
has the same seed and the same steps without a mask.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import comfy.cli_args
import numpy as np
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()

from instruct_pix2pix.checkpoints.loading import load_checkpoint  # noqa: E402
from instruct_pix2pix.mini.evaluate import BUILT_IN, held_out_edits, nearest, psnr  # noqa: E402
from instruct_pix2pix.mini.instructions import FAMILIES, Edit  # noqa: E402
from instruct_pix2pix.mini.scenes import render  # noqa: E402
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource, IP2PRestore  # noqa: E402
from instruct_pix2pix.nodes.region import METHODS, IP2PEditMask  # noqa: E402
from instruct_pix2pix.nodes.sampling import IP2PKSampler  # noqa: E402
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction  # noqa: E402

RESULT = Path(__file__).with_suffix(".md")
# An edit that changes more of the picture than this is one of the whole picture.
WHOLE = 0.9


@dataclass
class Tally:
    """Figures of the edits of one family, a row for each."""

    rows: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **figures: float) -> None:
        for name, value in figures.items():
            self.rows.setdefault(name, []).append(float(value))

    def mean(self, name: str, form: str) -> str:
        values = self.rows.get(name)
        return form.format(np.mean(values)) if values else "-"


class Bench:
    """The nodes around one checkpoint, one edit at a time."""

    def __init__(self, checkpoint: Path, steps: int, grow: int) -> None:
        self.loaded = load_checkpoint(checkpoint)
        self.steps, self.grow = steps, grow
        self.side = self.loaded.resolution

    def measure(self, edit: Edit, seed: int, tally: Tally) -> None:
        source, target = (render(scene, self.side) for scene in (edit.source, edit.target))
        changed = (source != target).any(-1)
        picture = torch.from_numpy(source)[None].float() / 255
        conds = IP2PEncodeInstruction.execute(self.loaded.clip, edit.instruction, "", "plain").args
        latent, frame = self.encode(picture)
        masks, asked = {}, (self.loaded.model, *conds, latent, seed)
        for method in METHODS:
            began = time.monotonic()
            masks[method] = IP2PEditMask.execute(*asked, method, 0.8, 4, 0.5, 0, 0).args[0]
            tally.add(**{f"{method} seconds": time.monotonic() - began})
        found = {method: mask[0].numpy() > 0 for method, mask in masks.items()}
        is_whole = changed.mean() > WHOLE
        tally.add(called=found["relevance"].all(), whole=is_whole)
        if changed.any():
            tally.add(right=bool(found["relevance"].all()) == is_whole)
            tally.add(**{name: overlap(mask, changed) for name, mask in found.items()})
            tally.add(everything=changed.mean())
        grown = IP2PEditMask.execute(*asked, "relevance", 0.8, 4, 0.5, self.grow, 0).args[0]
        plain = self.edit(picture, conds, seed, None)
        exact = self.edit(picture, conds, seed, grown)
        for name, result in (("plain", plain), ("exact", exact)):
            tally.add(**{f"{name} psnr": psnr(result, target)})
            if changed.any():
                tally.add(**{f"{name} right": nearest(edit, result) == edit.target})
        outside = grown[0].numpy() == 0
        if outside.any():
            tally.add(identical=(exact[outside] == source[outside]).all(-1).mean())

    def encode(self, picture: torch.Tensor, mask: torch.Tensor | None = None) -> tuple:
        vae, fit = self.loaded.vae, "training size"
        return IP2PEncodeSource.execute(picture, vae, fit, self.side, mask).args

    def edit(
        self, picture: torch.Tensor, conds: tuple, seed: int, mask: torch.Tensor | None
    ) -> np.ndarray:
        """The edited picture, uint8; with a mask, edited and restored within it."""
        latent, frame = self.encode(picture, mask)
        settings = (seed, self.steps, 7.5, 1.5, "euler_ancestral", "normal", 1.0, "comfyui")
        edited = IP2PKSampler.execute(self.loaded.model, *conds, latent, *settings).args[0]
        decoded = self.loaded.vae.decode(edited["samples"]).clamp(0, 1)
        restored = IP2PRestore.execute(decoded, frame, 0, "off", mask).args[0]
        return (restored[0] * 255).round().to(torch.uint8).cpu().numpy()


def overlap(mask: np.ndarray, changed: np.ndarray) -> float:
    """Intersection over union."""
    return float((mask & changed).sum() / (mask | changed).sum())


def main(
    count: Annotated[int, typer.Option(help="Scenes of each family.")] = 40,
    steps: int = 20,
    grow: Annotated[int, typer.Option(help="Pixels of room for new shapes.")] = 4,
    family: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    checkpoint: Path = BUILT_IN,
    output: Path = RESULT,
) -> None:
    regions, edits = [], []
    with torch.inference_mode():
        bench = Bench(checkpoint, steps, grow)
        for name in family or FAMILIES:
            tally = Tally()
            for seed, edit in enumerate(held_out_edits(name, count)):
                bench.measure(edit, seed, tally)
            share, decimal, percent = tally.mean, "{:.2f}", "{:.0%}"
            regions.append(
                f"| {name} | {share('relevance', decimal)} | {share('attention', decimal)} "
                f"| {share('everything', decimal)} | {share('whole', percent)} "
                f"| {share('called', percent)} | {share('right', percent)} "
                f"| {share('relevance seconds', decimal)} |"
            )
            edits.append(
                f"| {name} | {share('plain right', percent)} | {share('exact right', percent)} "
                f"| {share('plain psnr', '{:.1f}')} | {share('exact psnr', '{:.1f}')} "
                f"| {share('identical', percent)} |"
            )
    text = [
        "# The region of an edit, found by the model itself",
        "",
        f"`python benchmarks/region.py --count {count} --steps {steps} --grow {grow}`: held-out "
        "scenes and wordings of ip2p-mini. The true region is where the drawings of source and "
        f"target differ; an edit of more than {WHOLE:.0%} of the picture is one of the whole "
        "picture.",
        "",
        "| edit | IoU, relevance | IoU, attention | IoU, whole picture | edits of the whole "
        "| called so | rightly | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *regions,
        "",
        f"The same edit without a mask and within the mask grown by {grow} pixels: share that is "
        "right, PSNR to the right answer in dB, and pixels outside the mask that are the "
        "original's to the bit.",
        "",
        "| edit | right, plain | right, within | PSNR, plain | PSNR, within | identical outside |",
        "| --- | --- | --- | --- | --- | --- |",
        *edits,
        "",
    ]
    output.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
