"""Gives the pack its import name and puts the real ComfyUI on the path; allows one reason to skip.

The pack root is imported as `instruct_pix2pix`, as pip installs it, without being on sys.path
itself: there its `nodes/` would shadow ComfyUI's `nodes.py`.
"""

import gc
import os
import signal
import sys
import types
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# Before torch starts its threads: on tiny models they cost more than they bring, most of all on a
# busy machine. Servers that a test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui")

os.environ["HF_HUB_OFFLINE"] = "1"  # diffusers and transformers then ask nobody for anything

pack = types.ModuleType("instruct_pix2pix")
pack.__path__ = [str(ROOT)]
sys.modules.setdefault("instruct_pix2pix", pack)

sys.path.insert(0, str(COMFYUI))

from comfy.cli_args import args  # noqa: E402  (needs the path above)

args.cpu = not torch.cuda.is_available()

# Started in the background, a shell has pytest and all its children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples are the same in every run, and a busy machine is not a failure.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


# What starts a server or a browser, trains, or loads and edits by the dozen; `make test-fast`
# leaves it out.
SLOW = (
    *("browser/", "checkpoints/test_lora", "checkpoints/test_merging", "checkpoints/test_saving"),
    *("checkpoints/test_sdxl", "headless/", "mini/test_evaluate", "mini/test_pairing"),
    *("mini/test_run", "mini/test_training", "nodes/test_over_http", "nodes/test_plugged_in"),
    *("nodes/test_sd", "nodes/test_training", "pairs/test_prompt", "samplers/comfy/test_cells"),
    *("test_end_to_end", "test_packaging", "test_workflows"),
    *("training/test_learning", "training/test_run"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.as_posix().removeprefix(f"{ROOT.as_posix()}/tests/").startswith(SLOW):
            item.add_marker("slow")
    # The slow files first: at the end one worker would wait for the other.
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


def pytest_collection_finish() -> None:
    # What was imported stays: no collection of garbage need look at half a million objects again.
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def vocabulary_read_once() -> Iterator[None]:
    """ComfyUI reads its vocabulary anew for each checkpoint: half the time that a tiny one takes.

    It writes nothing into its tokenizers. diffusers does, so that the pipelines of tests, which
    ask for the same folder with options, have their own.
    """
    tokenization = sys.modules.get("transformers.models.clip.tokenization_clip")
    if tokenization is None:  # no test that was collected loads a checkpoint
        yield
        return
    read = tokenization.CLIPTokenizer.from_pretrained
    kept: dict[Path, Any] = {}

    def from_pretrained(folder: Any, **options: Any) -> Any:
        path = Path(folder)
        if options or not path.is_relative_to(COMFYUI):
            return read(folder, **options)
        if path not in kept:
            kept[path] = read(folder)
        return kept[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenization.CLIPTokenizer, "from_pretrained", staticmethod(from_pretrained))
        yield


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    """The folder of the ComfyUI that is tested on."""
    return COMFYUI


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One real ComfyUI for all tests, with a tiny checkpoint of random weights.

    Beside it lie one that draws from text and one that is broken. A test may bring files of its
    own to `comfyui.log.parent`, and takes them away.
    """
    import safetensors.torch
    from instruct_pix2pix.tests.checkpoints.factory import (
        ldm_state_dict,
        tiny_checkpoint,
        tiny_pipeline,
    )
    from instruct_pix2pix.tests.serving import serving

    models = tmp_path_factory.mktemp("models")
    checkpoints = models / "checkpoints"
    checkpoints.mkdir()
    tiny_checkpoint(checkpoints, "mini.safetensors")  # as tiny.safetensors
    other = ldm_state_dict(tiny_pipeline(in_channels=4))
    safetensors.torch.save_file(other, checkpoints / "text-to-image.safetensors")
    (checkpoints / "broken.safetensors").write_bytes(b"not a checkpoint")
    with serving(models) as server:
        yield server


@pytest.fixture(scope="module")
def stand_ins(comfyui: Any) -> Iterator[Any]:
    """That ComfyUI with a small file for each that templates name."""
    from instruct_pix2pix.tests.browser.stand_ins import MODELS, write_stand_ins

    folder = comfyui.log.parents[1]
    write_stand_ins(folder)
    yield comfyui
    for file in MODELS:
        (folder / file["directory"] / file["name"]).unlink()


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model, clip and vae of one tiny editor of random weights; not to be changed."""
    from instruct_pix2pix.checkpoints.loading import load_checkpoint
    from instruct_pix2pix.tests.checkpoints.factory import tiny_checkpoint

    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="session")
def model(loaded: Any) -> Any:
    return loaded.model


@pytest.fixture(scope="session")
def graph() -> Any:
    """The same edit as `edit`, through our nodes, and `core`, as people wire core's."""
    from instruct_pix2pix.tests.samplers.graph import both_graphs

    return both_graphs()


@pytest.fixture
def inference_mode() -> Iterator[None]:
    """As ComfyUI runs nodes."""
    with torch.inference_mode():
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not item.get_closest_marker("gpu"):
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip, which would hide a check that did not run, into a failure."""
    report.outcome = "failed"
    report.longrepr = f"Skipped, which only a missing GPU allows (mark it gpu): {report.longrepr}"
