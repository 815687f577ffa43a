"""The combo shows what is there, takes nothing else, and a changed file is loaded again."""

import os
import shutil

import folder_paths
import pytest
import torch
from comfy_api.latest import io
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.nodes.loading import BUILT_IN, IP2PLoadCheckpoint
from instruct_pix2pix.tests.checkpoints.factory import tiny_checkpoint


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Empty model folders."""
    paths = dict(folder_paths.folder_names_and_paths)
    for kind in ("checkpoints", "diffusers"):
        (tmp_path / kind).mkdir()
        paths[kind] = ([str(tmp_path / kind)], folder_paths.folder_names_and_paths[kind][1])
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", paths)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return tiny_checkpoint(folder, "raw+ema.safetensors"), tiny_checkpoint(folder, "diffusers")


def combo(name):
    return IP2PLoadCheckpoint.INPUT_TYPES()["required"][name][1]


def load(checkpoint, weights="auto"):
    return IP2PLoadCheckpoint.execute(checkpoint, weights).args


def test_the_contract_of_the_node():
    schema = IP2PLoadCheckpoint.define_schema()
    assert schema.node_id == IP2PLoadCheckpoint.__name__ == "IP2PLoadCheckpoint"
    assert schema.category == "InstructPix2Pix"
    assert [i.id for i in schema.inputs] == ["checkpoint", "weights"]
    outputs = [(o.id, type(o)) for o in schema.outputs]
    assert outputs == [
        ("model", io.Model.Output),
        ("clip", io.Clip.Output),
        ("vae", io.Vae.Output),
        ("resolution", io.Int.Output),
    ]
    assert all(slot.tooltip and slot.display_name for slot in schema.outputs)
    assert all(slot.tooltip for slot in schema.inputs) and schema.description


def test_a_fresh_graph_takes_the_built_in_model(models):
    assert combo("checkpoint")["default"] == BUILT_IN == "ip2p-mini (built-in)"
    assert combo("checkpoint")["options"] == [BUILT_IN]
    assert combo("weights")["options"] == ["auto", "ema", "raw"]
    assert combo("weights")["default"] == "auto"


def test_new_files_and_folders_appear(models, written):
    assert combo("checkpoint")["options"] == [BUILT_IN]
    file, folder = written
    shutil.copy(file, models / "checkpoints" / "b.safetensors")
    (models / "checkpoints" / "sub").mkdir()
    shutil.copy(file, models / "checkpoints" / "sub" / "a.ckpt")
    shutil.copytree(folder, models / "diffusers" / "deep" / "tiny")
    (models / "diffusers" / "not-a-pipeline").mkdir()
    # As at the end of a request; within one, core keeps the list.
    folder_paths.filename_list_cache.clear()
    assert combo("checkpoint")["options"] == [
        BUILT_IN,
        "b.safetensors",
        os.path.join("sub", "a.ckpt"),
        os.path.join("deep", "tiny"),
    ]


def test_a_file_and_a_folder_are_loaded(models, written):
    file, folder = written
    shutil.copy(file, models / "checkpoints" / "tiny.safetensors")
    shutil.copytree(folder, models / "diffusers" / "tiny")
    raw, ema, diffusers = load("tiny.safetensors", "raw"), load("tiny.safetensors"), load("tiny")
    assert (raw[3], ema[3], diffusers[3]) == (512, 512, 64)

    def weights(outputs):
        return outputs[0].model.diffusion_model.state_dict()

    assert all(torch.equal(weights(diffusers)[k], v) for k, v in weights(raw).items())
    assert not torch.equal(weights(raw)["out.2.weight"], weights(ema)["out.2.weight"])


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "../checkpoints/../secret.safetensors",
        "/etc/passwd",
        "sub/../../secret.safetensors",
        "..\\secret.safetensors",
        "../secret",
        "..",
        ".",
        "",
        "ip2p-mini",
        "missing.safetensors",
        "tiny.safetensors\0.png",
        None,
        ["tiny.safetensors"],
        3,
    ],
)
def test_nothing_but_an_entry_is_opened(models, written, name):
    file, folder = written
    shutil.copy(file, models / "secret.safetensors")
    shutil.copytree(folder, models / "secret")
    shutil.copy(file, models / "checkpoints" / "tiny.safetensors")
    with pytest.raises(CheckpointError, match="^checkpoint: .* is not there"):
        load(name)


@pytest.mark.parametrize("weights", ["EMA", "", None, "auto "])
def test_unknown_weights_are_refused(weights):
    with pytest.raises(CheckpointError, match="^weights: .* is not one of auto, ema, raw"):
        load(BUILT_IN, weights)


def test_a_file_deleted_since_the_list_was_made(models, written):
    path = models / "checkpoints" / "tiny.safetensors"
    shutil.copy(written[0], path)
    assert "tiny.safetensors" in combo("checkpoint")["options"]
    path.unlink()
    with pytest.raises(CheckpointError, match="'tiny.safetensors' is not there"):
        load("tiny.safetensors")


def test_a_changed_file_has_another_fingerprint(models, written):
    file, folder = written
    path = models / "checkpoints" / "tiny.safetensors"
    shutil.copy(file, path)
    shutil.copytree(folder, models / "diffusers" / "tiny")
    for name, changed in (
        ("tiny.safetensors", path),
        ("tiny", models / "diffusers" / "tiny" / "unet" / "config.json"),
    ):
        before = IP2PLoadCheckpoint.fingerprint_inputs(name, "auto")
        assert IP2PLoadCheckpoint.fingerprint_inputs(name, "auto") == before
        os.utime(changed, ns=(0, 0))
        assert IP2PLoadCheckpoint.fingerprint_inputs(name, "auto") != before


def test_links_in_circles_end(models, written):
    shutil.copytree(written[1], models / "diffusers" / "tiny")
    for name in ("again", "once-more", "and-again"):
        (models / "diffusers" / name).symlink_to(models / "diffusers")
    (models / "diffusers" / "alias").symlink_to(models / "diffusers" / "tiny")
    assert combo("checkpoint")["options"] == [BUILT_IN, "alias", "tiny"]
