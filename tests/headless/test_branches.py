"""`ip2p doctor CHECKPOINT`: an editor is measured, what is none is told from its header."""

import pytest
import torch
from instruct_pix2pix.headless.branches import judged
from safetensors.torch import save_file

from .command import finished, in_process, ip2p


def test_a_good_editor_has_three_branches_that_work():
    code, told = finished(ip2p("doctor", "ip2p-mini"))
    assert code == 0, told
    lines = [line[:4] + line[6:].partition(":")[0] for line in told.splitlines()]
    branches = ["ok  picture", "ok  without a picture", "ok  without text"]
    assert lines == ["ok  checkpoint ip2p-mini", *branches, "notetraining"], told


def test_what_is_no_editor_is_not_measured(tmp_path):
    path = tmp_path / "hair.safetensors"
    save_file({"lora_unet_mid.lora_up.weight": torch.zeros(4, 4)}, path)
    code, told = in_process("doctor", path)
    assert code == 1 and told.startswith(f"BAD   checkpoint {path}: this is a LoRA."), told


def test_what_is_not_there_is_named():
    code, told = in_process("doctor", "hair.ckpt")
    assert code == 3 and "hair.ckpt: there is no such file; give a checkpoint or a work" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.ckpt", "--server", "http://localhost:1"), "is measured here; leave them out"),
        (("--instruction", "make it night"), "asked of a checkpoint"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, message):
    code, told = in_process("doctor", *arguments)
    assert code == 3 and message in told


@pytest.mark.parametrize(
    ("shares", "bad"),
    [
        ({}, []),
        ({"picture": 1.0, "no_picture": None, "no_text": 0.97}, ["picture", "without text"]),
        ({"no_picture": 0.63}, ["without a picture"]),
        ({"no_text": 1.0}, ["without text"]),
    ],
)
def test_a_branch_is_bad_from_half_of_the_error_on(shares, bad):
    found = list(judged(**{"picture": 0.01, "no_picture": 0.34, "no_text": 0.02} | shares))
    assert [one.what for one in found if one.good is False] == bad
