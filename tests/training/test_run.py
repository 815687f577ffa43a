"""Runs that are killed, stopped, divided or short of disk end as those that are not."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from instruct_pix2pix.training import state as state_module
from instruct_pix2pix.training.cache import Encoder
from instruct_pix2pix.training.settings import RunError
from instruct_pix2pix.training.state import load_state

from ..checkpoints.factory import tiny_checkpoint
from ..pairs.layouts import WRITERS, made, write
from .runs import run

PROGRAM = Path(__file__).with_name("runs.py")


def final(folder):
    step, tensors = load_state(folder / "state")
    return step, tensors


def same(first, second):
    """Weights, averages and the optimizer's memory, to the bit."""
    assert first[0] == second[0] and first[1].keys() == second[1].keys()
    assert any(name.startswith("adam.") for name in first[1])
    assert any(name.startswith("average.") for name in first[1])
    for name, tensor in first[1].items():
        assert torch.equal(tensor, second[1][name]), name


def same_gradients(first, second, tolerance):
    """Adam's first moments, which are gradients; its steps blow up what is but rounding."""
    names = [name for name in first[1] if name.endswith("exp_avg")]
    assert names and any(float(first[1][name].abs().max()) > 1e-3 for name in names)
    for name in names:
        assert float((first[1][name] - second[1][name]).abs().max()) <= tolerance, name


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_run_in_two_halves_is_one_run(kind, tmp_path, checkpoint):
    options = dict(kind=kind, flip=True, keep=0.5, lessons=["make it snow"])
    run(tmp_path / "whole", checkpoint, steps=6, **options).train()
    run(tmp_path / "halves", checkpoint, steps=3, **options).train()
    run(tmp_path / "halves", checkpoint, steps=6, **options).train()
    same(final(tmp_path / "whole"), final(tmp_path / "halves"))


def test_a_run_that_is_killed_goes_on_bit_for_bit(tmp_path, checkpoint):
    path = tiny_checkpoint(tmp_path)
    command = [sys.executable, str(PROGRAM), str(tmp_path / "killed"), str(path)]
    process = subprocess.Popen([*command, "steps=100000", "save_every=3"])
    try:
        deadline = time.monotonic() + 240
        while not list((tmp_path / "killed" / "state").glob("step-*.safetensors")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    reached = final(tmp_path / "killed")[0]
    steps = reached + 3
    run(tmp_path / "killed", checkpoint, steps=steps, save_every=3).train()
    run(tmp_path / "whole", checkpoint, steps=steps).train()
    same(final(tmp_path / "whole"), final(tmp_path / "killed"))


def test_accumulation_is_a_larger_batch(tmp_path, checkpoint):
    """4 parts of 2 against one batch of 8: the same rows, the same gradients."""
    options = dict(steps=2, learning_rate=1e-9)
    run(tmp_path / "parts", checkpoint, batch_size=2, accumulate=4, **options).train()
    run(tmp_path / "whole", checkpoint, batch_size=8, **options).train()
    same_gradients(final(tmp_path / "parts"), final(tmp_path / "whole"), 1e-6)


def test_two_processes_are_an_accumulation_of_two(tmp_path, checkpoint):
    path = tiny_checkpoint(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    command += ["--standalone", str(PROGRAM)]
    subprocess.run(
        [*command, str(tmp_path / "two"), str(path), "steps=2", "learning_rate=1e-9"], check=True
    )
    run(tmp_path / "one", checkpoint, steps=2, accumulate=2, learning_rate=1e-9).train()
    same_gradients(final(tmp_path / "two"), final(tmp_path / "one"), 1e-6)


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_latents_and_texts(layout, tmp_path, checkpoint):
    from instruct_pix2pix.pairs.layouts import read_pairs

    pairs = read_pairs(write(layout, tmp_path / "set", made()))
    found = run(tmp_path / "found", checkpoint, pairs=pairs).batches
    wanted = run(tmp_path / "wanted", checkpoint).batches
    for step in range(4):
        one, other = found.at(step, 0), wanted.at(step, 0)
        assert torch.equal(one.source, other.source) and torch.equal(one.target, other.target)
        assert torch.equal(one.text, other.text)


def test_the_cache_changes_latents_by_its_rounding_alone(tmp_path, checkpoint):
    cached = run(tmp_path / "cached", checkpoint, flip=True).batches
    live = run(tmp_path / "live", checkpoint, flip=True, cache=False).batches
    for step in range(4):
        one, other = cached.at(step, 0), live.at(step, 0)
        # Half precision keeps 11 bits.
        torch.testing.assert_close(one.source, other.source, rtol=2**-11, atol=1e-5)
        torch.testing.assert_close(one.target, other.target, rtol=2**-9, atol=1e-4)


def test_the_cache_is_made_once(tmp_path, checkpoint, monkeypatch):
    run(tmp_path / "run", checkpoint)
    called = []
    monkeypatch.setattr(Encoder, "__call__", lambda self, pair, flip: called.append(pair))
    run(tmp_path / "run", checkpoint)
    assert not called


def test_latents_are_those_of_the_nodes(tmp_path, checkpoint):
    """The source as IP2PEncodeSource encodes it, for a picture that is not square."""
    import numpy as np
    from instruct_pix2pix.nodes.pictures import IP2PEncodeSource
    from instruct_pix2pix.pairs.pair import open_picture

    pair = made(1, size=(96, 72))[0]
    encoded = Encoder(checkpoint.vae, 64)(pair, False)
    image = torch.from_numpy(np.array(open_picture(pair.source))).float()[None] / 255
    source = IP2PEncodeSource.execute(image, checkpoint.vae, "training size", 64)[0]["samples"]
    torch.testing.assert_close(encoded.source, source, rtol=0, atol=1e-5)
    assert encoded.spread.shape == encoded.mean.shape and (encoded.spread > 0).all()


def test_a_stopped_run_keeps_its_state_and_goes_on(tmp_path, checkpoint):
    first = run(tmp_path / "run", checkpoint, steps=6)

    def stop(progress):
        first.stopped = progress.step == 2

    first.train(stop)
    assert final(tmp_path / "run")[0] == 2
    run(tmp_path / "run", checkpoint, steps=6).train()
    run(tmp_path / "whole", checkpoint, steps=6).train()
    same(final(tmp_path / "whole"), final(tmp_path / "run"))


def test_an_error_between_steps_keeps_the_state(tmp_path, checkpoint):
    def fail(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", checkpoint).train(fail)
    assert final(tmp_path / "run")[0] == 2


def test_a_full_disk_keeps_the_last_state_and_says_so(tmp_path, checkpoint, monkeypatch):
    folder = tmp_path / "run"
    run(folder, checkpoint, steps=2).train()

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(state_module.safetensors.torch, "save_file", full)
        with pytest.raises(RunError, match="No space left on device.*saved before is kept"):
            run(folder, checkpoint, steps=4).train()
    assert [path.name for path in (folder / "state").iterdir()] == ["step-00000002.safetensors"]
    run(folder, checkpoint, steps=4).train()
    run(tmp_path / "whole", checkpoint, steps=4).train()
    same(final(tmp_path / "whole"), final(folder))


def test_two_states_are_kept(tmp_path, checkpoint):
    run(tmp_path / "run", checkpoint, steps=5, save_every=1).train()
    files = sorted((tmp_path / "run" / "state").iterdir())
    assert [f.name for f in files] == ["step-00000004.safetensors", "step-00000005.safetensors"]
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in files)  # others may read them


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1e-2}, "learning_rate = 0.001, and this asks for 0.01"),
        ({"pairs": made(4)}, "was started with pairs"),
        ({"kind": "lora"}, "was started with kind = full"),
    ],
)
def test_a_run_does_not_go_on_as_another(changes, message, tmp_path, checkpoint):
    run(tmp_path / "run", checkpoint)
    with pytest.raises(RunError, match=message):
        run(tmp_path / "run", checkpoint, **changes)


def test_a_broken_state_is_named(tmp_path, checkpoint):
    (tmp_path / "run" / "state").mkdir(parents=True)
    (tmp_path / "run" / "state" / "step-00000002.safetensors").write_bytes(b"cut")
    with pytest.raises(RunError, match="step-00000002.safetensors is not a state of a run"):
        run(tmp_path / "run", checkpoint)


def test_a_loss_without_number_ends_the_run(tmp_path, checkpoint):
    with pytest.raises(RunError, match="Lower the learning rate"):
        run(tmp_path / "run", checkpoint, steps=50, learning_rate=1.0, batch_size=8).train()


def test_a_run_tells_of_itself(tmp_path, checkpoint):
    pairs, seen = made(), []
    options = dict(pairs=pairs[2:], held_out=pairs[:1], steps=4, sample_every=2)
    run(tmp_path / "run", checkpoint, **options).train(seen.append)
    lines = [json.loads(line) for line in (tmp_path / "run" / "loss.jsonl").open()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["held_out"] is None and lines[1]["held_out"] != lines[3]["held_out"]
    assert seen[1].picture is not None and seen[2].picture is None
    assert (tmp_path / "run" / "samples" / "step-4.jpg").is_file()
    assert set(lines[-1]["branches"]) <= {"no text", "neither", "no picture", "both"}
    assert 'kind = "full"' in (tmp_path / "run" / "run.toml").read_text()


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_half_precision_trains_as_full_precision_does(kind, tmp_path, checkpoint):
    """With a teacher and samples. bf16 has two to three digits, and Adam makes more of that."""
    pairs = made()
    options = dict(pairs=pairs[2:], held_out=pairs[:1], kind=kind, sample_every=4)
    options |= dict(keep=0.5, lessons=["make it snow"])
    found = {}
    for precision in ("fp32", "bf16"):
        seen = found[precision] = []
        run(tmp_path / precision, checkpoint, precision=precision, **options).train(seen.append)
        assert (tmp_path / precision / "samples" / "start-0.png").is_file()
    for full, half in zip(found["fp32"], found["bf16"], strict=True):
        assert half.loss != full.loss and half.loss == pytest.approx(full.loss, abs=0.03)
    assert half.held_out == pytest.approx(full.held_out, abs=0.03)
