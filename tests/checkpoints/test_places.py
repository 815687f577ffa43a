"""A name means one checkpoint or none, and folders are found as trainers and the hub leave them."""

import json
import os

import pytest
from instruct_pix2pix.checkpoints.places import hub_cache, pipelines_below, the_one

ENTRIES = ["sd/edit.safetensors", "Other/Magic.ckpt", "a/same.ckpt", "b/same.ckpt", "top.ckpt"]


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("sd/edit.safetensors", "sd/edit.safetensors"),
        ("sd\\edit.safetensors", "sd/edit.safetensors"),
        ("other\\magic.CKPT", "Other/Magic.ckpt"),
        ("edit.safetensors", "sd/edit.safetensors"),
        ("old/place/EDIT.safetensors", "sd/edit.safetensors"),
        ("sub/top.ckpt", "top.ckpt"),
        ("a\\same.ckpt", "a/same.ckpt"),
        ("same.ckpt", None),
        ("missing.ckpt", None),
        ("", None),
        ("..", None),
        ("sd/", None),
    ],
)
def test_a_name_means_one_entry_or_none(name, entry):
    assert the_one(name, ENTRIES) == entry


def test_windows_entries_are_found_by_either_separator():
    assert the_one("sd/edit.ckpt", ["sd\\edit.ckpt"]) == "sd\\edit.ckpt"


def folder(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def test_folders_of_trainers_are_found(tmp_path):
    unet = {"_class_name": "UNet2DConditionModel", "in_channels": 8}
    folder(tmp_path / "whole", model_index={"_class_name": "X"})
    folder(tmp_path / "whole" / "unet", config=unet)
    folder(tmp_path / "whole" / "checkpoint-500" / "unet", config=unet)
    folder(tmp_path / "runs" / "checkpoint-9" / "unet", config=unet)
    folder(tmp_path / "alone", config=unet)
    folder(tmp_path / "vae-alone", config={"_class_name": "AutoencoderKL"})
    folder(tmp_path / "broken")
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "circle").symlink_to(tmp_path)
    names = [name for name, _ in pipelines_below(tmp_path)]
    assert names == [
        "alone",
        os.path.join("runs", "checkpoint-9"),
        "whole",
        os.path.join("whole", "checkpoint-500"),
    ]


@pytest.mark.parametrize("by", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_editors_in_the_hubs_cache_are_found_in_their_newest_snapshot(tmp_path, monkeypatch, by):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(by, str(tmp_path))
    below = {"HF_HUB_CACHE": ".", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}
    cache = tmp_path / below[by]
    assert hub_cache() == {}
    for repository, channels in (("models--me--editor", 8), ("models--me--other", 4)):
        for number, snapshot in enumerate(("old", "new")):
            place = cache / repository / "snapshots" / snapshot
            folder(place / "unet", config={"in_channels": channels})
            os.utime(place, (number, number))
    newest = cache / "models--me--editor" / "snapshots" / "new"
    assert hub_cache() == {"me/editor (Hugging Face cache)": newest}
    refs = cache / "models--me--editor" / "refs"
    refs.mkdir()
    (refs / "main").write_text("old")
    assert hub_cache() == {"me/editor (Hugging Face cache)": newest.with_name("old")}
