"""What is queued on ComfyUI for the page: an edit, the region of an edit, a sample picture."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from ...edits.prompt import node
from ...edits.settings import SETTINGS
from ..client import Client, Listener
from ..errors import InputError
from ..messages import Prompt
from ..names import default_name
from ..workflow import edit_of, patched
from .session import Job, Session

MODEL = 0x0110  # the EXIF tag under which ComfyUI's editor looks for a prompt, too
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


async def make(client: Client, session: Session, job: Job, listener: Listener) -> None:
    """Do a job and keep its picture in the session."""
    source = session.pictures[job.source]
    if job.region:
        await find_region(client, session, job, listener)
        return
    kept = session.keep(default_name(source.name, job.instruction), ".png")
    mask = session.pictures[job.mask].path if job.mask else None
    try:
        result = await client.edit(
            source.path, job.instruction, kept.path, mask=mask, listener=listener, **job.settings
        )
    except BaseException:
        del session.pictures[kept.id]
        raise
    job.result, job.notes, job.seconds = kept.id, result.notes, result.seconds
    session.current = kept.id


async def find_region(client: Client, session: Session, job: Job, listener: Listener) -> None:
    """Keep the region that the instruction would change, white on black, for the brush."""
    source = session.pictures[job.source]
    choice = await client.checkpoint(job.settings.get("checkpoint"))
    settings = {**job.settings, "checkpoint": choice.name}
    image = await client.upload(source.path)
    prompt = edit_of(image.annotated, job.instruction, only=True, **settings)
    for part in ("encode", "sampler", "decode", "restore", "result"):
        del prompt[part]
    prompt["shown"] = node("Shown", "MaskToImage", mask=["region", 0])
    prompt["result"] = node("Result", "PreviewImage", images=["shown", 0])
    kept = session.keep("region.png", ".png", await picture_of(client, prompt, listener))
    job.result = kept.id


async def sample(client: Client, scene: str, seed: int) -> bytes:
    """One of the drawn pictures that the pack brings."""
    prompt = {
        "sample": node("Sample", "IP2PSampleImage", scene=scene, seed=seed),
        "result": node("Result", "PreviewImage", images=["sample", 0]),
    }
    return await picture_of(client, prompt)


async def picture_of(client: Client, prompt: Prompt, listener: Listener | None = None) -> bytes:
    prompt = patched(prompt, {}, await client.catalog.of(prompt))
    await client.catalog.check(prompt)
    result = await client.run(prompt, listener=listener)
    if not result.outputs:
        raise InputError("the server made no picture")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        await client.save(result.outputs[0].file, path)
        return path.read_bytes()


def in_format(path: Path, kind: str) -> bytes:
    """A result as PNG, JPEG or WebP, with the prompt that made it."""
    if kind == "png":
        return path.read_bytes()
    with Image.open(path) as picture:
        exif = picture.getexif()
        if "prompt" in picture.info:
            exif[MODEL] = f"prompt:{picture.info['prompt']}"
        encoded = io.BytesIO()
        picture.convert("RGB").save(encoded, FORMATS[kind], quality=95, exif=exif)
    return encoded.getvalue()


def settings_in(data: bytes) -> dict[str, Any]:
    """The settings that a dropped result was made with; empty where the file tells of none."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            written = str(picture.getexif().get(MODEL, ""))
            text = picture.info.get("prompt") or written.removeprefix("prompt:")
            prompt = json.loads(text)
        found: dict[str, Any] = {}
        for described in prompt.values():
            for name, value in described["inputs"].items():
                known = SETTINGS.get(name)
                if known and known.node == described["class_type"] and not isinstance(value, list):
                    found[name] = known.checked(value)
            if described["class_type"] == "IP2PEncodeInstruction":
                found["instruction"] = str(described["inputs"]["instruction"])
        return found
    except Exception:  # whatever a file of somebody else's holds
        return {}
