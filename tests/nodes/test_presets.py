"""The recipes: sentences that read well, scales that stay in the authors' range, the table."""

from pathlib import Path

import pytest
from comfy_api.latest import io
from instruct_pix2pix.checkpoints.families import SDXL
from instruct_pix2pix.edits.presets import PRESETS, listed
from instruct_pix2pix.edits.settings import BUILT_IN_SCALES
from instruct_pix2pix.mini import applications
from instruct_pix2pix.mini.applications.application import PEOPLE
from instruct_pix2pix.nodes.presets import IP2PPreset

DOCS = Path(__file__).parents[2] / "nodes" / "web" / "docs"
BEGIN, END = "<!-- presets -->\n", "<!-- end of presets -->"


def run(preset, value="", subject=""):
    return IP2PPreset.execute(preset, value, subject).args


def test_the_contract_of_the_node():
    schema = IP2PPreset.define_schema()
    assert schema.node_id == IP2PPreset.__name__ == "IP2PPreset"
    assert schema.category == "InstructPix2Pix"
    usual = ["usual_text_cfg", "usual_image_cfg"]
    assert [i.id for i in schema.inputs] == ["preset", "value", "subject", *usual]
    assert [(o.id, type(o)) for o in schema.outputs] == [
        ("instruction", io.String.Output),
        ("text_cfg", io.Float.Output),
        ("image_cfg", io.Float.Output),
    ]


@pytest.mark.parametrize(
    ("preset", "value", "subject", "instruction"),
    [
        ("hair color", "", "", "change the hair color to blue"),
        ("hair color", "pink", "her", "change her hair color to pink"),
        ("clothes", "a leather jacket", "him", "make him wear a leather jacket"),
        ("clothes color", "red", "dress", "change the color of the dress to red"),
        ("weather", "snowy", "", "change the weather to snowy"),
        ("statue", "", "the dog", "turn the dog into a bronze statue"),
        ("artist", " \n ", "", "as if it were by Modigliani"),
    ],
)
def test_the_sentence(preset, value, subject, instruction):
    assert run(preset, value, subject)[0] == instruction


@pytest.mark.parametrize("preset", PRESETS)
def test_an_empty_slot_takes_the_presets_own_and_a_filled_one_is_taken(preset):
    own = PRESETS[preset]
    assert run(preset)[0] == run(preset, "  ", "\n")[0] == run(preset, own.value, own.subject)[0]
    assert "  " not in run(preset)[0] and "{" not in run(preset)[0]
    assert "the {cat} 100%" in run(preset, " the {cat} 100%\n", "{value}")[0]
    assert ("somebody" in run(preset, "", "somebody")[0]) == bool(own.subject)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_scales_lie_where_the_authors_draw_theirs(preset):
    _, text_cfg, image_cfg = run(preset)
    assert isinstance(text_cfg, float) and 6 <= text_cfg <= 9
    assert isinstance(image_cfg, float) and 1.2 <= image_cfg <= 1.8


@pytest.mark.parametrize("preset", PRESETS)
def test_the_scales_follow_the_usual_ones_of_the_checkpoint(preset):
    """With those of SDXL, 5 and 1.5, what is 7.5 for Stable Diffusion 1.5 is 5."""
    _, text_cfg, image_cfg = run(preset)
    assert IP2PPreset.execute(preset, "", "", 7.5, 1.5).args[1:] == (text_cfg, image_cfg)
    _, of_sdxl, image = IP2PPreset.execute(preset, "", "", SDXL.text_cfg, SDXL.image_cfg).args
    assert of_sdxl == pytest.approx(text_cfg * 5 / 7.5) and image == image_cfg


@pytest.mark.parametrize("preset", PRESETS)
def test_the_scale_of_the_picture_follows_from_1_which_strengthens_nothing(preset):
    """With the built-in model's 1.2, what is 1.5 becomes 1.2, and no preset falls below 1."""
    own = run(preset)[2]
    usual = BUILT_IN_SCALES["image_cfg"]
    found = IP2PPreset.execute(preset, "", "", 7.5, usual).args[2]
    assert found - 1 == pytest.approx((own - 1) * (usual - 1) / (1.5 - 1)) and found > 1
    assert IP2PPreset.execute(preset, "", "", 7.5, 1.0).args[2] == 1.0


@pytest.mark.parametrize(
    ("preset", "wordings", "value"),
    [
        ("hair color", applications.hair_color.HAIR_COLOR, "{new}"),
        ("hairstyle", applications.hairstyle.HAIR_STYLE, "{new}"),
        ("clothes", applications.clothes.CLOTHES, "a {new}"),
        ("clothes color", applications.clothes.RECOLOR, "{new}"),
        ("glasses", applications.worn.PUT_ON, "{new}"),
        ("hat", applications.worn.PUT_ON, "{new}"),
        ("make-up", applications.makeup.LIPS, "{new} lipstick"),
        ("weather", applications.weather.WEATHER, "{new}"),
        ("season", applications.season.SEASON, "{new}"),
        ("time of day", applications.time_of_day.TIME, "{new}"),
        ("background", applications.background.BACKGROUND, "{new}"),
        ("material", applications.material.MATERIAL, "{new}"),
        ("art medium", applications.art_medium.MEDIUM, "{new}"),
        ("add something", applications.things.ADD, "{new}"),
    ],
)
def test_the_built_in_model_was_trained_on_these_sentences(preset, wordings, value):
    known = {
        wording.format(whose=whose, them=them, they=they, old=old, new="{new}", it="it", place="")
        for wording in wordings.trained
        for whose, them, they in PEOPLE
        for old in ("clothes", "dress")
    }
    for subject in ("", "dress") if preset == "clothes color" else ("",):
        assert run(preset, value, subject)[0] in known
    if preset in ("clothes", "glasses", "hat", "hairstyle"):
        assert run(preset, value, "her")[0] in known


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="preset: got 'hair'; choose one of hair color, "):
        run("hair")


@pytest.mark.parametrize("page", ["IP2PPreset.md", "IP2PPreset/zh.md"])
def test_the_list_in_the_help_is_that_of_the_code(page, tmp_path):
    text = (DOCS / page).read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    current = before + BEGIN + listed() + END + after
    new = tmp_path / "page.md"
    new.write_text(current, encoding="utf-8")
    assert text == current, f"The presets have changed: copy {new} to nodes/web/docs/{page}"
