"""The drawn world: the same everywhere, and an edit moves nothing but what it names."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from instruct_pix2pix.mini.scenes import (
    KINDS,
    SAMPLES,
    Portrait,
    attributes,
    is_natural,
    mask,
    render,
    sample_image,
    sample_scene,
    values,
)


@pytest.mark.parametrize("kind", KINDS)
def test_sampled_scenes_are_natural_and_have_every_value(kind: str) -> None:
    scenes = [sample_scene(seed, kind) for seed in range(400)]
    assert all(map(is_natural, scenes))
    for attribute, options in attributes(scenes[0]).items():
        met = {getattr(scene, attribute) for scene in scenes}
        assert met == ({"drawing"} if attribute == "medium" else set(options) - {"bald"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_an_attribute_changes_no_pixel_outside_its_mask(kind: str, seed: int) -> None:
    scene = sample_scene(seed, kind)
    before = render(scene, 96)
    for attribute, options in attributes(scene).items():
        allowed = mask(scene, attribute, 96)
        for value in options:
            after = render(replace(scene, **{attribute: value}), 96)
            changed = (after != before).any(-1)
            assert not (changed & ~allowed).any(), f"{attribute} = {value}"
            assert not changed.any() or value != getattr(scene, attribute), f"{attribute} = {value}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_always_draws_the_same(kind: str) -> None:
    scene = sample_scene(11, kind)
    assert sample_scene(11, kind) == scene
    np.testing.assert_array_equal(render(scene, 64), render(scene, 64))


def test_scenes_of_other_seeds_look_different() -> None:
    drawings = {
        hashlib.sha256(render(sample_scene(seed, kind), 64).tobytes()).digest()
        for seed in range(20)
        for kind in KINDS
    }
    assert len(drawings) == 20 * len(KINDS)


@pytest.mark.parametrize("size", [64, 100, 128, 512])
def test_any_size_shows_the_same_scene(size: int) -> None:
    scene = sample_scene(3, "portrait")
    drawing = render(scene, size)
    assert drawing.shape == (size, size, 3) and drawing.dtype == np.uint8
    middle = [
        render(scene, side)[side // 4 :: side // 2, side // 4 :: side // 2] for side in (64, size)
    ]
    assert np.abs(middle[0].astype(int) - middle[1]).mean() < 40


def test_the_regions_of_a_portrait_lie_where_they_are_seen() -> None:
    scene = replace(Portrait(4), hair_color="blue", skin="tan", background="beach")
    hair = render(scene, 128)[mask(scene, "hair", 128)].astype(int)
    assert (hair[:, 2] > hair[:, 0]).mean() > 0.9
    shares = {name: mask(scene, name, 128).mean() for name in ("hair", "face", "garment")}
    assert all(0.02 < share < 0.5 for share in shares.values()), shares


def test_values_lists_every_candidate() -> None:
    assert len(values("hair_color")) == 7 and "blue" in values("hair_color")
    assert set(values("weather")) >= {"sunny", "cloudy", "rainy", "snowy"}
    assert "comic" in values("medium") and {"extra", "rainbow"} <= set(values("thing"))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_image_is_the_sample_at_seed_0_and_one_like_it_at_others(name: str) -> None:
    picture, region = sample_image(name, 0, 64)
    np.testing.assert_array_equal(picture, render(SAMPLES[name], 64))
    assert region.shape == (64, 64) and 0.02 < region.mean() < 0.7
    other, _ = sample_image(name, 1, 64)
    assert (other != picture).any()
    np.testing.assert_array_equal(other, sample_image(name, 1, 64)[0])
