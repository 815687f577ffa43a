"""What is queued on ComfyUI for the page: an edit, or the region of an edit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ...edits.prompt import SCALES, node
from ...edits.settings import SETTINGS
from ..client import Client
from ..errors import ServerMisbehaved
from ..formats import prompt_in
from ..jobs import Listener
from ..names import default_name
from ..workflow import edit_of, patched
from .session import Job, Session

SAMPLERS = ("IP2PKSampler", "IP2PAutoGuidance")  # have the same settings, but for the scales


async def make(client: Client, session: Session, job: Job, listener: Listener) -> None:
    """Do a job and keep its picture in the session."""
    source = session.pictures[job.source]
    if job.threshold is not None:
        await find_region(client, session, job, listener)
        return
    kept = session.keep(default_name(source.name, job.instruction), ".png")
    mask = session.pictures[job.mask].path if job.mask else None
    try:
        result = await client.edit(
            source.path, job.instruction, kept.path, mask=mask, listener=listener, **job.settings
        )
    except BaseException:
        session.pictures.pop(kept.id, None)
        raise
    job.result, job.notes = kept.id, result.notes
    job.found = {name: float(result.texts[name]) for name in SCALES if name in result.texts}
    session.current = kept.id


async def find_region(client: Client, session: Session, job: Job, listener: Listener) -> None:
    """Make the region that the instruction would change the mask of the source."""
    choice = await client.checkpoint(job.settings.get("checkpoint"))
    settings = {**job.settings, "checkpoint": choice.name, "auto": False}
    image = await client.upload(session.pictures[job.source].path)
    prompt = edit_of(image.annotated, job.instruction, only=True, **settings)
    for part in ("encode", "sampler", "decode", "restore", "result"):
        del prompt[part]
    prompt["region"]["inputs"]["threshold"] = job.threshold
    prompt["shown"] = node("Shown", "MaskToImage", mask=["region", 0])
    prompt["result"] = node("Result", "PreviewImage", images=["shown", 0])
    prompt = patched(prompt, {}, await client.catalog.of(prompt))
    await client.catalog.check(prompt)
    result = await client.run(prompt, listener=listener)
    if not result.outputs:
        raise ServerMisbehaved("the search for the region ended without a picture")
    kept = session.keep("region.png", ".png")
    await client.save(result.outputs[0].file, kept.path)
    job.result, job.notes = kept.id, tuple(result.texts.values())
    session.set_mask(job.source, kept.id)


def settings_in(data: bytes) -> dict[str, Any]:
    """The settings that a dropped result was made with; empty where the file tells of none."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        prompt = prompt_in(Path(file.name)) or {}
    found: dict[str, Any] = {}
    try:
        for described in prompt.values():
            kind = described["class_type"]
            for name, value in described["inputs"].items():
                known = SETTINGS.get(name)
                same = known and (kind == known.node or {kind, known.node} <= {*SAMPLERS})
                if known and same and not isinstance(value, list):
                    found[name] = known.checked(value)
            if kind == "IP2PAutoGuidance":
                found["auto"] = True
            if kind == "IP2PEncodeInstruction":
                found["instruction"] = str(described["inputs"]["instruction"])
        return found
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}  # an uploaded file may hold anything
