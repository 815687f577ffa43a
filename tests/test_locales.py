"""Every text that the editor shows of a node exists in every language, and no other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instruct_pix2pix.tests.texts import english

ROOT = Path(__file__).parents[1]
LANGUAGES = ("en", "zh", "zh-TW", "ja", "ko", "fr", "es", "ru")
# What a text keeps in every language: ids of nodes, proper names, what is typed, and numbers.
KEPT = re.compile(
    r"IP2P\w+|InstructPix2Pix|ip2p-mini|Stable Diffusion|ComfyUI|diffusers|models/\w+|VAE\w*"
    r"|CLIP|EMA|SamplerCustomAdvanced|RescaleCFG|euler_ancestral|'normal'|'make it snow'"
    r"|word:|\d+(?:\.\d+)?",
    re.ASCII,
)


def flat(texts: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, text in texts.items():
        where = f"{path} > {key}" if path else key
        if isinstance(text, dict):
            yield from flat(text, where)
        else:
            yield where, text


def read(language: str, name: str = "nodeDefs.json") -> dict[str, Any]:
    return json.loads((ROOT / "locales" / language / name).read_text(encoding="utf-8"))


def test_the_languages_are_these() -> None:
    assert {path.name for path in (ROOT / "locales").iterdir()} == set(LANGUAGES)


def test_english_is_that_of_the_schemas() -> None:
    assert read("en") == english(), "run make texts, then translate what is new"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_and_no_other(language: str) -> None:
    wanted, found = dict(flat(english())), dict(flat(read(language)))
    missing = {where: text for where, text in wanted.items() if where not in found}
    assert not missing, f"to be translated to {language}: {json.dumps(missing, indent=1)}"
    stale = [where for where in found if where not in wanted]
    assert not stale, f"to be removed from {language}: {stale}"
    assert list(found) == list(wanted), "keep the order of the English file"
    empty = [where for where, text in found.items() if not (isinstance(text, str) and text.strip())]
    assert not empty, f"empty in {language}: {empty}"


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_texts_are_translated_and_hold_on_to_names_and_numbers(language: str) -> None:
    wanted, found = dict(flat(english())), dict(flat(read(language)))
    for where in wanted.keys() & found.keys():
        lost = set(KEPT.findall(wanted[where])) - set(KEPT.findall(found[where]))
        assert not lost, f"{language}: {where} has lost {sorted(lost)}"
        if where.endswith((" > tooltip", " > description")):
            assert found[where] != wanted[where], f"{language}: {where} is still English"


@pytest.mark.parametrize("language", LANGUAGES)
def test_tooltips_name_options_as_the_editor_shows_them(language: str) -> None:
    """Which is in English: it translates no options as yet."""
    translated = read(language)
    for node_id, texts in english().items():
        for slot_id, slot in texts["inputs"].items():
            tooltip = translated[node_id]["inputs"][slot_id]["tooltip"]
            words = set(re.findall(r"[\w-]+", slot["tooltip"]))
            named = [o for o in slot.get("options", {}) if words >= set(o.split())]
            lost = [option for option in named if option not in tooltip]
            assert not lost, f"{language}: {node_id} > {slot_id} does not name {lost}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_editor_can_show_every_text(language: str) -> None:
    """It compiles them as messages, in which these characters are commands."""
    for where, text in flat(read(language)):
        assert not set(text) & set("{}@|"), f"{language}: {where}: {text}"
        assert text == " ".join(text.split()), f"{language}: {where}: stray blanks"
    raw = (ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8")
    assert "\\u" not in raw, f"{language}: write letters, not codes"
