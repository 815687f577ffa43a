"""Every node has a help page, in English and Chinese, that says what the node's schema says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfy_api.latest import io
from instruct_pix2pix.tests.test_locales import read
from instruct_pix2pix.tests.texts import NOT_OURS, schemas
from PIL import Image

DOCS = Path(__file__).parents[1] / "nodes" / "web" / "docs"
SCHEMAS = schemas()
# The editor asks for <node>/<language>.md, then for <node>.md.
PAGES = [
    (node_id, language, DOCS / name)
    for node_id in SCHEMAS
    for language, name in (("en", f"{node_id}.md"), ("zh", f"{node_id}/zh.md"))
]
WORDS = json.loads(Path(__file__).with_name("help_words.json").read_text(encoding="utf-8"))


def range_of(slot: Any, words: dict[str, Any]) -> str:
    """What may be entered and what stands there at first; nothing for sockets."""
    if slot.id == "lora_name":
        return words["loras"]
    if isinstance(slot, io.Combo.Input):
        first = slot.options[0] if slot.default is None else slot.default
        if slot.id in NOT_OURS:
            offered = words["own" if slot.id == "checkpoint" else "core"]
        elif len(slot.options) > 9:
            offered = words["many"]
        else:
            offered = words["comma"].join(f"`{option}`" for option in slot.options)
        return words["default"].format(offered, f"`{first}`")
    if isinstance(slot, io.Int.Input | io.Float.Input):
        most = slot.max if isinstance(slot, io.Int.Input) else f"{slot.max:g}"
        offered = words["numbers"].format(slot.min, most, slot.step or 1)
        return words["default"].format(offered, f"{slot.default:g}")
    if isinstance(slot, io.String.Input):
        default = f"`{slot.default}`" if slot.default else words["empty"]
        return words["default"].format(words["text"], default)
    return ""


def input_rows(node_id: str, language: str) -> Iterator[str]:
    """The lines of the inputs up to the description."""
    words, texts = WORDS[language], read(language)[node_id]["inputs"]
    for slot in SCHEMAS[node_id].inputs:
        label = "" if language == "en" else f" {texts[slot.id]['name']}"
        kind = slot.get_io_type() + words["optional"] * bool(slot.optional)
        if asked := range_of(slot, words):
            kind += words["range"].format(asked)
        yield words["row"].format(slot.id, label, kind)


def output_rows(node_id: str, language: str) -> Iterator[str]:
    words, texts = WORDS[language], read(language)[node_id]["outputs"]
    for index, slot in enumerate(SCHEMAS[node_id].outputs):
        label = "" if language == "en" else f" {texts[str(index)]['name']}"
        yield words["row"].format(slot.display_name, label, slot.get_io_type())


def sections_of(page: Path) -> dict[str, str]:
    """The text below each heading; above the first it is that of ''."""
    parts = re.split(r"^## (.+)$", "\n" + page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], map(str.strip, parts[::2]), strict=True))


def pictures_of(page: Path) -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text(encoding="utf-8"))


def test_there_is_a_page_for_every_node_and_no_other() -> None:
    wanted = {path for _, _, path in PAGES}
    found = set(DOCS.rglob("*.md"))
    assert not wanted - found, f"to be written: {sorted(wanted - found)}"
    assert not found - wanted, f"pages of no node: {sorted(found - wanted)}"


@pytest.mark.parametrize(("node_id", "language", "page"), PAGES)
def test_a_page_says_what_the_schema_says(node_id: str, language: str, page: Path) -> None:
    words, sections = WORDS[language], sections_of(page)
    assert sections[""], "a page begins with what the node is for"
    assert [name for name in sections if name in words["sections"]] == words["sections"]
    for name, rows in (
        (words["sections"][0], input_rows(node_id, language)),
        (words["sections"][1], output_rows(node_id, language)),
    ):
        for row, start in zip(sections[name].splitlines(), rows, strict=True):
            assert row.startswith(start), f"write: {start}"
            assert row.removeprefix(start).strip(), f"not described: {start}"
    examples = sections[words["sections"][2]]
    assert examples.startswith("1. ") and "\n2. " in examples


@pytest.mark.parametrize(("node_id", "language", "page"), PAGES)
def test_a_page_fits_the_panel_and_its_links_lead_somewhere(
    node_id: str, language: str, page: Path
) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", text):
        link = "".join(target)
        # The editor looks for what is relative beside the English pages.
        assert link.startswith("https://") or (DOCS / link).is_file(), f"leads nowhere: {link}"
    # The panel is as narrow as a phone: what stands in a third column is outside of it.
    assert not re.findall(r"^\|", text, flags=re.MULTILINE), "write a list instead of a table"


@pytest.mark.parametrize("node_id", SCHEMAS)
def test_both_languages_show_the_same_small_pictures(node_id: str) -> None:
    shown = pictures_of(DOCS / f"{node_id}.md")
    assert shown and shown == pictures_of(DOCS / node_id / "zh.md")
    for name in shown:
        with Image.open(DOCS / name) as picture:
            assert picture.format == "JPEG" and picture.width <= 768
        assert (DOCS / name).stat().st_size < 40_000


def test_every_picture_is_shown() -> None:
    shown = {name for node_id in SCHEMAS for name in pictures_of(DOCS / f"{node_id}.md")}
    assert {f"images/{path.name}" for path in (DOCS / "images").iterdir()} == shown
