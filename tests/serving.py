"""A real ComfyUI that offers the checkpoints of a test."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instruct_pix2pix.headless.server import PrivateServer


@contextmanager
def serving(checkpoints: Path, config: Path) -> Iterator[PrivateServer]:
    """Run it with live previews and without a cache, so that a prompt's second run is a run.

    config  a file to write, which tells ComfyUI of the folder
    """
    config.write_text(json.dumps({"tests": {"checkpoints": str(checkpoints)}}))
    flags = ("--cache-none", "--preview-method", "latent2rgb", "--extra-model-paths-config")
    server = PrivateServer(arguments=[*flags, str(config)])
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()
