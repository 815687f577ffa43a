"""Portraits: every attribute is plain to see and moves nothing outside its own region."""

from dataclasses import replace

import numpy as np
import pytest
from instruct_pix2pix.mini.drawing import stream
from instruct_pix2pix.mini.portraits import ATTRIBUTES, REGION_OF, REGIONS, Portrait, paint

SIZE = 96

# A scene in which the attribute shows: hair on a head without a hat, lids without dark glasses.
SHOWING = {
    "hair_color": {"hair_style": "bob", "hat": "none"},
    "hair_style": {"hat": "none"},
    "eye_shadow": {"eyewear": "none"},
}


def person(seed: int) -> Portrait:
    """Every attribute drawn from its own stream."""
    return Portrait(
        seed,
        **{
            name: options[int(stream(seed, name).integers(len(options)))]
            for name, options in ATTRIBUTES.items()
        },
    )


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("hair_style", ATTRIBUTES["hair_style"])
def test_an_attribute_changes_no_pixel_outside_its_region(
    attribute: str, seed: int, hair_style: str
) -> None:
    region = REGION_OF[attribute]
    scene = replace(person(seed), hair_style=hair_style)
    drawn = [
        paint(replace(scene, **{attribute: value}), SIZE, [region])
        for value in ATTRIBUTES[attribute]
    ]
    allowed = np.logical_or.reduce([art.region(region) for art in drawn])
    pictures = np.stack([art.pixels() for art in drawn])
    changed = (pictures != pictures[0]).any((0, -1))
    assert not (changed & ~allowed).any(), f"{(changed & ~allowed).sum()} pixels"


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("seed", range(5))
def test_the_values_of_an_attribute_differ_visibly(attribute: str, seed: int) -> None:
    scene = replace(person(seed), **SHOWING.get(attribute, {}))
    pictures = [
        paint(replace(scene, **{attribute: value}), SIZE).pixels().astype(int)
        for value in ATTRIBUTES[attribute]
    ]
    for i, one in enumerate(pictures):
        for j in range(i):
            plain = (np.abs(one - pictures[j]).max(-1) > 40).sum()
            assert plain >= 30, f"{ATTRIBUTES[attribute][i]} and {ATTRIBUTES[attribute][j]}"


@pytest.mark.parametrize("seed", range(3))
def test_the_same_portrait_is_always_drawn_the_same_and_the_medium_is_not_its_matter(
    seed: int,
) -> None:
    scene = person(seed)
    picture = paint(scene, SIZE).pixels()
    np.testing.assert_array_equal(picture, paint(scene, SIZE, REGIONS).pixels())
    np.testing.assert_array_equal(picture, paint(replace(scene, medium="mosaic"), SIZE).pixels())
    assert (picture != paint(replace(scene, seed=seed + 1), SIZE).pixels()).any()


def test_every_region_is_seen_where_its_part_is_drawn() -> None:
    scene = Portrait(3, eyewear="glasses", beard="beard", lips="red", eye_shadow="blue")
    art = paint(replace(scene, hat="beanie"), SIZE, REGIONS)
    shares = {name: art.region(name).mean() for name in REGIONS}
    assert all(0.005 < share < 0.7 for share in shares.values()), shares
