"""Objects: an edit moves nothing but what it names, and every value is plain to see."""

from dataclasses import replace

import numpy as np
import pytest
from instruct_pix2pix.mini.drawing import stream
from instruct_pix2pix.mini.objects import ATTRIBUTES, REGION_OF, REGIONS, Object, paint

SIZE = 96


def sampled(seed: int) -> Object:
    chosen = {
        name: options[stream(seed, name).integers(len(options))]
        for name, options in ATTRIBUTES.items()
    }
    return Object(seed, **chosen)


def pictures(scene: Object, attribute: str) -> dict[str, np.ndarray]:
    return {
        value: paint(replace(scene, **{attribute: value}), SIZE).pixels().astype(int)
        for value in ATTRIBUTES[attribute]
    }


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("attribute", REGION_OF)
def test_an_attribute_changes_no_pixel_outside_its_region(attribute: str, seed: int) -> None:
    scene, region = sampled(seed), REGION_OF[attribute]
    drawn = pictures(scene, attribute)
    variants = [replace(scene, **{attribute: value}) for value in ATTRIBUTES[attribute]]
    allowed = np.logical_or.reduce(
        [paint(variant, SIZE, [region]).region(region) for variant in variants]
    )
    # The surface is seen through glass, so there its mask may be the whole picture.
    assert not allowed.all() or (attribute, scene.material) == ("surface", "glass")
    for value, picture in drawn.items():
        changed = (picture != drawn[ATTRIBUTES[attribute][0]]).any(-1)
        assert not (changed & ~allowed).any(), value


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_any_two_values_look_different(attribute: str, seed: int) -> None:
    drawn = list(pictures(sampled(seed), attribute).values())
    for turn, first in enumerate(drawn):
        for second in drawn[turn + 1 :]:
            assert (np.abs(first - second).max(-1) > 24).mean() > 0.02


@pytest.mark.parametrize("subject", ATTRIBUTES["subject"])
def test_every_subject_stands_inside_the_picture_with_what_belongs_to_it(subject: str) -> None:
    for seed in range(20):
        art = paint(Object(seed, subject, thing="extra"), SIZE, REGIONS)
        seen = art.region("object") | art.region("thing")
        # The tip of a hat or the highest flower may touch the upper border.
        assert not art.region("object")[0].any()
        assert not seen[-1].any() and not seen[:, [0, -1]].any()
        assert 0.08 < art.region("object").mean() < 0.4
        assert art.region("thing").mean() > 0.015


def test_a_seed_always_draws_the_same_and_another_seed_something_else() -> None:
    first, again, other = (paint(Object(seed), SIZE).pixels() for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1
