"""What the page says: its own texts, the tiles of each tab, and the nodes' names and tooltips."""

from __future__ import annotations

import json
from typing import Any

from ...edits.presets import PRESETS
from ..server import PACK

LANGUAGES = {"en": "English", "zh": "\u4e2d\u6587"}
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
# Fields that carry a node's own name and tooltip.
FIELDS = {
    "IP2PKSampler": ("seed", "steps", "text_cfg", "image_cfg", "sampler_name", "scheduler"),
    "IP2PLoadCheckpoint": ("checkpoint",),
    "IP2PEncodeInstruction": ("instruction", "negative"),
}


def page_texts(language: str) -> dict[str, Any]:
    """All words of the page in a language; English where it is not one of LANGUAGES."""
    language = language if language in LANGUAGES else "en"
    own = json.loads((PACK / "headless" / "app" / "texts.json").read_text(encoding="utf-8"))
    nodes = json.loads((PACK / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    fields = {name: nodes[node]["inputs"][name] for node, names in FIELDS.items() for name in names}
    scenes = nodes["IP2PSampleImage"]["inputs"]["scene"].get("options", {})
    tiles = {
        tab: [
            {"preset": preset, "needs": PRESETS[preset].needs, "values": values}
            for preset, values in presets.items()
        ]
        for tab, presets in TABS.items()
    }
    return {
        "language": language,
        "languages": LANGUAGES,
        "words": {**own["en"], **own[language]},
        "fields": fields,
        "scenes": scenes,
        "tiles": tiles,
    }
