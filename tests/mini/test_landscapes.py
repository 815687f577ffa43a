"""Landscapes: an attribute moves nothing but what it names, and its values can be told apart."""

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from instruct_pix2pix.mini.landscapes import ATTRIBUTES, REGION_OF, REGIONS, Landscape, paint

# Every sky that is sampled, with the attributes that can be edited under it.
SKIES = [
    *({"season": s, "time": t} for s, t in product(ATTRIBUTES["season"], ATTRIBUTES["time"])),
    *({"weather": weather} for weather in ATTRIBUTES["weather"]),
    *({"weather": "cloudy", "season": season} for season in ATTRIBUTES["season"]),
]


def pixels(scene: Landscape, size: int = 48) -> np.ndarray:
    return paint(scene, size).pixels()


@pytest.mark.parametrize("attribute", REGION_OF)
@pytest.mark.parametrize("seed", range(2))
def test_an_attribute_changes_no_pixel_outside_its_region(attribute: str, seed: int) -> None:
    region = REGION_OF[attribute]
    for sky in SKIES:
        scene = Landscape(seed, **sky)
        paintings = [
            paint(replace(scene, **{attribute: value}), 48, [region])
            for value in ATTRIBUTES[attribute]
        ]
        allowed = np.logical_or.reduce([painting.region(region) for painting in paintings])
        drawings = [painting.pixels() for painting in paintings]
        for before, after in combinations(drawings, 2):
            changed = (before != after).any(-1)
            assert changed.any() and not (changed & ~allowed).any(), sky


@pytest.mark.parametrize(
    ("attribute", "skies", "least"),
    [
        ("weather", [{}], 20),
        ("season", [{"time": time} for time in ATTRIBUTES["time"]] + [{"weather": "cloudy"}], 5),
        ("time", [{"season": season} for season in ATTRIBUTES["season"]], 40),
        ("thing", SKIES, 5),
        ("landmark", SKIES, 1.5),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_the_values_of_an_attribute_look_different(
    attribute: str, skies: list[dict[str, str]], least: float, seed: int
) -> None:
    """`least`: the mean distance in grey levels over the whole picture."""
    for sky in skies:
        drawings = {
            value: pixels(Landscape(seed, **{**sky, attribute: value})).astype(int)
            for value in ATTRIBUTES[attribute]
        }
        for one, other in combinations(drawings, 2):
            distance = np.abs(drawings[one] - drawings[other]).mean()
            assert distance > least, f"{one}, {other}, {sky}: {distance:.1f}"


def test_every_sky_can_be_drawn_even_those_that_are_not_sampled() -> None:
    skies = product(*(ATTRIBUTES[name] for name in ("weather", "season", "time")))
    for seed, (weather, season, time) in enumerate(skies):
        for thing in ATTRIBUTES["thing"]:
            scene = Landscape(seed, weather=weather, season=season, time=time, thing=thing)
            drawing = pixels(scene, 16)
            assert drawing.shape == (16, 16, 3) and drawing.dtype == np.uint8


def test_a_seed_always_draws_the_same_and_another_seed_another_view() -> None:
    np.testing.assert_array_equal(pixels(Landscape(4)), pixels(Landscape(4)))
    assert (pixels(Landscape(4)) != pixels(Landscape(5))).mean() > 0.1


def test_the_regions_cover_the_picture() -> None:
    painting = paint(Landscape(2, thing="rainbow", landmark="lake"), 96, REGIONS)
    shares = {name: painting.region(name).mean() for name in REGIONS}
    assert shares["sky"] > 0.2 and shares["ground"] > 0.3 and shares["thing"] > 0.05
    assert np.logical_or.reduce([painting.region(name) for name in REGIONS]).all()


def test_windows_are_lit_at_night_only() -> None:
    def yellow(time: str) -> int:
        drawing = pixels(Landscape(3, time=time), 128)[70:110].astype(int)
        red, green, blue = np.moveaxis(drawing, -1, 0)
        return int(((red > 220) & (green > 170) & (blue < 140)).sum())

    assert yellow("night") > 20 and yellow("noon") == 0


def test_the_medium_is_left_to_others() -> None:
    np.testing.assert_array_equal(pixels(Landscape(6)), pixels(Landscape(6, medium="comic")))
