"""A whole run at 64 pixels: drawn, trained, stopped, gone on with, exported, loaded by the pack."""

import json
from pathlib import Path

import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.mini import train_unet, train_vae
from instruct_pix2pix.mini.editing import load_editing
from instruct_pix2pix.mini.export import export_run
from instruct_pix2pix.mini.networks import CLIP_CONFIG, build_text_encoder
from instruct_pix2pix.mini.recipe import Recipe, load_recipe
from instruct_pix2pix.mini.scenes import SAMPLES, render

RECIPE = Recipe(
    resolution=64,
    vae_pictures=4,
    vae_steps=3,
    scenes={"portrait": 1, "landscape": 1, "object": 1},
    unet_steps=3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that came to its end; its text encoder could read before."""
    folder = tmp_path_factory.mktemp("run")
    RECIPE.save(folder)
    text = build_text_encoder(CLIP_CONFIG["vocab_size"]).state_dict()
    text = {"text_model." + key.removeprefix("text_model."): value for key, value in text.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_vae, "DRAWN_AT_ONCE", 2)
        patch.setattr(train_vae, "HELD_OUT", 1)
        patch.setattr(train_unet, "ENCODED_AT_ONCE", 16)
        patch.setattr(train_unet, "SHOWN_EVERY", 1)
        train_vae.train_vae(folder, RECIPE, 1, "cpu")
        train_unet.encode_scenes(folder, RECIPE, 1, "cpu")
        train_unet.train_unet(folder, RECIPE, 1, "cpu", {"text": text})
    return folder


def test_the_recipe_stays_with_the_run(run: Path) -> None:
    assert load_recipe(run) == RECIPE
    assert load_recipe(run / "nothing") == Recipe()


def test_a_run_that_is_done_is_left_as_it_is(run: Path) -> None:
    names = ("vae.pt", "latents.pt", "unet.pt")
    before = {name: (run / name).read_bytes() for name in names}
    train_vae.train_vae(run, RECIPE, 1, "cpu")
    train_unet.encode_scenes(run, RECIPE, 1, "cpu")
    train_unet.train_unet(run, RECIPE, 1, "cpu", {})
    states = [torch.load(run / name, weights_only=True) for name in names]
    assert [state["step"] for state in (states[0], states[2])] == [3, 3]
    for name, state in zip(names, states, strict=True):
        old = run / "old.pt"
        old.write_bytes(before[name])
        torch.testing.assert_close(torch.load(old, weights_only=True), state, rtol=0, atol=0)


def test_latents_have_the_spread_of_stable_diffusions(run: Path) -> None:
    latents = torch.load(run / "latents.pt", weights_only=True)["latents"].float()
    assert latents.shape[1:] == (4, 8, 8)
    assert latents.std() == pytest.approx(1 / 0.18215, rel=0.01)
    assert latents.mean().abs() < 0.05


def test_the_log_tells_plain_drawings_from_media_and_mosaics(run: Path) -> None:
    row = json.loads((run / "vae.jsonl").read_text().splitlines()[0])
    assert {"plain", "media", "mosaic"} <= set(row)


def test_the_exported_checkpoint_is_loaded_and_edits(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "mini.safetensors"
    export_run(run, RECIPE, path)
    loaded = load_checkpoint(path)
    assert loaded.resolution == 64 and loaded.clip is not None
    editing = load_editing(path, 2, 7.5, 1.5)
    picture = render(SAMPLES["portrait - suit"], 64)[None]
    result = editing.edit(picture, ["make it snow"], 0)
    assert result.shape == picture.shape and result.std() > 0
