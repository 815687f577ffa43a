"""Every format of the same tiny checkpoint, written once, and loaded in full precision."""

from collections.abc import Callable
from pathlib import Path

import pytest
from comfy.cli_args import args
from instruct_pix2pix.checkpoints.loading import Checkpoint, load_checkpoint

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


@pytest.fixture(scope="module")
def opened() -> Callable[[Path], Checkpoint]:
    """`opened(path)` are the parts of a checkpoint, loaded once; not to be changed."""
    loaded: dict[Path, Checkpoint] = {}

    def load(path: Path) -> Checkpoint:
        if path not in loaded:
            loaded[path] = load_checkpoint(path)
        return loaded[path]

    return load
