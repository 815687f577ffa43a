"""The table of an edit's settings: what fits, what does not, and that the words stand once."""

import re
from pathlib import Path

import pytest
from instruct_pix2pix.edits.settings import SETTINGS, completed, defaults_of, of_node

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_default_fits_its_own_setting(setting):
    assert setting.checked(setting.default) == setting.default
    assert setting.help.endswith(".") and setting.option.startswith("--")


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("steps", "30", 30),
        ("steps", 30.0, 30),
        ("text_cfg", "9", 9.0),
        ("text_cfg", 0, 0.0),
        ("seed", str(2**64 - 1), 2**64 - 1),
        ("fit", "around mask", "around mask"),
        ("sampler_name", "of a newer ComfyUI", "of a newer ComfyUI"),
    ],
)
def test_a_text_stands_for_the_number_that_it_writes(name, value, found):
    checked = SETTINGS[name].checked(value)
    assert checked == found and type(checked) is type(found)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("steps", "many", "steps: got 'many', which is not a whole number."),
        ("steps", 2.5, "steps: got '2.5', which is not a whole number."),
        ("steps", True, "steps: got 'True', which is not a whole number."),
        ("steps", 0, "steps: got 0; give 1 to 10000."),
        ("seed", 2**64, f"seed: got {2**64}; give 0 to {2**64 - 1}."),
        ("text_cfg", "nan", "text_cfg: got 'nan', which is not a number."),
        ("text_cfg", "1e30", "text_cfg: got 1e+30; give 0.0 to 100.0."),
        ("denoise", -0.1, "denoise: got -0.1; give 0.0 to 1.0."),
        ("fit", "crop", "fit: got 'crop'; choose one of training size, keep size, around mask."),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(name, value, sentence):
    with pytest.raises(ValueError) as refusal:
        SETTINGS[name].checked(value)
    assert str(refusal.value) == sentence


def test_what_is_not_given_takes_its_default_and_what_is_unknown_is_refused():
    names = of_node("IP2PKSampler")
    assert completed({}, names) == defaults_of(*names)
    assert completed({"steps": "7"}, names)["steps"] == 7
    with pytest.raises(ValueError, match="unknown setting feather, sede; known are seed, steps,"):
        completed({"sede": 1, "feather": 2}, names)


def test_the_usual_scales_stand_once_in_the_code():
    """As a pair, such as 7.5, 1.5: whoever needs it reads the table."""
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("nodes", "headless", "edits", "checkpoints")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"7\.5,\s+1\.5\b", path.read_text(encoding="utf-8"))
    ]
    assert found == ["edits/presets.py"], "whose scales are each preset's own"
