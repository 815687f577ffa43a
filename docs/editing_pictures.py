"""The pictures of docs/guidance.md: python docs/editing_pictures.py

One strip for each of IP2PGuidance, IP2PEditMask, `fit` around mask, IP2PAutoGuidance and
IP2PEditChain, made by running the templates' API twins in ComfyUI. Names of
MADE may follow the command, to make these only.
"""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

from instruct_pix2pix.edits.prompt import node
from instruct_pix2pix.headless.client import Client, connect
from instruct_pix2pix.headless.workflow import load_prompt, patched
from instruct_pix2pix.pictures.sheet import sheet_of
from PIL import Image

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
WORKFLOWS = DOCS.parent / "workflows" / "api"
CELL = 212
Prompt = dict[str, Any]


async def pictures(client: Client, prompt: Prompt) -> dict[str, list[Image.Image]]:
    """What each node of the prompt showed or saved, by the node's title; "Before" is the source."""
    prompt = prompt | {"before": node("Before", "PreviewImage", images=["2", 0])}
    result = await client.run(prompt)
    found: dict[str, list[Image.Image]] = {}
    for output in result.outputs:
        buffer = io.BytesIO()
        await client.server.download(output.file, buffer)
        found.setdefault(output.title, []).append(Image.open(buffer).convert("RGB"))
    return found


def strip(cells: list[tuple[str, Image.Image]]) -> Image.Image:
    """The pictures side by side, each over its words."""
    words, pictures = zip(*cells, strict=True)
    return sheet_of(pictures, (CELL, CELL), [""] * len(cells), captions=words)


def with_guidance(prompt: Prompt, name: str, text_cfg: float, **changes: Any) -> Prompt:
    """The prompt with one more way from the guidance to a saved picture of the title `name`."""
    schedule = {"start": 0.0, "end": 1.0, "curve": "constant", "final": 1.0, "outside": 1.0}
    inputs = {
        f"{scale}_{key}": value for scale in ("text", "image") for key, value in schedule.items()
    }
    inputs |= {"rescale": 0.0, "rescale_space": "eps", "apg_eta": 1.0, "apg_norm": 0.0} | changes
    encoded = {"source": ["3", 0], "text_cfg": text_cfg, "image_cfg": 1.5}
    sampler = prompt["5"]["inputs"] | encoded | {"guidance": [f"{name} guidance", 0]}
    return prompt | {
        f"{name} guidance": node("Guidance", "IP2PGuidance", **inputs),
        f"{name} sampler": node("More", "IP2PKSampler", **sampler),
        f"{name} decode": node(
            "Decoded", "VAEDecode", samples=[f"{name} sampler", 0], vae=["1", 2]
        ),
        f"{name} result": node(name, "PreviewImage", images=[f"{name} decode", 0]),
    }


async def guidance(client: Client) -> Image.Image:
    prompt = load_prompt(WORKFLOWS / "edit-only-what-was-asked.json")
    prompt = with_guidance(prompt, "text_cfg 15", 15.0)
    prompt = with_guidance(prompt, "text_end 0.5", 15.0, text_end=0.5)
    prompt = with_guidance(prompt, "rescale 0.7, v", 15.0, rescale=0.7, rescale_space="v")
    found = await pictures(client, prompt)
    ways = ("text_cfg 15", "rescale 0.7, v", "text_end 0.5")
    return strip([("before", found["Before"][0]), *((name, found[name][0]) for name in ways)])


async def edit_mask(client: Client) -> Image.Image:
    found = await pictures(client, load_prompt(WORKFLOWS / "edit-only-what-was-asked.json"))
    return strip(
        [
            ("before", found["Before"][0]),
            ("where the model looks", found["Where the model looks"][0]),
            ("make her hair blue", found["Result"][0]),
        ]
    )


async def around_mask(client: Client) -> Image.Image:
    prompt = load_prompt(WORKFLOWS / "small-face-big-edit.json")
    near = await pictures(client, prompt)
    box = 364, 94, 596, 326  # where the portrait hangs
    far = await pictures(client, patched(prompt, {"Encode source.fit": "training size"}))
    return strip(
        [
            ("before", near["Before"][0]),
            ("fit training size", far["Result"][0].crop(box)),
            ("fit around mask", near["Result"][0].crop(box)),
        ]
    )


async def auto(client: Client) -> Image.Image:
    prompt = load_prompt(WORKFLOWS / "auto-tune-the-two-scales.json")
    usual = {
        **{name: prompt["5"]["inputs"][name] for name in ("model", "instruction", "negative")},
        **{"source": ["3", 0], "seed": 0, "steps": 20, "text_cfg": 7.5, "image_cfg": 1.5},
        **{"sampler_name": "euler_ancestral", "scheduler": "normal", "denoise": 1.0},
    }
    prompt |= {
        "usual": node("Usual", "IP2PKSampler", **usual, numerics="comfyui"),
        "decode": node("Decoded", "VAEDecode", samples=["usual", 0], vae=["1", 2]),
        "shown": node("Plain", "PreviewImage", images=["decode", 0]),
    }
    found = await pictures(client, prompt)
    return strip(
        [
            ("before", found["Before"][0]),
            ("make her hair pink, 7.5 and 1.5", found["Plain"][0]),
            ("the scales that it found", found["Result"][0]),
        ]
    )


async def turns(client: Client) -> Image.Image:
    prompt = load_prompt(WORKFLOWS / "edit-in-turns.json")
    found = await pictures(client, prompt)
    lines = prompt["4"]["inputs"]["instructions"].splitlines()
    words = ["before", *lines]
    return strip(list(zip(words, [*found["Before"], *found["Result"]], strict=True)))


MADE = {
    "guidance": guidance,
    "edit-mask": edit_mask,
    "around-mask": around_mask,
    "auto": auto,
    "turns": turns,
}


async def main(names: list[str]) -> None:
    async with connect() as client:
        await client.ready()
        for name in names or MADE:
            picture = await MADE[name](client)
            picture.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
