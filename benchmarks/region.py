"""How well the edit's region is found, and what editing only there is worth, on ip2p-mini.

    make bench                                the committed table, benchmarks/region.md
    python benchmarks/region.py --count 4     a quick look

On held-out scenes in held-out words. We draw the scenes, so the true region of an edit is known:
the pixels in which the drawings of its source and its target differ. Three edits have the same
seed and the same steps: the plain one; the region-exact one, which takes the mask of IP2PEditMask
with room to grow, encodes, samples and restores with it; and one that samples with the mask as the
region of IP2PGuidance (a text_cfg of 1 outside) and is restored with it. All edits of a family are
one batch, as they would be in a graph with a batch of pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import comfy.cli_args
import numpy as np
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()

from instruct_pix2pix.checkpoints.loading import load_checkpoint  # noqa: E402
from instruct_pix2pix.mini.editing import encoded, to_pixels  # noqa: E402
from instruct_pix2pix.mini.evaluate import (  # noqa: E402
    BUILT_IN,
    NUMERICS,
    SUITED,
    held_out_edits,
    named,
    nearest,
    psnr,
)
from instruct_pix2pix.mini.instructions import FAMILIES, Edit  # noqa: E402
from instruct_pix2pix.mini.portraits import Portrait  # noqa: E402
from instruct_pix2pix.mini.scenes import render  # noqa: E402
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource, IP2PRestore  # noqa: E402
from instruct_pix2pix.nodes.region import IP2PEditMask  # noqa: E402
from instruct_pix2pix.nodes.sampling import IP2PKSampler  # noqa: E402
from instruct_pix2pix.pictures.masks import grown  # noqa: E402
from instruct_pix2pix.samplers.comfy.region import METHODS  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance, Schedule  # noqa: E402

RESULT = Path(__file__).with_suffix(".md")
# An edit that changes more of the picture than this is one of the whole picture.
WHOLE = 0.9
WAYS = ("plain", "exact", "scales")
REGION_HEAD = [
    "edit",
    "IoU, relevance",
    "IoU, attention",
    "IoU, whole picture",
    "of the whole, called so",
    "others, called so",
]
EDIT_HEAD = [
    "edit",
    "right, plain",
    "right, within",
    "right, per-pixel scales",
    "PSNR, plain",
    "PSNR, within",
    "PSNR, per-pixel scales",
    "identical outside",
]

Row = dict[str, float]  # the figures of one edit


class Bench:
    """The nodes around one checkpoint."""

    def __init__(
        self, checkpoint: Path, steps: int, text_cfg: float, image_cfg: float, grow: int
    ) -> None:
        self.loaded = load_checkpoint(checkpoint)
        self.steps, self.scales, self.grow = steps, (text_cfg, image_cfg), grow
        self.side = self.loaded.resolution

    def measure(self, edits: list[Edit], seed: int) -> list[Row]:
        """The figures of a batch of edits."""
        sources, targets = (
            np.stack([render(scene, self.side) for scene in scenes])
            for scenes in ([e.source for e in edits], [e.target for e in edits])
        )
        changed = (sources != targets).any(-1)
        pictures = torch.tensor(sources).float() / 255
        conds = encoded(self.loaded.clip, [edit.instruction for edit in edits])
        latent, frame = self.encode(pictures)
        asked = (self.loaded.model, *conds, latent, seed)
        masks = {
            method: IP2PEditMask.execute(*asked, method, 0.8, 4, 0.5, 0, 0, frame).args[0]
            for method in METHODS
        }
        mask = grown(masks["relevance"], self.grow)
        region = Guidance(text=Schedule(outside=1 / self.scales[0]), region=mask)
        results = dict(
            zip(
                WAYS,
                (
                    self.edit(pictures, conds, seed),
                    self.edit(pictures, conds, seed, encode=mask, restore=mask),
                    self.edit(pictures, conds, seed, restore=mask, guidance=region),
                ),
                strict=True,
            )
        )
        rows = []
        for index, edit in enumerate(edits):
            truth, share = changed[index], changed[index].mean()
            found = {method: masks[method][index].numpy() > 0 for method in METHODS}
            row: Row = {"portrait": isinstance(edit.source, Portrait)}
            row["whole"], row["called whole"] = share > WHOLE, found["relevance"].all()
            if truth.any():
                row |= {method: overlap(found[method], truth) for method in METHODS}
                row["everything"] = share
            for way, pictures_of in results.items():
                row[f"{way} psnr"] = psnr(pictures_of[index], targets[index])
                if truth.any():
                    row[f"{way} right"] = nearest(edit, pictures_of[index]) == edit.target
            outside = mask[index].numpy() == 0
            if outside.any():
                same = results["exact"][index][outside] == sources[index][outside]
                row["identical"] = same.all(-1).mean()
            rows.append(row)
        return rows

    def encode(self, pictures: torch.Tensor, mask: torch.Tensor | None = None) -> tuple:
        vae, fit = self.loaded.vae, "training size"
        return IP2PEncodeSource.execute(pictures, vae, fit, self.side, mask).args

    def edit(
        self,
        pictures: torch.Tensor,
        conds: tuple[list, list],
        seed: int,
        encode: torch.Tensor | None = None,
        restore: torch.Tensor | None = None,
        guidance: Guidance | None = None,
    ) -> np.ndarray:
        """The edited pictures, uint8; sampled within the mask `encode`, put back in `restore`."""
        latent, frame = self.encode(pictures, encode)
        text_cfg, image_cfg = self.scales
        edited = IP2PKSampler.execute(
            *(self.loaded.model, *conds, latent, guidance),
            seed=seed,
            steps=self.steps,
            text_cfg=text_cfg,
            image_cfg=image_cfg,
            numerics=NUMERICS,
        ).args[0]
        decoded = self.loaded.vae.decode(edited["samples"]).clamp(0, 1)
        restored = IP2PRestore.execute(decoded, frame, 0, "off", restore).args[0]
        return to_pixels(restored)


def overlap(mask: np.ndarray, changed: np.ndarray) -> float:
    """Intersection over union."""
    return float((mask & changed).sum() / (mask | changed).sum())


def mean(rows: list[Row], name: str, form: str) -> str:
    values = [row[name] for row in rows if name in row]
    return form.format(np.mean(values)) if values else "-"


def called(rows: list[Row], whole: bool) -> str:
    """How many of the edits that are (or are not) of the whole picture were called so."""
    calls = [bool(row["called whole"]) for row in rows if row["whole"] == whole]
    return f"{sum(calls)} of {len(calls)}" if calls else "-"


def table(
    head: list[str], groups: dict[str, list[Row]], line: Callable[..., list[str]]
) -> list[str]:
    lines = [head, ["---"] * len(head), *([name, *line(rows)] for name, rows in groups.items())]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def regions_line(rows: list[Row]) -> list[str]:
    return [mean(rows, name, "{:.2f}") for name in (*METHODS, "everything")] + [
        called(rows, True),
        called(rows, False),
    ]


def edits_line(rows: list[Row]) -> list[str]:
    return [
        *(mean(rows, f"{way} right", "{:.0%}") for way in WAYS),
        *(mean(rows, f"{way} psnr", "{:.2f}") for way in WAYS),
        mean(rows, "identical", "{:.0%}"),
    ]


def main(
    count: Annotated[int, typer.Option(help="Scenes of each family.")] = 5,
    steps: int = 20,
    text_cfg: Annotated[float, typer.Option(help="As suits ip2p-mini best.")] = SUITED[0],
    image_cfg: float = SUITED[1],
    grow: Annotated[int, typer.Option(help="Pixels of room for new shapes.")] = 4,
    family: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    checkpoint: Path = BUILT_IN,
    output: Path = RESULT,
) -> None:
    torch.set_grad_enabled(False)
    bench = Bench(checkpoint, steps, text_cfg, image_cfg, grow)
    names = family or list(FAMILIES)
    groups = {name: bench.measure(held_out_edits(name, count), seed=0) for name in names}
    every = [row for name, rows in groups.items() if name != "none" for row in rows]
    groups["**portraits**"] = [row for row in every if row["portrait"]]
    groups["**all but none**"] = every
    text = [
        "# The region of an edit, found by the model itself",
        "",
        f"`python benchmarks/region.py --count {count} --steps {steps} --text-cfg {text_cfg:g} "
        f"--image-cfg {image_cfg:g} --grow {grow}`: held-out scenes and wordings, "
        f"{named(checkpoint)}, numerics {NUMERICS}. The true region is where the drawings of "
        f"source and target differ; an edit of more than {WHOLE:.0%} of the picture is one of the "
        f"whole picture. A mask costs eight evaluations of the model, a plain edit {3 * steps}.",
        "",
        *table(REGION_HEAD, groups, regions_line),
        "",
        f"The same edit plain, within the mask grown by {grow} pixels (encoded, sampled and "
        "restored with it), and with the mask as the region of IP2PGuidance (text_cfg 1 outside) "
        "and restored with it: share that is right, PSNR to the right answer in dB, and pixels "
        "outside the mask that are the original's to the bit.",
        "",
        *table(EDIT_HEAD, groups, edits_line),
        "",
    ]
    output.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
