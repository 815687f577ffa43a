"""`ip2p convert` writes one small file of the same model, and says what it cannot convert.

It starts the program `checkpoints.convert`, which most tests run within this process.
"""

import json
import sys

import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints import convert
from instruct_pix2pix.checkpoints.layouts import read_checkpoint

from ..checkpoints.factory import tiny_checkpoint
from ..checkpoints.factory_sdxl import sdxl_checkpoint
from .command import finished, in_process, ip2p


@pytest.fixture
def program(monkeypatch, capsys):
    """Run the program with these arguments; its exit code and what it said."""

    def program(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
        try:
            convert.main()
            code = 0
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().out

    return program


def test_the_command_writes_where_it_says(tmp_path):
    source, target = tiny_checkpoint(tmp_path, "raw+ema.ckpt"), tmp_path / "small.safetensors"
    code, said = finished(ip2p("convert", source, target, "--precision", "bf16", "--json"))
    assert code == 0, said
    assert json.loads(said)["output"] == str(target)
    before, after = read_checkpoint(source, "ema"), read_checkpoint(target, "raw")
    assert all(torch.equal(before.unet[k].bfloat16(), after.unet[k]) for k in before.unet)


@pytest.mark.parametrize("format", ["raw+ema.ckpt", "cosxl"])
def test_a_checkpoint_becomes_one_file_of_half_precision(tmp_path, program, format):
    if format == "cosxl":
        source = sdxl_checkpoint(tmp_path, "cosxl.safetensors")
    else:
        source = tiny_checkpoint(tmp_path, format)
    target = tmp_path / "small.safetensors"
    code, said = program(source, target)
    assert code == 0 and str(target) in said, said
    before, after = read_checkpoint(source, "auto"), read_checkpoint(target, "raw")
    assert before.resolution == after.resolution and before.family is after.family
    assert before.sampling.keys() == after.sampling.keys()
    for one, other in ((before.unet, after.unet), (before.vae, after.vae)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[k].half(), other[k]) for k in one)


def test_the_set_and_the_precision_can_be_chosen(tmp_path, program):
    source, target = tiny_checkpoint(tmp_path, "raw+ema.safetensors"), tmp_path / "raw.safetensors"
    code, said = program(source, target, "--weights", "raw", "--precision", "keep")
    assert code == 0 and "Stable Diffusion 1.5" in said, said
    before, after = (read_checkpoint(path, "raw").unet for path in (source, target))
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not any(key.startswith("model_ema") for key in safetensors.torch.load_file(target))


def test_a_checkpoint_becomes_a_folder_and_a_file_again(tmp_path, program):
    source = tiny_checkpoint(tmp_path, "raw+ema.ckpt")
    folder, file = tmp_path / "editor-1.5", tmp_path / "again.safetensors"
    for arguments in ((source, folder), (folder, file, "--precision", "keep")):
        code, said = program(*arguments)
        assert code == 0, said
    assert (folder / "model_index.json").is_file()
    before, after = read_checkpoint(source, "ema"), read_checkpoint(file, "auto")
    for one, other in ((before.unet, after.unet), (before.vae, after.vae)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[k].half(), other[k]) for k in one)


def test_what_cannot_be_converted_is_said(tmp_path, program):
    source = tiny_checkpoint(tmp_path, "raw.safetensors")
    other = tmp_path / "lora.safetensors"
    safetensors.torch.save_file({"x.lora_down.weight": torch.zeros(1)}, other)
    new = tmp_path / "new.safetensors"
    for arguments, sentence in (
        ((other, new), "this is a LoRA"),
        ((tmp_path / "missing.ckpt", new), "cannot be read"),
        ((source, tmp_path, "--force"), "is there already; --force writes over a file, not"),
        ((source, source, "--force"), "is there already"),
        ((source, other), "is there already; --force"),
        ((source, tmp_path / "new.ckpt"), "ends in .safetensors"),
        ((source, tmp_path / "no" / "new.safetensors"), "there is no such folder"),
        ((source, new, "--precision", "fp8"), "--precision: got 'fp8'"),
    ):
        code, said = in_process("convert", *arguments)
        assert code == 3 and sentence in " ".join(said.split()), said
    code, said = program(source, new, "--weights", "ema")
    assert code == 3 and "no EMA weights in this file" in said, said
    assert not new.exists()
