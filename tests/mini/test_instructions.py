"""The words: many for every edit, some of them kept for the evaluation, all true of the target."""

from types import ModuleType

import numpy as np
import pytest
from instruct_pix2pix.mini import applications, instructions
from instruct_pix2pix.mini.applications.application import Wordings
from instruct_pix2pix.mini.applications.weather import WEATHER_VERBS
from instruct_pix2pix.mini.instructions import (
    ATTRIBUTES,
    EDITED,
    FAMILIES,
    Edit,
    changes,
    family_of,
    instruct,
    is_edit,
    mistyped,
    sample_edit,
    targets,
)
from instruct_pix2pix.mini.scenes import (
    KINDS,
    Landscape,
    Portrait,
    kind_of,
    sample_scene,
    values,
    vary,
)

MODULES = [module for module in vars(applications).values() if isinstance(module, ModuleType)]
TABLES = {
    name: table
    for module in (*MODULES, instructions)
    for name, table in vars(module).items()
    if isinstance(table, Wordings)
}


def edits(family: str, count: int, held_out: bool) -> list[Edit]:
    """Of the first scenes that have such an edit."""
    made: list[Edit] = []
    seed = 0
    while len(made) < count:
        scene = sample_scene(seed, KINDS[seed % len(KINDS)])
        if targets(scene, family):
            made.append(sample_edit(scene, family, np.random.default_rng(seed), held_out))
        seed += 1
    return made


def said(family: str, count: int, held_out: bool) -> set[str]:
    """Instructions of so many edits, five for each."""
    rng = np.random.default_rng(0)
    return {
        instruct(edit.source, edit.target, rng, held_out).lower().strip(".")
        for edit in edits(family, count, held_out)
        for _ in range(5)
    }


@pytest.mark.parametrize("name", TABLES)
def test_every_edit_has_twelve_wordings_and_others_held_out(name: str) -> None:
    table = TABLES[name]
    assert len(set(table.trained)) >= 12 and table.held_out
    assert not set(table.trained) & set(table.held_out)


def test_every_weather_has_verbs_and_the_held_out_ones_are_not_trained() -> None:
    assert tuple(WEATHER_VERBS) == values("weather")
    for verbs in WEATHER_VERBS.values():
        assert verbs.held_out and not set(verbs.trained) & set(verbs.held_out)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_held_out_instruction_is_ever_trained(family: str) -> None:
    assert not said(family, 30, held_out=False) & said(family, 10, held_out=True)


@pytest.mark.parametrize("family", EDITED)
def test_an_edit_changes_what_its_family_names_and_says_to_what(family: str) -> None:
    for edit in edits(family, 40, True):
        changed = changes(edit.source, edit.target)
        assert changed and set(changed) <= set(EDITED[family])
        assert family_of(edit.source, edit.target) == family
        said = edit.instruction.lower()
        for name in set(changed) - {"weather", "thing"}:
            new = getattr(edit.target, name)
            if new not in ("none", "natural", "bald"):
                nouns = ATTRIBUTES[kind_of(edit.source), name].nouns.get(new, (new,))
                assert any(noun in said for noun in nouns), said


def test_two_edits_are_asked_for_in_one_sentence() -> None:
    for edit in edits("two edits", 20, False):
        assert len(set(changes(edit.source, edit.target)) - {"garment_color"}) in (1, 2)
        assert " and " in edit.instruction.lower()


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    assert all(edit.source == edit.target for edit in edits("none", 10, True))


def test_an_edit_that_the_scene_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Landscape\(.*has no edit of the family 'hair color'"):
        sample_edit(sample_scene(0, "landscape"), "hair color", np.random.default_rng(0))


def test_nothing_is_asked_for_that_the_picture_cannot_tell() -> None:
    """The hair of a bald head, the wall behind a beach, hair under a hat, day without weather."""
    person, view = Portrait(1), Landscape(1)
    assert is_edit(person, vary(person, hair_style="bald"))
    assert not is_edit(vary(person, hair_style="bald"), person)
    assert not is_edit(vary(person, background="beach"), vary(person, background="studio"))
    assert not is_edit(vary(person, hat="hat"), vary(person, hat="hat", hair_color="pink"))
    assert is_edit(view, vary(view, season="winter")) and is_edit(view, vary(view, time="night"))
    assert not is_edit(vary(view, time="night"), vary(view, time="night", weather="foggy"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"garment_color": "blue"}, {"hair_color": "blue"}),
        ({"hair_color": "red"}, {"garment_color": "red"}),
        ({"hair_color": "green"}, {"background": "forest"}),
        ({"hair_color": "black"}, {"background": "city"}),
        ({"skin": "dark"}, {"hair_color": "brown"}),
    ],
)
def test_no_edit_leads_to_hair_that_cannot_be_told_from_what_is_beside_it(
    before: dict[str, str], after: dict[str, str]
) -> None:
    source = vary(Portrait(1, hair_color="pink"), **before)
    assert not is_edit(source, vary(source, **after))
    assert is_edit(vary(source, **before), vary(source, eyewear="glasses"))


@pytest.mark.parametrize("seed", range(20))
def test_a_typo_is_small(seed: int) -> None:
    text = "make her hair blue"
    typed = mistyped(text, np.random.default_rng(seed))
    assert abs(len(typed) - len(text)) <= 1 and typed.split()[1][0] == "h"
    assert sorted(set(typed)) == sorted(set(typed) & set(text))


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("HAIR_COLOR", "hair color: {new}"),
        ("HAIR_COLOR", "change {whose} hair color to {new}"),
        ("HAIR_STYLE", "give {them} {new}"),
        ("CLOTHES", "make {them} wear a {new}"),
        ("RECOLOR", "change the color of the {old} to {new}"),
        ("PUT_ON", "make {them} wear {new}"),
        ("BACKGROUND", "change the background to {new}"),
        ("WEATHER", "change the weather from {old} to {new}"),
        ("SEASON", "change the season to {new}"),
        ("TIME", "make it {new}"),
        ("MATERIAL", "make {it} out of {new}"),
        ("MEDIUM", "turn it into {new}"),
        ("ADD", "add {new} {place}"),
    ],
)
def test_the_phrases_of_the_presets_are_trained(name: str, phrase: str) -> None:
    assert phrase in TABLES[name].trained
