"""Captions say what can be edited, in words that can be read back."""

import numpy as np
import pytest
from instruct_pix2pix.mini.captions import caption, caption_pair, told
from instruct_pix2pix.mini.drawing import stream
from instruct_pix2pix.mini.instructions import FAMILIES, FAMILY_OF, changes, sample_edit, targets
from instruct_pix2pix.mini.scenes import KINDS, attributes, is_natural, sample_scene, vary


def scenes(kind, count=12):
    return [sample_scene(seed, kind) for seed in range(count)]


def edits(kind, family, count=12):
    for seed in range(count):
        scene = sample_scene(seed, kind)
        if targets(scene, family):
            yield sample_edit(scene, family, stream(seed, family))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "none"])
def test_a_caption_tells_both_sides_of_every_edit(kind, family):
    """All that an edit can change is read back as it was: from words alone, and nothing else."""
    for number, edit in enumerate(edits(kind, family)):
        texts = caption_pair(edit.source, edit.target, np.random.default_rng(number))
        for scene, text in zip((edit.source, edit.target), texts, strict=True):
            said = {name for name in attributes(scene) if name in FAMILY_OF}
            if getattr(scene, "hair_style", "") == "bald":
                said.discard("hair_color")
            found = told(text)
            assert found is not None, text
            assert {n for n in said if getattr(found, n) != getattr(scene, n)} == set(), text


@pytest.mark.parametrize("kind", KINDS)
def test_the_captions_of_a_pair_differ_in_the_edit_alone(kind):
    """What both scenes have in common is said in the same words, whichever value changes."""
    for number, scene in enumerate(scenes(kind)):
        for name in attributes(scene):
            for value in attributes(scene)[name]:
                other = vary(scene, **{name: value})
                if not is_natural(other):
                    continue
                pair = caption_pair(scene, other, np.random.default_rng(number))
                found = [told(text) for text in pair]
                assert set(changes(*found)) <= {name, "hair_color"}, pair
                # The longest end and the longest beginning that both share leave one gap at most
                # in each, but for a medium, which can begin a caption.
                assert len(gap(*pair)) <= 12 or name in ("medium", "thing"), pair


def gap(first, second):
    """The words of the first that lie between what both begin and end with."""
    a, b = first.split(), second.split()
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return a


def test_a_scene_has_several_captions_and_one_for_one_state_of_chance():
    scene = sample_scene(3, "portrait")
    many = {caption(scene, np.random.default_rng(seed)) for seed in range(40)}
    assert len(many) > 20
    assert len({caption(scene, np.random.default_rng(5)) for _ in range(3)}) == 1


def test_nobody_with_a_beard_is_called_a_woman():
    for scene in scenes("portrait", 200):
        if scene.beard != "none":
            assert "woman" not in caption(scene, np.random.default_rng(scene.seed))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a photo of a dog",
        "a house on a rainy day and a dog",
        "a woman in a red dress",  # without hair
        "a woman with long red hair",  # without clothes
        "a cat made of cheese on a table",
    ],
)
def test_other_captions_are_not_read(text):
    assert told(text) is None
