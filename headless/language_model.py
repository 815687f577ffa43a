"""A language model in a folder, served on this machine as the clouds serve theirs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from .errors import ServerUnavailable
from .progress import View
from .server import PACK, find_comfyui, free_port, kill


class LocalModel:
    """A process of ComfyUI's Python with a model of transformers; it cannot outlive this one."""

    def __init__(self, folder: Path) -> None:
        self.installation = find_comfyui()
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"

    @staticmethod
    @contextlib.asynccontextmanager
    async def at(place: str, view: View) -> AsyncIterator[str]:
        """The address of a language model: `place` itself, or a server for a folder."""
        if not os.path.isdir(place):
            yield place
            return
        model = LocalModel(Path(place))
        line = view.line("language model", f"loading {place}")
        process = model.start()
        try:
            await model.ready(process)
            view.done(line, "ready")
            yield model.url
        finally:
            kill(process)

    def start(self) -> subprocess.Popen[bytes]:
        script = str(PACK / "headless" / "program.py")
        return subprocess.Popen(
            [
                *(self.installation.python, script, str(self.installation.tree)),
                *("pairs.serve_model", str(self.folder), "--port", str(self.port)),
            ],
            stdin=subprocess.PIPE,  # whose end it waits for
            start_new_session=True,
        )

    async def ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it answers. Raises ServerUnavailable where it ends instead."""
        async with aiohttp.ClientSession() as session:
            while process.poll() is None:
                with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                    async with session.get(f"{self.url}/models") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.2)
        raise ServerUnavailable(f"the language model in {self.folder} did not load; see above why")
