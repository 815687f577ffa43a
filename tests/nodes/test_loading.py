"""The combo shows what is there, takes nothing else, and a changed file is loaded again."""

import os
import shutil

import folder_paths
import pytest
import safetensors.torch
import torch
from comfy_api.latest import io
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.nodes.loading import BUILT_IN, TEXT_TO_IMAGE, IP2PLoadCheckpoint
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction
from instruct_pix2pix.tests.checkpoints.factory import tiny_checkpoint


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Empty model folders."""
    paths = dict(folder_paths.folder_names_and_paths)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for kind in ("checkpoints", "diffusion_models", "diffusers"):
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
        ("text_cfg", io.Float.Output),
        ("image_cfg", io.Float.Output),
    ]
    assert all(slot.tooltip and slot.display_name for slot in schema.outputs)
    assert all(slot.tooltip for slot in schema.inputs) and schema.description


def test_a_fresh_graph_takes_the_built_in_model(models):
    assert combo("checkpoint")["default"] == BUILT_IN == "ip2p-mini (built-in)"
    assert combo("checkpoint")["options"] == [BUILT_IN, TEXT_TO_IMAGE]
    assert combo("weights")["options"] == ["auto", "ema", "raw"]
    assert combo("weights")["default"] == "auto"


def test_new_files_and_folders_appear(models, written):
    assert combo("checkpoint")["options"] == [BUILT_IN, TEXT_TO_IMAGE]
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
        TEXT_TO_IMAGE,
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
    assert combo("checkpoint")["options"] == [BUILT_IN, TEXT_TO_IMAGE, "alias", "tiny"]


@pytest.mark.parametrize(
    "name", ["sub\\tiny.safetensors", "SUB/tiny.safetensors", "old/tiny.safetensors"]
)
def test_another_spelling_of_the_only_such_name_is_taken(models, written, name):
    (models / "checkpoints" / "sub").mkdir()
    shutil.copy(written[0], models / "checkpoints" / "sub" / "tiny.safetensors")
    assert IP2PLoadCheckpoint.validate_inputs(name) is True
    assert load(name)[3] == 512


def test_a_name_that_means_two_files_is_refused_before_the_queue(models, written):
    for folder in "ab":
        (models / "checkpoints" / folder).mkdir()
        shutil.copy(written[0], models / "checkpoints" / folder / "tiny.safetensors")
    assert "'tiny.safetensors' is not there" in IP2PLoadCheckpoint.validate_inputs(
        "tiny.safetensors"
    )
    assert IP2PLoadCheckpoint.validate_inputs() is True  # comes from another node


def test_a_unet_alone_is_listed_and_the_next_nodes_say_what_to_connect(models, written):
    unet = tiny_checkpoint(models / "diffusion_models", "unet.safetensors")
    assert unet.name in combo("checkpoint")["options"]
    model, clip, vae, *_ = load(unet.name)
    assert model.model.diffusion_model is not None
    with pytest.raises(ValueError, match="^clip: nothing arrived.*CLIPLoader"):
        IP2PEncodeInstruction.execute(clip, "make it snow", "", "plain")
    with pytest.raises(ValueError, match="^vae: nothing arrived.*VAELoader"):
        IP2PEncodeSource.execute(
            image=torch.zeros(1, 64, 64, 3), vae=vae, fit="keep size", resolution=64, margin=64
        )


@pytest.mark.parametrize("layout", ["checkpoint-5", "root", "non_ema", "unet_ema"])
def test_a_trainers_folder_is_loaded(models, written, layout):
    """One of a UNet alone, and what keeps raw and averaged weights beside each other."""
    source, place = written[1] / "unet", models / "diffusers" / "run"
    shutil.copytree(source, place if layout == "root" else place / "unet")
    averaged = place / "unet_ema" if layout == "unet_ema" else place / "unet"
    if layout == "unet_ema":
        shutil.copytree(source, averaged)
    stem = "diffusion_pytorch_model"
    if layout in ("unet_ema", "non_ema"):
        tensors = safetensors.torch.load_file(averaged / f"{stem}.safetensors")
        if layout == "non_ema":
            tensors["conv_out.bias"] += 1
            safetensors.torch.save_file(tensors, averaged / f"{stem}.non_ema.safetensors")
            tensors["conv_out.bias"] -= 1
        else:
            tensors["conv_out.bias"] -= 1
        safetensors.torch.save_file(tensors, averaged / f"{stem}.safetensors")
        raw, ema, auto = (
            load("run", which)[0].model.diffusion_model.state_dict()["out.2.bias"]
            for which in ("raw", "ema", "auto")
        )
        torch.testing.assert_close(raw - ema, torch.ones(4))
        assert torch.equal(auto, ema)
    else:
        assert load("run")[0].model.diffusion_model.state_dict()["out.2.bias"].shape == (4,)
        with pytest.raises(CheckpointError, match="one set of weights, not marked as EMA"):
            load("run", "ema")
