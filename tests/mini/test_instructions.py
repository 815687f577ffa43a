"""The words: many for every edit, some of them kept for the evaluation, all true of the target."""

import numpy as np
import pytest
from instruct_pix2pix.mini import instructions
from instruct_pix2pix.mini.instructions import FAMILIES, Edit, sample_edit
from instruct_pix2pix.mini.scenes import sample_scene

WORDINGS = ("HAIR", "CLOTHES", "RECOLOR", "WEATHER", "NOTHING")


def edits(family: str, count: int, held_out: bool) -> list[Edit]:
    kind = "landscape" if family == "weather" else "portrait"
    return [
        sample_edit(sample_scene(seed, kind), family, np.random.default_rng(seed), held_out)
        for seed in range(count)
    ]


@pytest.mark.parametrize("name", WORDINGS)
def test_every_edit_has_twelve_wordings_and_others_held_out(name: str) -> None:
    trained = getattr(instructions, name)
    held_out = getattr(instructions, f"{name}_HELD_OUT")
    assert len(set(trained)) >= 12 and held_out
    assert not set(trained) & set(held_out)


def test_held_out_weather_verbs_are_not_trained() -> None:
    for weather, verbs in instructions.WEATHER_VERBS.items():
        assert not set(verbs) & set(instructions.WEATHER_VERBS_HELD_OUT[weather])


@pytest.mark.parametrize("family", FAMILIES)
def test_no_held_out_instruction_is_ever_trained(family: str) -> None:
    trained = {edit.instruction.lower().strip(".") for edit in edits(family, 1500, False)}
    kept = {edit.instruction.lower().strip(".") for edit in edits(family, 300, True)}
    assert not trained & kept


@pytest.mark.parametrize("held_out", [False, True])
def test_instructions_name_what_the_target_shows(held_out: bool) -> None:
    for edit in edits("hair", 40, held_out):
        assert edit.target.hair_color in edit.instruction.lower()
        assert edit.target.hair_color != edit.source.hair_color
    for edit in edits("clothes", 40, held_out):
        if edit.target.garment_color != edit.source.garment_color:
            assert edit.target.garment_color in edit.instruction.lower()
    for edit in edits("none", 10, held_out):
        assert edit.source == edit.target


def test_an_edit_that_the_scene_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="Landscape has no edit of the family 'hair'"):
        sample_edit(sample_scene(0, "landscape"), "hair", np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("HAIR", "hair color: {new}"),
        ("HAIR", "make {whose} hair {new}"),
        ("CLOTHES", "put on a {new}"),
        ("WEATHER", "change the weather from {old} to {new}"),
    ],
)
def test_the_phrases_of_the_presets_are_trained(name: str, phrase: str) -> None:
    assert phrase in getattr(instructions, name)
