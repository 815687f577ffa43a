"""Three edits by the built-in model, from nothing to a sheet of pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from ..edits.prompt import node
from ..pictures.sheet import sheet_of
from .client import Client
from .files import write_whole
from .progress import View
from .server import PACK
from .workflow import find_input, load_prompt

WORKFLOWS = PACK / "workflows" / "api"
SLUGS = ("hair-color", "virtual-try-on", "season-summer-to-winter")


async def demo(client: Client, folder: Path, view: View) -> tuple[list[Path], Path]:
    """Queue the three API workflows; the edited pictures and the before/after sheet.

    Everything goes the way of any user's job: the workflow files as they are, with a preview of
    the source added for the sheet.
    """
    edited: list[Path] = []
    sources: list[Image.Image] = []
    results: list[Image.Image] = []
    asked: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for slug in SLUGS:
            prompt = load_prompt(WORKFLOWS / f"{slug}.json")
            source = next(key for key, n in prompt.items() if n["_meta"]["title"] == "Source")
            instruction, _ = find_input(prompt, "Instruction.instruction")
            text = str(prompt[instruction]["inputs"]["instruction"])
            prompt["before"] = node("Before", "PreviewImage", images=[source, 0])
            line = view.line(f'"{text}"', "waiting")
            result = await client.run(prompt, listener=view.listener(line, prompt))
            made = {output.title: output.file for output in result.outputs}
            before, after = Path(scratch) / f"{slug}.png", folder / f"{slug}.png"
            await client.save(made["Before"], before)
            await client.save(made["Result"], after)
            view.done(line, f"{after.name} in {result.seconds:.0f} s")
            edited.append(after)
            sources.append(Image.open(before).convert("RGB"))
            results.append(Image.open(after).convert("RGB"))
            asked.append(text)
    sheet = folder / "before-after.png"
    blank = [""] * len(SLUGS)
    size, rows = (384, 384), ("source", "edited")
    drawn = sheet_of([*sources, *results], size, blank, rows, [*blank, *asked])
    with write_whole(sheet) as out:
        drawn.save(out, "PNG", optimize=True)
    return edited, sheet
