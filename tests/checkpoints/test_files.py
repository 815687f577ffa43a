"""Reading never runs code, and says which file is damaged and how."""

import argparse
import collections
import json
import os
import pickle
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.files import CheckpointError, read_component, read_tensors
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.outline import read_outline
from instruct_pix2pix.checkpoints.pickles import DTYPES


class Attack:
    """Unpickled without care, it makes a folder."""

    def __init__(self, mark, function=os.mkdir):
        self.mark, self.function = mark, function

    def __reduce__(self):
        command = f"mkdir {self.mark}" if self.function is os.system else str(self.mark)
        return self.function, (command,)


@pytest.mark.parametrize("function", [os.mkdir, os.system])
@pytest.mark.parametrize("save", ["torch-legacy", "plain"])
@pytest.mark.parametrize("suffix", [".ckpt", ".bin"])
def test_a_hostile_old_pickle_is_refused_and_not_run(tmp_path, function, save, suffix):
    mark, path = tmp_path / "it-ran", tmp_path / f"hostile{suffix}"
    content = {"state_dict": {"weight": torch.zeros(3)}, "callbacks": Attack(mark, function)}
    if save == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=f"^hostile{suffix}: .* could run code"):
        load_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("function", [os.mkdir, os.system])
@pytest.mark.parametrize("place", ["beside", "among", "inside"])
def test_a_hostile_pickle_gives_its_tensors_and_runs_nothing(tmp_path, function, place):
    mark, path = tmp_path / "it-ran", tmp_path / "hostile.ckpt"
    attack = Attack(mark, function)
    weights = {"weight": torch.arange(6.0).reshape(2, 3)}
    if place == "among":
        weights["other"] = attack
    content = {"state_dict": weights, "callbacks": attack if place == "beside" else [{3: attack}]}
    torch.save(content, path)
    assert list(look_into(path)) == ["weight"]
    tensors, _ = read_tensors(path, path.name)
    assert list(tensors) == ["weight"] and torch.equal(tensors["weight"], weights["weight"])
    assert not mark.exists()


def look_into(path):
    return read_outline(path).shapes


def foreign():
    """What trainings leave beside their weights."""
    Settings = types.SimpleNamespace
    return {
        "numpy": [np.float32(0.5), np.int64(3), np.arange(4), np.random.RandomState(0)],
        "path": Path("runs/checkpoint"),
        "args": argparse.Namespace(lr=1e-4),
        "counts": collections.defaultdict(list, a=[1]),
        "more": [Settings(x=1), {1, 2}, frozenset("a"), Fraction(1, 3), torch.device("cpu")],
    }


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "module", "state_dict_ema", None])
def test_foreign_objects_beside_the_weights_are_left_out(tmp_path, wrapper):
    path = tmp_path / "training.ckpt"
    weights = collections.OrderedDict(
        a=torch.randn(2, 3),
        half=torch.randn(5).half(),
        brain=torch.randn(5).bfloat16(),
        eight=torch.randn(5).to(torch.float8_e4m3fn),
        whole=torch.arange(4),
        turned=torch.randn(3, 4).t(),
        part=torch.randn(10)[3:7],
        parameter=torch.nn.Parameter(torch.randn(2)),
        none=torch.zeros(0, 3),
        number=torch.tensor(7.0),
    )
    weights._metadata = {"": {"version": 1}}
    torch.save({wrapper: weights, **foreign()} if wrapper else {**weights, **foreign()}, path)
    tensors, metadata = read_tensors(path, path.name)
    assert metadata == {} and list(tensors) == list(weights)
    for name, tensor in weights.items():
        assert tensors[name].dtype == tensor.dtype and tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name].float(), tensor.float()), name
    assert look_into(path) == {name: tuple(tensor.shape) for name, tensor in weights.items()}


def test_every_storage_is_read_as_torch_reads_it(tmp_path):
    path = tmp_path / "all.ckpt"
    weights = {name: torch.ones(3).to(getattr(torch, name)) for name in DTYPES}
    torch.save(weights, path)
    expected = torch.load(path, weights_only=True)
    for name, tensor in read_tensors(path, path.name)[0].items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor.float(), expected[name].float())


def test_the_attack_is_real(tmp_path):
    mark = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()


def test_a_hostile_shard_is_refused_and_not_run(tmp_path):
    mark, folder = tmp_path / "it-ran", tmp_path / "pipeline" / "unet"
    folder.mkdir(parents=True)
    torch.save({"weight": Attack(mark)}, folder / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match="^pipeline: this folder has no UNet"):
        load_checkpoint(tmp_path / "pipeline")
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt", ".pth", ".sft"])
def test_damaged_files_are_named(tmp_path, tiny, suffix):
    whole = tiny("raw.ckpt" if suffix in (".ckpt", ".pth") else "raw.safetensors").read_bytes()
    damages = {
        "empty": b"",
        "one-byte": whole[:1],
        "half": whole[: len(whole) // 2],
        "no-end": whole[:-1],
        "text": b"Not Found: the file was moved\n" * 9,
        "html": b"<!DOCTYPE html><html><body>log in</body></html>",
        "zeros": bytes(4096),
        "huge-header": b"\xff" * 8 + whole[8:4096],
    }
    for damage, content in damages.items():
        path = tmp_path / f"{damage}{suffix}"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"^{damage}{suffix}: this file is ") as refusal:
            load_checkpoint(path)
        assert "\n" not in str(refusal.value)


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="^gone.safetensors: .*refresh the editor"):
        load_checkpoint(tmp_path / "gone.safetensors")


def test_objects_that_are_no_tensors_are_left_out(tmp_path):
    path = tmp_path / "training.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2), "b": 3, 4: torch.ones(1)}, "epoch": 7}, path)
    tensors, metadata = read_tensors(path, path.name)
    assert list(tensors) == ["a"] and metadata == {}


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), {"state_dict": 3}, None])
def test_a_pickle_without_names_is_refused(tmp_path, content):
    path = tmp_path / "list.ckpt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="^list.ckpt: "):
        load_checkpoint(path)


def test_a_tensor_larger_than_its_file_is_refused(tmp_path):
    path = tmp_path / "bomb.ckpt"
    torch.save({"input_blocks.0.0.weight": torch.zeros(1).expand(1 << 40)}, path)
    with pytest.raises(CheckpointError, match="^bomb.ckpt: .* larger than the file"):
        load_checkpoint(path)


def pipeline_part(folder, value, name="model.safetensors"):
    tensor = {"weight": torch.full((2,), float(value))}
    if name.endswith(".bin"):
        torch.save(tensor, folder / name)
    else:
        safetensors.torch.save_file(tensor, folder / name)


def test_the_best_file_of_a_component_is_taken(tmp_path):
    names = ["pytorch_model.fp16.bin", "pytorch_model.bin"]
    names += ["model.fp16.safetensors", "model.safetensors"]
    for value, name in enumerate(names):
        pipeline_part(tmp_path, value, name)
        tensors = read_component(tmp_path, "model", "pytorch_model")
        assert tensors["weight"][0] == value, name


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_shards_are_joined(tmp_path, variant):
    for part in "ab":
        safetensors.torch.save_file({part: torch.ones(1)}, tmp_path / f"{part}.safetensors")
    index = {"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
    (tmp_path / f"model.safetensors.index{variant}.json").write_text(json.dumps(index))
    assert sorted(read_component(tmp_path, "model", "pytorch_model")) == ["a", "b"]


@pytest.mark.parametrize(
    "index",
    [
        '{"weight_map": {"a": "../secret.safetensors"}}',
        '{"weight_map": {"a": "/etc/passwd"}}',
        '{"weight_map": {"a": "missing.safetensors"}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": []}',
        "[]",
        "{",
    ],
)
def test_a_bad_index_is_refused(tmp_path, index):
    folder = tmp_path / "pipeline" / "unet"
    folder.mkdir(parents=True)
    safetensors.torch.save_file({"a": torch.ones(1)}, folder.parent / "secret.safetensors")
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="^pipeline/unet/"):
        load_checkpoint(tmp_path / "pipeline")
