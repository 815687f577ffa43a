"""Edits pictures and runs workflows on one ComfyUI server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .choice import Choice, choose, word_notes
from .errors import (
    InputError,
    JobLost,
    ServerMisbehaved,
    ServerUnavailable,
    WorkflowRefused,
)
from .files import write_whole
from .formats import BY_SUFFIX, PNG
from .inputs import Catalog
from .jobs import SUBMISSIONS, Jobs, Listener
from .messages import UPLOADS, FileRef, Prompt
from .names import default_name, slug
from .outcome import Result
from .picture import Picture, read_picture
from .server import PrivateServer
from .workflow import edit_of, patched

KEPT_UPLOADS = 256


class Client(Jobs):
    """One ComfyUI server, as an async context manager.

    scratch  the folder of a private server: files that are no longer needed there are removed, so
             that a long batch does not fill the disk
    options  those of `Jobs`: headers, verify, max_queued, patience, timeout
    """

    def __init__(self, url: str, *, scratch: Path | None = None, **options: Any) -> None:
        super().__init__(url, **options)
        self.scratch = scratch
        self._uploads: dict[str, FileRef] = {}  # by content, the oldest first
        self._choices: dict[str | None, Choice] = {}  # of checkpoints, by the name that was given
        self.catalog = Catalog(lambda kind: self._patiently(partial(self.server.object_info, kind)))

    async def upload(self, image: Path | Picture) -> FileRef:
        """Put a picture on the server, once for each content. Raises InputError for a bad file."""
        picture = image if isinstance(image, Picture) else read_picture(image, "input")
        name = picture.name
        if name not in self._uploads:
            if len(self._uploads) >= KEPT_UPLOADS:
                self._discard(self._uploads.pop(next(iter(self._uploads))))
            self._uploads[name] = await self._patiently(
                lambda: self.server.upload(picture.data, name, UPLOADS)
            )
        return self._uploads[name]

    async def save(self, ref: FileRef, path: Path) -> None:
        """Download one output to a path, where it appears whole or not at all.

        A PNG becomes a JPEG or WebP where the path asks for that.
        """
        made, wanted = (BY_SUFFIX.get(Path(n).suffix.lower()) for n in (ref.filename, path.name))

        async def once() -> None:
            with write_whole(path) as file:
                if made is not PNG or wanted in (None, PNG):
                    await self.server.download(ref, file)
                    return
                with tempfile.TemporaryFile() as png:
                    await self.server.download(ref, png)
                    PNG.check(png, ref.filename)
                    await asyncio.to_thread(wanted.encode, png, file)

        await self._patiently(once)
        self._discard(ref)

    async def edit(
        self,
        image: Path | Picture,
        instruction: str,
        output: Path,
        *,
        mask: Path | Picture | None = None,
        settings: Mapping[str, Any] | None = None,
        listener: Listener | None = None,
        prompt_id: str | None = None,
        resume: bool = False,
        **parameters: Any,
    ) -> Result:
        """Edit one picture by an instruction and save it as `output`.

        The result's notes say what the files hold that was edited otherwise, and which checkpoint
        was chosen where none is named.

        parameters  as `edit_prompt` takes them: text_cfg, image_cfg, steps, seed, checkpoint, ...
        settings    other inputs by title, such as {"Sampler.scheduler": "karras"}
        """
        picture, region = image, mask
        if isinstance(picture, Path):
            picture = await asyncio.to_thread(read_picture, picture)
        if isinstance(region, Path):
            region = await asyncio.to_thread(read_picture, region, "mask")
        choice = await self.checkpoint(parameters.get("checkpoint"))
        parameters["checkpoint"] = choice.name
        told = (str(parameters.get(name, "")) for name in ("negative", "value", "subject"))
        notes = tuple(filter(None, [choice.note])) + picture.notes
        notes += (region.notes if region else ()) + word_notes(choice.name, instruction, *told)
        for attempt in range(SUBMISSIONS):
            source = await self.upload(picture)
            where = await self.upload(region) if region else None
            prompt = await self._prompt(
                source.annotated,
                instruction,
                settings or {},
                mask=where.annotated if where else None,
                prefix=f"ip2p/{slug(output.stem)}{attempt or ''}",  # another name is never cached
                **parameters,
            )
            try:
                how = {"listener": listener, "prompt_id": prompt_id, "resume": resume}
                result = await self._make(prompt, output, **how)
                return replace(result, notes=notes)
            except (JobLost, WorkflowRefused) as error:
                # A server that came back with empty folders no longer has the uploads or the
                # result; anything else that it refuses, it refuses again.
                if attempt + 1 == SUBMISSIONS or not (
                    isinstance(error, JobLost) or (self._uploads and "Invalid image" in str(error))
                ):
                    raise
                self._uploads.clear()
                prompt_id = None
        raise AssertionError("unreachable")

    async def _make(self, prompt: Prompt, output: Path, **how: Any) -> Result:
        """Run the prompt of an edit, `how` as `run` takes it, and save its picture."""
        result = await self.run(prompt, **how)
        if not result.outputs:
            raise ServerMisbehaved("the edit ended without a picture")
        await self.save(result.outputs[0].file, output)
        if self.scratch:
            with contextlib.suppress(ServerUnavailable):  # the result is safe already
                await self.server.forget(result.prompt_id)
        return result

    async def check(self, settings: Mapping[str, Any], **parameters: Any) -> None:
        """Raise InputError where this server lacks something that such an edit needs."""
        parameters["checkpoint"] = (await self.checkpoint(parameters.get("checkpoint"))).name
        await self._prompt("", "" if "preset" in parameters else "x", settings, **parameters)

    async def _prompt(
        self, image: str, instruction: str, settings: Mapping[str, Any], **parameters: Any
    ) -> Prompt:
        """The prompt of an edit, once its values have been compared with the server's lists."""
        prompt = edit_of(image, instruction, **parameters)
        prompt = patched(prompt, settings, await self.catalog.of(prompt))
        await self.catalog.check(prompt)
        return prompt

    async def checkpoint(self, name: str | None = None) -> Choice:
        """As `choose`; it is asked once for each name."""
        if name not in self._choices:
            self._choices[name] = await self._patiently(partial(choose, self.server, name))
        return self._choices[name]

    def _discard(self, ref: FileRef) -> None:
        if self.scratch:
            file = self.scratch / ref.type / ref.subfolder / ref.filename
            file.unlink(missing_ok=True)


@asynccontextmanager
async def connect(url: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client of the server at `url`, or of a private one that is started and stopped with it."""
    async with AsyncExitStack() as stack:
        if url is None:
            private = await stack.enter_async_context(PrivateServer())
            stack.enter_context(private.explained())
            url = private.url
        yield await stack.enter_async_context(Client(url, **options))


def edit(
    image: str | Path,
    instruction: str,
    output: str | Path | None = None,
    *,
    server: str | None = None,
    **parameters: Any,
) -> Path:
    """Edit one picture and return the path of the result: `edit("photo.jpg", "make it snow")`.

    output      where to save it; by default beside the picture, as photo-make-it-snow.png
    server      the address of a running ComfyUI; without one a private ComfyUI is started for this
                call, so use `connect` for more than one edit
    parameters  as `Client.edit`
    """
    path = Path(image)
    target = Path(output) if output else path.with_name(default_name(str(path), instruction))
    if not instruction.strip():
        raise InputError("the instruction is empty; say what to change")

    async def once() -> None:
        async with connect(server) as client:
            await client.edit(path, instruction, target, **parameters)

    asyncio.run(once())
    return target
