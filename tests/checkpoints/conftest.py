"""Every format of the same tiny checkpoint, written once, and loaded in full precision."""

from collections.abc import Callable
from pathlib import Path

import pytest
from comfy.cli_args import args

from .factory import tiny_checkpoint


@pytest.fixture(autouse=True)
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """As --fp32-unet, --fp32-vae and --fp32-text-enc: core would store text encoders in fp16."""
    for part in ("unet", "vae", "text_enc"):
        monkeypatch.setattr(args, f"fp32_{part}", True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`tiny("raw+ema.ckpt")` is the path of a checkpoint in that format; not to be changed."""
    written: dict[str, Path] = {}

    def path(format: str) -> Path:
        if format not in written:
            written[format] = tiny_checkpoint(tmp_path_factory.mktemp("tiny"), format)
        return written[format]

    return path
