"""`ip2p train`: its options are the settings of a run, with their defaults, and so is its file."""

import inspect
import re

import pytest
from instruct_pix2pix.edits.presets import PRESETS
from instruct_pix2pix.headless.errors import InputError
from instruct_pix2pix.headless.train_command import SETTINGS, lessons, read_toml, train
from instruct_pix2pix.training.settings import RunError, Settings, settings_from, to_toml

OPTIONS = inspect.signature(train, eval_str=True).parameters


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_says_the_default_of_its_setting(name):
    assert OPTIONS[name].default is None, "what is not given is the run's own default"
    default = getattr(Settings(), name)
    said = OPTIONS[name].annotation.__metadata__[0].help
    if isinstance(default, bool):
        assert not default or f"--{name} by default" in said
    elif name not in ("resolution", "text_cfg", "image_cfg"):  # the model has its own
        number = f"{default:.4f}".rstrip("0").rstrip(".") if isinstance(default, float) else default
        assert re.search(rf"(^|\W){re.escape(str(number))} by default", said), said


def test_a_file_holds_the_options_and_that_of_a_run_will_do(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('learning-rate = 2e-3\nkind = "full"\nflip = true\n')
    assert settings_from(read_toml(path)) == Settings(kind="full", learning_rate=2e-3, flip=True)
    settings = Settings(rank=3, schedule="cosine", cache=False)
    path.write_text(to_toml(vars(settings)) + '\n[made_from]\nbase = "x"\n')
    assert settings_from(read_toml(path)) == settings


@pytest.mark.parametrize(
    ("text", "message"), [("kind = ", "cannot be read"), (None, "cannot be read")]
)
def test_a_file_that_is_none_is_named(text, message, tmp_path):
    path = tmp_path / "run.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"run.toml: {message}"):
        read_toml(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "dreambooth"}, "kind: got 'dreambooth'; choose one of lora, full"),
        ({"rank": "8"}, "rank: got '8'; expected int"),
        ({"steps": 0}, "steps: got 0; it goes from 1"),
        ({"dropout": 0.5}, "dropout: got 0.5; it goes from 0 to 0.333"),
        ({"resolution": 100}, "resolution: got 100; a multiple of 8"),
        ({"lr": 1}, "lr: there is no such setting"),
    ],
)
def test_a_setting_out_of_its_range_gets_a_sentence(values, message):
    with pytest.raises(RunError, match=message):
        settings_from(values)


def test_the_frozen_model_is_asked_the_presets_or_the_lines_of_a_file(tmp_path):
    assert len(lessons(None)) == len(PRESETS) and all(lessons(None))
    path = tmp_path / "asked.txt"
    path.write_text("make it snow\n\nmake it rain\n")
    assert lessons(path) == ["make it snow", "make it rain"]
