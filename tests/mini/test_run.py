"""A whole run at 64 pixels: drawn, trained, stopped, gone on with, exported, loaded by the pack."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.mini import train_vae
from instruct_pix2pix.mini.editing import load_editing
from instruct_pix2pix.mini.export import export_run
from instruct_pix2pix.mini.networks import CLIP_CONFIG, build_text_encoder
from instruct_pix2pix.mini.recipe import Recipe, load_recipe
from instruct_pix2pix.mini.scenes import KINDS, SAMPLES, render
from instruct_pix2pix.mini.shards import NotDrawn, draw_some, load_shard
from instruct_pix2pix.mini.train_text import train_text
from instruct_pix2pix.mini.train_text_to_image import captions_vocabulary, train_text_to_image
from instruct_pix2pix.mini.train_unet import Edits, train_unet

RECIPE = Recipe(
    resolution=64,
    shards=2,
    scenes={"portrait": 1, "landscape": 1, "object": 1},
    edits=20,
    vae_shards=1,
    vae_steps=3,
    vae_batch=1,
    unet_steps=3,
    unet_batch=2,
    captions=1,
    text_to_image_steps=2,
    text_to_image_batch=2,
)


def train(folder: Path) -> None:
    """All stages, with a text encoder that could read before."""
    text = build_text_encoder(CLIP_CONFIG["vocab_size"]).state_dict()
    text = {"text_model." + key.removeprefix("text_model."): value for key, value in text.items()}
    vocabulary = train_text(folder, text, dict.fromkeys(KINDS, 2))
    captioned = captions_vocabulary(folder, vocabulary)
    (folder / "shards").mkdir(exist_ok=True)
    draw_some(folder, RECIPE, range(RECIPE.shards), vocabulary.used, captioned.used)
    assert train_vae.train_vae(folder, RECIPE, "cpu")
    edits = Edits(folder, RECIPE, train_vae.load_vae(folder, "cpu"))
    assert train_unet(folder, RECIPE, edits, vocabulary, {})
    assert train_text_to_image(folder, RECIPE, edits, captioned)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that came to its end."""
    folder = tmp_path_factory.mktemp("run")
    RECIPE.save(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_vae, "HELD_OUT", 1)
        train(folder)
    return folder


def test_the_recipe_stays_with_the_run(run: Path) -> None:
    """As JSON that every program reads: it has no infinity."""
    assert load_recipe(run) == RECIPE and RECIPE.unet_minutes == math.inf
    assert "Infinity" not in (run / "recipe.json").read_text()
    assert load_recipe(run / "nothing") == Recipe()


def test_training_ends_with_a_sentence_where_no_process_draws_any_more(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "shards" / "000001.safetensors").unlink()
    edits = Edits(tmp_path / "run", RECIPE, train_vae.load_vae(run, "cpu"))
    with pytest.raises(NotDrawn, match="000001.*the same command"):
        edits.bring()
    more = replace(RECIPE, vae_shards=2)
    pictures = train_vae.Pictures(tmp_path / "run", more, "cpu")
    pictures.bringing.join(timeout=60)
    assert not pictures.bringing.is_alive()
    with pytest.raises(NotDrawn, match="000001"):
        pictures.check()


def test_a_run_that_is_done_is_left_as_it_is(run: Path) -> None:
    names = ("vae.pt", "latents.pt", "unet.pt", "text_to_image.pt")
    before = {name: torch.load(run / name, weights_only=True) for name in names}
    train(run)
    for name, state in before.items():
        again = torch.load(run / name, weights_only=True)
        torch.testing.assert_close(again, state, rtol=0, atol=0)


def test_latents_have_the_spread_of_stable_diffusions(run: Path) -> None:
    edits = Edits(run, RECIPE, train_vae.load_vae(run, "cpu"))
    edits.bring()
    latents = edits.latents[: edits.pictures].float()
    assert latents.shape[1:] == (4, 8, 8)
    assert latents.std() == pytest.approx(1 / 0.18215, rel=0.05)
    assert latents.mean().abs() < 0.5


def test_every_shard_is_drawn_from_its_own_scenes(run: Path) -> None:
    first, second = (load_shard(run, index) for index in range(2))
    assert not np.array_equal(first.pictures[0], second.pictures[0])
    assert first.pictures.shape[1:] == (64, 64, 3) and first.weights.max() > 1
    assert len(first.edits) == 20 and first.edits.max() < len(first.pictures)
    assert first.captions.shape == (len(first.pictures), 1, 77)


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
