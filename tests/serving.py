"""A real ComfyUI that offers the models of a test."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from instruct_pix2pix.headless.server import PrivateServer

KINDS = ("checkpoints", "loras", "controlnet")


@contextmanager
def serving(models: Path, *flags: str) -> Iterator[PrivateServer]:
    """Run it, with live previews.

    models  a folder that has one of each of KINDS; the log lies beside the checkpoints
    """
    for kind in KINDS:
        (models / kind).mkdir(exist_ok=True)
    paths = models / "paths.json"
    paths.write_text(json.dumps({"tests": {kind: str(models / kind) for kind in KINDS}}))
    config = ("--extra-model-paths-config", str(paths), "--preview-method", "latent2rgb")
    server = PrivateServer(
        arguments=[*config, *flags],
        log=models / "checkpoints" / "comfyui.log",
        start_timeout=1800,  # a busy machine is not a failure
    )
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()
