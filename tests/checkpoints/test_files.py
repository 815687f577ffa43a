"""Reading never runs code, and says which file is damaged and how."""

import json
import os
import pickle

import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.files import CheckpointError, read_component, read_tensors
from instruct_pix2pix.checkpoints.loading import load_checkpoint


class Attack:
    """Unpickled without care, it makes a folder."""

    def __init__(self, mark, function=os.mkdir):
        self.mark, self.function = mark, function

    def __reduce__(self):
        command = f"mkdir {self.mark}" if self.function is os.system else str(self.mark)
        return self.function, (command,)


@pytest.mark.parametrize("function", [os.mkdir, os.system])
@pytest.mark.parametrize("save", ["torch", "torch-legacy", "plain"])
@pytest.mark.parametrize("suffix", [".ckpt", ".bin"])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, function, save, suffix):
    mark, path = tmp_path / "it-ran", tmp_path / f"hostile{suffix}"
    content = {"state_dict": {"weight": torch.zeros(3)}, "callbacks": Attack(mark, function)}
    if save == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=save == "torch")
    with pytest.raises(CheckpointError, match=f"^hostile{suffix}: .* could run code"):
        load_checkpoint(path)
    assert not mark.exists()


def test_the_attack_is_real(tmp_path):
    mark = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()


def test_a_hostile_shard_is_refused_and_not_run(tmp_path):
    mark, folder = tmp_path / "it-ran", tmp_path / "pipeline" / "unet"
    folder.mkdir(parents=True)
    torch.save({"weight": Attack(mark)}, folder / "diffusion_pytorch_model.bin")
    name = "^pipeline/unet/diffusion_pytorch_model.bin: "
    with pytest.raises(CheckpointError, match=name):
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
