"""The pictures of the help pages, made by running the pack: python docs/help_pictures.py

Each of SHEETS is a few labelled pictures in nodes/web/docs/images/, which both languages show.
Names of sheets may follow the command, to make these only.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from instruct_pix2pix.edits.prompt import PLAIN_GUIDANCE, node
from instruct_pix2pix.headless.client import Client, connect
from instruct_pix2pix.headless.workflow import load_prompt
from instruct_pix2pix.pictures.sheet import sheet_of
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "nodes" / "web" / "docs" / "images"
SIDE = 184
WHOLE = 420

HAIR, WEATHER, REGION = "hair-color", "weather", "edit-only-a-region"
FOUND, CLOTHES, SAMPLED = (
    "edit-only-what-was-asked",
    "virtual-try-on",
    "advanced-any-sampler-and-sigmas",
)
PLACE = "change-the-background"
TURNS, TUNED, GRID = "edit-in-turns", "auto-tune-the-two-scales", "guidance-grid"


class Cell(NamedTuple):
    """A picture that a workflow makes.

    workflow  a name in workflows/api, where Source is the node 2
    changes   "Title.input": value, None for an input less, or "id": a node more
    shows     the title of the node whose picture it is, and which of them
    """

    label: str
    workflow: str
    changes: dict[str, Any] = {}
    shows: str = "Result"
    index: int = 0


def source(workflow: str, **changes: Any) -> Cell:
    return Cell("source", workflow, changes, "Before")


def asked(workflow: str, *instructions: str) -> list[Cell]:
    """The source, then one edit for each wording."""
    edits = [Cell(said, workflow, {"Instruction.instruction": said}) for said in instructions]
    return [source(workflow), *edits]


def guided(label: str, **inputs: Any) -> Cell:
    """An edit with scales that are too strong, and IP2PGuidance."""
    strong = {"Sampler.text_cfg": 12.0}
    if not inputs:
        return Cell(label, HAIR, strong)
    guidance = {"20": node("Guidance", "IP2PGuidance", **PLAIN_GUIDANCE | inputs)}
    return Cell(label, HAIR, strong | guidance | {"Sampler.guidance": ["20", 0]})


# A picture as upright as a phone's: the middle of the square sample.
UPRIGHT = {
    "20": node("Upright", "ImageCrop", image=["2", 0], width=384, height=512, x=64, y=0),
    "Encode source.image": ["20", 0],
    "before": node("Before", "PreviewImage", images=["20", 0]),
}
MASK = {"mask": node("Mask", "MaskPreview", mask=["2", 1])}
BEACH = {"Instruction.instruction": "change the background to a beach"}
SUNSET = {"Instruction.instruction": "make it a sunset"}
PINK = {
    "Source.image": "ip2p-raincoat.png",
    "Instruction.instruction": "make her hair pink",
    "Restore.mask": None,
}
UNMASKED = {"Encode source.mask": None}


def scene(name: str, shows: str = "Before") -> Cell:
    label = "mask" if shows == "Mask" else name
    return Cell(label, WEATHER, {"Source.scene": name} | MASK, shows)


SHEETS: dict[str, list[Cell]] = {
    "IP2PLoadCheckpoint-1": [
        *asked(HAIR, "make her hair blue"),
        *asked(WEATHER, "make it a sunset"),
    ],
    "IP2PEncodeSource-1": [
        Cell("source, 384 x 512", WEATHER, UPRIGHT | SUNSET, "Before"),
        Cell("result, 384 x 512", WEATHER, UPRIGHT | SUNSET),
    ],
    "IP2PEncodeSource-2": [
        source(REGION),
        Cell("mask", REGION, MASK, "Mask"),
        Cell("with the mask", REGION),
        Cell("without", REGION, UNMASKED),
    ],
    "IP2PEncodeInstruction-1": asked(WEATHER, "make it rain", "make it foggy", "make it a sunset"),
    "IP2PEncodeInstruction-2": asked(
        HAIR, "make her hair blue", "give her blue hair", "hair color: blue"
    ),
    "IP2PKSampler-1": [
        source(PLACE),
        *(Cell(f"seed {seed}", PLACE, BEACH | {"Sampler.seed": seed}) for seed in (0, 1, 2)),
    ],
    "IP2PKSampler-2": [
        Cell("text_cfg 0.3", HAIR, {"Sampler.text_cfg": 0.3}),
        Cell("text_cfg 2", HAIR),
        Cell("text_cfg 30", HAIR, {"Sampler.text_cfg": 30.0}),
        Cell("image_cfg 6", HAIR, {"Sampler.image_cfg": 6.0}),
    ],
    "IP2PGuider-1": [
        source(SAMPLED),
        *(
            Cell(name, SAMPLED, {"Sampler.sampler_name": name})
            for name in ("dpmpp_2m", "euler", "dpmpp_2m_sde")
        ),
    ],
    "IP2PGuidance-1": [
        source(HAIR),
        guided("text_cfg 12"),
        guided("rescale 0.7, v", rescale=0.7, rescale_space="v"),
        guided("text_end 0.5", text_end=0.5),
    ],
    "IP2PGuidance-2": [
        source(HAIR),
        Cell("image_cfg 1.2 all along", HAIR),
        Cell("image_cfg 1", HAIR, {"Sampler.image_cfg": 1.0}),
        Cell(
            "image_end 0.5",
            HAIR,
            {
                "20": node("Guidance", "IP2PGuidance", **PLAIN_GUIDANCE | {"image_end": 0.5}),
                "Sampler.guidance": ["20", 0],
            },
        ),
    ],
    "IP2PEditMask-1": [
        source(FOUND),
        Cell("heat", FOUND, {}, "Where the model looks"),
        Cell("edit in the region", FOUND),
        Cell("without a mask", FOUND, {"Encode source, region.mask": None}),
    ],
    "IP2PGuidanceGrid-1": [Cell("", GRID)],
    "IP2PAutoGuidance-1": [
        source(TUNED),
        Cell("found", TUNED),
        Cell(
            "too weak: 0.3, 3",
            HAIR,
            PINK | {"Sampler.text_cfg": 0.3, "Sampler.image_cfg": 3.0},
        ),
        Cell(
            "too strong: 15, 1",
            HAIR,
            PINK | {"Sampler.text_cfg": 15.0, "Sampler.image_cfg": 1.0},
        ),
    ],
    "IP2PEditChain-1": [
        source(TURNS),
        *(Cell(f"turn {turn}", TURNS, {}, "Result", turn - 1) for turn in (1, 2, 3)),
    ],
    "IP2PRestore-1": [
        source(REGION),
        Cell("no mask", REGION, UNMASKED),
        Cell("mask, feather 0", REGION, {"Restore.feather": 0}),
        Cell("mask, feather 24", REGION, {"Restore.feather": 24}),
    ],
    "IP2PRestore-2": [
        source(WEATHER),
        Cell("match_color off", WEATHER, SUNSET),
        Cell("match_color mean-std", WEATHER, SUNSET | {"Restore.match_color": "mean-std"}),
        Cell("mean-std, with a mask", REGION, {"Restore.match_color": "mean-std"}),
    ],
    "IP2PPreset-1": [
        source(CLOTHES),
        *(
            Cell(
                f"{preset}: {value}",
                CLOTHES,
                {
                    "20": node("Preset", "IP2PPreset", preset=preset, value=value, subject="her"),
                    "Instruction.instruction": ["20", 0],
                },
            )
            for preset, value in (
                ("clothes", "a red leather jacket"),
                ("hair color", "blue"),
                ("background", "a forest"),
            )
        ),
    ],
    "IP2PSampleImage-1": [
        scene("portrait - long brown hair"),
        scene("portrait - long brown hair", "Mask"),
        scene("landscape - summer lake"),
        scene("object - vase"),
    ],
    "IP2PSampleImage-2": [
        *asked(HAIR, "make her hair blue"),
        source(WEATHER),
        Cell(
            "sunny to cloudy",
            WEATHER,
            {"Instruction.instruction": "change the weather from sunny to cloudy"},
        ),
    ],
}


async def run(client: Client, cell: Cell, folder: Path) -> dict[str, list[Path]]:
    """The pictures of a cell's workflow, by the titles of the nodes that show them."""
    prompt = copy.deepcopy(load_prompt(ROOT / "workflows" / "api" / f"{cell.workflow}.json"))
    prompt["before"] = node("Before", "PreviewImage", images=["2", 0])
    for where, value in cell.changes.items():
        title, _, name = where.rpartition(".")
        if not title:
            prompt[name] = value
            continue
        inputs = next(n["inputs"] for n in prompt.values() if n["_meta"]["title"] == title)
        inputs[name] = value
        if value is None:
            del inputs[name]
    done = await client.run(prompt)
    shown: dict[str, list[Path]] = {}
    for number, made in enumerate(done.outputs):
        path = folder / f"{len(list(folder.iterdir()))}-{number}.png"
        await client.save(made.file, path)
        shown.setdefault(made.title, []).append(path)
    return shown


def sheet(cells: list[Cell], files: list[Path]) -> Image.Image:
    """The pictures with their labels below. One without a label is shown whole."""
    opened = [Image.open(file).convert("RGB") for file in files]
    if not cells[0].label:
        opened[0].thumbnail((WHOLE, WHOLE), Image.Resampling.LANCZOS)
        return opened[0]
    # In twos: the editor's help panel is narrow.
    height = max(SIDE * picture.height // picture.width for picture in opened)
    labels = [cell.label for cell in cells]
    return sheet_of(opened, (SIDE, height), ("", ""), [""] * -(-len(cells) // 2), labels)


async def make(names: list[str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    known: dict[str, dict[str, list[Path]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with connect() as client:
            await client.ready()
            for name in names:
                files = []
                for cell in SHEETS[name]:
                    key = json.dumps([cell.workflow, cell.changes])
                    if key not in known:
                        known[key] = await run(client, cell, Path(folder))
                    files.append(known[key][cell.shows][cell.index])
                made = sheet(SHEETS[name], files)
                made.save(IMAGES / f"{name}.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    asyncio.run(make(sys.argv[1:] or list(SHEETS)))
