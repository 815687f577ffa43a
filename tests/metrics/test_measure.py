"""From a folder of results to its tables, with a tiny CLIP and DINO on disk."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from instruct_pix2pix.metrics.encoders import load_clip, load_dino, squashed
from instruct_pix2pix.metrics.measure import measure
from instruct_pix2pix.metrics.measures import (
    EMU,
    GENERAL,
    MAGICBRUSH,
    PIE,
    Encoders,
    from_run_lengths,
    measured,
)
from instruct_pix2pix.metrics.pixels import l1, psnr
from instruct_pix2pix.metrics.samples import Sample
from instruct_pix2pix.metrics.similarity import clip_scores
from PIL import Image
from transformers import ViTConfig, ViTModel

from .factory import tiny_clip


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, num_attention_heads=2, intermediate_size=32, patch_size=56)
    ViTModel(ViTConfig(num_hidden_layers=2, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoders(clip_folder, dino_folder) -> Encoders:
    return Encoders(load_clip(clip_folder), load_dino(dino_folder))


def save(path: Path, seed: int, side: int = 32) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).float()[None] / 255


@pytest.fixture
def sample(tmp_path) -> Sample:
    mask = np.zeros((32, 32, 3), np.uint8)
    mask[:16] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return Sample(
        "a",
        save(tmp_path / "result.png", 0),
        source=save(tmp_path / "source.png", 1),
        truth=save(tmp_path / "truth.png", 2),
        mask=tmp_path / "mask.png",
        caption="a hill",
        edited_caption="a hill in snow",
    )


def test_the_white_of_the_mask_may_change(sample) -> None:
    found = measured(sample, Encoders(), GENERAL)
    result, source = read(sample.result)[:, 16:], read(sample.source)[:, 16:]
    assert found["L1 outside"] == pytest.approx(l1(result, source).item(), rel=1e-6)
    assert found["PSNR outside"] == pytest.approx(psnr(result, source).item(), rel=1e-6)
    assert found["CLIP image"] is None


def test_the_official_figure_8_puts_pictures_in_from_minus_one_to_one(sample, encoders) -> None:
    found = measured(sample, encoders, GENERAL)
    clip = encoders.clip
    pixels = [squashed(read(path), clip.side) for path in (sample.source, sample.result)]
    texts = [clip.embed_texts([text]) for text in (sample.caption, sample.edited_caption)]
    corrected = clip_scores(*(clip.embed_images(p) for p in pixels), *texts)
    official = clip_scores(*(clip.embed_images(2 * p - 1) for p in pixels), *texts)
    assert found["CLIP direction"] == pytest.approx(corrected.direction.item(), abs=1e-6)
    assert found["CLIP direction, official"] == pytest.approx(official.direction.item(), abs=1e-6)
    assert found["CLIP image, official"] == pytest.approx(official.image.item(), abs=1e-6)
    assert abs(found["CLIP image"] - found["CLIP image, official"]) > 1e-6


def test_an_edit_that_changed_nothing_has_no_direction(sample, encoders) -> None:
    found = measured(replace(sample, result=sample.source), encoders, GENERAL)
    assert found["CLIP direction"] == 0
    assert found["direction undefined"] == 1
    assert found["CLIP image"] == pytest.approx(1)


def test_a_perfect_answer_has_the_best_value_of_every_measure(sample, encoders) -> None:
    found = measured(replace(sample, result=sample.truth), encoders, MAGICBRUSH)
    assert found["L1"] == found["L2"] == 0
    assert found["CLIP-I"] == pytest.approx(1) and found["DINO"] == pytest.approx(1)
    untouched = replace(sample, result=sample.source)
    found = measured(untouched, encoders, EMU)
    assert found["L1"] == 0 and found["CLIPdir"] == 0
    assert found["CLIPim"] == pytest.approx(1) and found["DINO"] == pytest.approx(1)
    found = measured(untouched, encoders, PIE)
    assert found["structure distance"] == 0 and found["PSNR outside"] == 100
    assert found["SSIM outside"] == pytest.approx(1)


def test_magicbrush_resizes_the_result_to_the_right_answer(sample, tmp_path) -> None:
    large = save(tmp_path / "large.png", 0, 48)
    found = measured(replace(sample, result=large), Encoders(), MAGICBRUSH)
    resized = np.array(Image.open(large).resize((32, 32)))
    expected = np.abs(resized.astype(float) - np.array(Image.open(sample.truth))).mean() / 255
    assert found["L1"] == pytest.approx(expected, abs=1e-6)


def test_run_lengths_are_pairs_of_place_and_count_and_the_border_is_in() -> None:
    mask = from_run_lengths((9, 2, 20, 100), 5, 6)
    expected = torch.zeros(30, dtype=torch.bool)
    expected[9:11] = expected[20:] = True
    expected = expected.view(5, 6)
    expected[[0, -1]] = expected[:, [0, -1]] = True
    assert torch.equal(mask, expected)


def test_all_tables_hold_the_same_figures(tmp_path, clip_folder, dino_folder) -> None:
    rows = []
    for number in range(4):
        save(tmp_path / f"{number}.png", number)
        row = {"result": f"{number}.png", "source": "0.png", "caption": "a hill"}
        row |= {"edited_caption": "a hill in snow", "group": f"image_cfg {1 + number % 2}"}
        rows.append(json.dumps(row))
    (tmp_path / "table.jsonl").write_text("\n".join(rows))
    out = tmp_path / "out"
    told = measure(tmp_path / "table.jsonl", out, clip=clip_folder, dino=dino_folder)
    scores = list(csv.DictReader((out / "scores.csv").open()))
    summary = json.loads((out / "summary.json").read_text())
    assert [s["group"] for s in summary] == ["image_cfg 1", "image_cfg 2"]
    for group in summary:
        own = [float(s["L1 to source"]) for s in scores if s["group"] == group["group"]]
        assert group["count"] == 2
        assert group["means"]["L1 to source"] == pytest.approx(sum(own) / 2)
        assert group["means"]["L1 outside"] is None
        assert f"{group['means']['CLIP image']:.4f}" in told
    # The result of row 0 is its source: one of two directions there is 0/0.
    assert summary[0]["means"]["direction undefined"] == 0.5
    assert "L1 outside" not in told  # nobody has a mask
    with Image.open(out / "curve.png") as curve:
        assert curve.width > 300
    page = (out / "index.html").read_text()
    assert page.count("data:image/jpeg") == 8 and "data:image/png" in page


def test_without_weights_pixels_are_measured_and_the_page_says_what_is_missing(tmp_path) -> None:
    save(tmp_path / "a.png", 0)
    (tmp_path / "t.csv").write_text("result,source\na.png,a.png\n")
    told = measure(tmp_path / "t.csv", tmp_path / "out")
    assert "PSNR to source" in told and "CLIP" not in told
    assert "No CLIP was given" in (tmp_path / "out" / "index.html").read_text()
    assert not (tmp_path / "out" / "curve.png").exists()


def test_a_picture_that_cannot_be_read_is_named_with_its_row(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "t.csv").write_text("result,source,name\na.png,a.png,the first\n")
    with pytest.raises(ValueError, match="the first: .*a.png is not a picture"):
        measure(tmp_path / "t.csv", tmp_path / "out")
