"""What the page says: its own words, the tiles of each tab, and the nodes' names and tooltips."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from ...edits.presets import PRESETS
from ...edits.settings import SETTINGS
from ..server import PACK

TEXTS = Path(__file__).parent / "texts"  # a file for each language
# Tabs by application: the presets of each, and the values that are tiles.
TABS: dict[str, dict[str, tuple[str, ...]]] = {
    "hair": {
        "hair color": ("blonde", "brown", "black", "blue", "pink", "purple", "green", "red"),
        "hairstyle": ("long hair", "short hair", "curly hair", "a bob", "a ponytail", "a bun"),
    },
    "make-up": {
        "make-up": ("red lipstick", "pink lipstick", "blue eye shadow", "purple eye shadow"),
        "glasses": ("sunglasses", "glasses"),
        "hat": ("a beanie", "a cap", "a straw hat"),
    },
    "clothes": {
        "clothes": ("a red dress", "a black suit", "a leather jacket", "a striped shirt"),
        "clothes color": ("red", "green", "blue", "white", "black"),
    },
    "weather": {
        "weather": ("sunny", "cloudy", "rainy", "snowy", "foggy", "stormy"),
        "season": ("spring", "summer", "autumn", "winter"),
        "time of day": ("sunset", "night", "midday"),
    },
    "background": {"background": ("a beach", "a forest", "mountains", "a city", "a library")},
    "material": {"material": ("wood", "marble", "bronze", "gold", "glass")},
    "medium": {
        "art medium": ("a watercolor painting", "an oil painting", "a pencil sketch", "a mosaic")
    },
}
# Tiles that show their color.
SWATCHES = {
    **{"blonde": "#e3c277", "brown": "#70432a", "black": "#1c1c1c", "blue": "#2f62d0"},
    **{"pink": "#f28bb2", "purple": "#7a3fa0", "green": "#2f8f46", "red": "#c8282a"},
    "white": "#ffffff",
}
# What can be tried at once: a picture of the templates and a sentence that suits it.
EXAMPLES = {
    "woman": "make her hair blue",
    "jacket": "make him wear sunglasses",
    "sweater": "put on a red leather jacket",
    "house": "change the weather from sunny to cloudy",
    "lake": "make it a sunset",
    "cat": "make it out of wood",
}
PICTURES = PACK / "workflows" / "pictures"
# What has a place of its own on the page; the others are in "All settings".
OUTSIDE = ("text_cfg", "image_cfg")


@cache
def languages() -> dict[str, dict[str, Any]]:
    """The texts of each language, English first."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(TEXTS.glob("*"))}
    return {"en": found.pop("en"), **found}


@cache
def node_texts(language: str) -> Any:
    return json.loads((PACK / "locales" / language / "nodeDefs.json").read_text("utf-8"))


def page_texts(language: str) -> dict[str, Any]:
    """All words of the page in a language; English where there is no such one."""
    language = language if language in languages() else "en"
    own, english, nodes = languages()[language], languages()["en"], node_texts(language)
    names = own["tiles"]

    def tile(preset: str, value: str) -> dict[str, str]:
        swatch = SWATCHES.get(value, "") if "color" in preset else ""
        return {"value": value, "name": names.get(value, value), "swatch": swatch}

    presets = nodes["IP2PPreset"]["inputs"]["preset"].get("options", {})
    return {
        "language": language,
        "languages": {key: texts["name"] for key, texts in languages().items()},
        "words": {**english["words"], **own["words"]},
        "fields": {name: nodes[setting.node]["inputs"][name] for name, setting in SETTINGS.items()}
        | {"instruction": nodes["IP2PEncodeInstruction"]["inputs"]["instruction"]},
        "examples": {name: own["examples"].get(name, EXAMPLES[name]) for name in EXAMPLES},
        "tiles": {
            tab: [
                {
                    "preset": preset,
                    "name": presets.get(preset, preset),
                    "needs": translated(PRESETS[preset].needs, language),
                    "values": [tile(preset, value) for value in values],
                }
                for preset, values in groups.items()
            ]
            for tab, groups in TABS.items()
        },
    }


def translated(sentence: str, language: str) -> str:
    """A sentence of the command line's code in a language; as it is where it is not known."""
    for pattern, template in sentences(language):
        found = pattern.fullmatch(sentence)
        if found:
            return template.format(*(translated(part, language) for part in found.groups()))
    return sentence


@cache
def sentences(language: str) -> list[tuple[re.Pattern[str], str]]:
    """The sentences of the texts, as patterns in which {} stands for anything."""
    own = languages().get(language, {}).get("sentences", {})
    return [
        (re.compile(re.escape(english).replace(r"\{\}", "(.+?)"), re.DOTALL | re.IGNORECASE), other)
        for english, other in own.items()
    ]


def listed(lists: dict[str, list[str]], language: str) -> list[dict[str, Any]]:
    """The settings of "All settings", each with what a control needs.

    lists  what the server offers for the settings that it has lists of
    """
    fields = page_texts(language)["fields"]
    rows = []
    for name, setting in SETTINGS.items():
        if name in OUTSIDE:
            continue
        choices = lists.get(name) if setting.listed else list(setting.choices)
        names = fields[name].get("options", {})
        rows.append(
            {
                "name": name,
                "default": setting.default,
                "choices": {choice: names.get(choice, choice) for choice in choices or ()},
                "number": setting.kind is not str,
            }
        )
    return rows
