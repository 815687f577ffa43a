"""Names of results: in any script, allowed anywhere, and never the same for different edits."""

import os
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.headless.errors import InputError
from instruct_pix2pix.headless.ledger import Ledger
from instruct_pix2pix.headless.manifest import Row
from instruct_pix2pix.headless.names import (
    MAX_PART,
    default_name,
    distinct_targets,
    refuse_existing,
    safe_name,
)

SNOW, NIGHT = "\u8ba9\u5b83\u4e0b\u96ea", "\u8ba9\u5b83\u53d8\u6210\u591c\u665a"  # Chinese
HINDI = "\u0939\u093f\u0928\u094d\u0926\u0940"  # its vowel signs are marks, not letters
FORBIDDEN = set('<>:"/\\|?*') | {chr(c) for c in range(32)}
anything = st.text(max_size=60)
stems = st.sampled_from(["a", "A", "a.b", "a-x", "\u5199\u771f", "caf\u00e9", "cafe\u0301", "!"])
paths = st.builds(
    lambda folder, stem, end: Path(folder, stem + end),
    st.sampled_from(["", "one", "two"]),
    stems | anything.filter(lambda t: t and "/" not in t and "\0" not in t),
    st.sampled_from([".jpg", ".png", ".JPG", ""]),
)
instructions = st.sampled_from(["x", "x!", "X", SNOW, NIGHT, "b x", "jpg x"]) | anything


@pytest.mark.parametrize(
    ("image", "instruction", "name"),
    [
        ("photo.jpg", "make it snow", "photo-make-it-snow.png"),
        ("My Photo (1).JPG", "Make it SNOW!", "my-photo-1-make-it-snow.png"),
        ("\u5199\u771f.jpg", SNOW, f"\u5199\u771f-{SNOW}.png"),
        (
            "\u0444\u043e\u0442\u043e.jpg",
            "\u0441\u043d\u0435\u0433",
            "\u0444\u043e\u0442\u043e-\u0441\u043d\u0435\u0433.png",
        ),
        ("cafe\u0301.jpg", "x", "caf\u00e9-x.png"),  # as macOS writes it
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940.jpg",
            "x",
            "\u0939\u093f\u0928\u094d\u0926\u0940-x.png",
        ),  # vowel signs are marks
        ("\U0001f431.jpg", "x", "\U0001f431-x.png"),
        ("???.jpg", "...", "edit-edit.png"),
    ],
)
def test_a_name_keeps_the_words(image, instruction, name):
    assert default_name(image, instruction) == name


@given(anything, anything)
def test_any_name_is_allowed_on_every_file_system(image, instruction):
    for extension in (False, True):
        name = default_name(image, instruction, extension=extension)
        assert not FORBIDDEN & set(name) and name == unicodedata.normalize("NFC", name)
        assert len(name.encode()) < 255 and not name.startswith((".", "-", " "))
        assert not PureWindowsPath(name).is_reserved()
        assert safe_name(name) == name or len(name.encode()) > MAX_PART


@given(st.lists(st.tuples(paths, instructions), min_size=1, max_size=12), st.booleans())
def test_different_edits_never_share_a_target(edits, together):
    folder = Path("out") if together else None
    targets = distinct_targets(edits, folder)
    by_edit = dict(zip(edits, targets, strict=True))
    assert len({str(target).casefold() for target in by_edit.values()}) == len(by_edit)
    assert dict(zip(edits[::-1], distinct_targets(edits[::-1], folder), strict=True)) == by_edit
    assert all(t.parent == (folder or image.parent) for (image, _), t in by_edit.items())


def test_what_differs_by_the_extension_keeps_it():
    edits = [
        (Path("a.jpg"), "x"),
        (Path("a.png"), "x"),
        (Path("b.png"), "x"),
        (Path("a.jpg"), "x!"),
    ]
    names = [target.name for target in distinct_targets(edits, None)]
    assert names[1:3] == ["a-png-x.png", "b-x.png"]
    assert names[0].startswith("a-x-") and names[3].startswith("a-x-") and names[0] != names[3]


@given(st.lists(st.tuples(paths, instructions), min_size=1, max_size=12, unique=True))
def test_the_rows_of_a_ledger_never_share_a_file(tmp_path_factory, edits):
    with Ledger(tmp_path_factory.mktemp("names") / "ledger.sqlite") as ledger:
        rows = [
            Row(n, str(image), words, default_name(str(image), words))
            for n, (image, words) in enumerate(edits)
        ]
        ledger.begin_plan(rows)
        outputs = [entry.output.casefold() for entry in ledger.entries()]
        first = {entry.n: entry.output for entry in ledger.entries()}
        ledger.begin_plan(rows)
        assert {entry.n: entry.output for entry in ledger.entries()} == first
    assert len(set(outputs)) == len(outputs) == len(edits)


def test_what_is_there_is_not_written_over(tmp_path):
    target = tmp_path / "out.png"
    refuse_existing([target])
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="out.png is there already; .* --force"):
        refuse_existing([target, tmp_path / "other.png"])
    assert os.path.islink(target)


@pytest.mark.parametrize(
    "name",
    [
        *("../a.png", "/a.png", "a/../../b.png", "..\\a.png", "\\\\host\\a.png", "c:\\a.png", ""),
        *("a.exe", ".a.png", "a\n.png", "x" * 200 + ".png", "a//b.png", "./a.png", " a/b.png"),
        *("\u5199" * 80 + ".png", "CON.png", "a/nul.tar.png", "a./b.png", "LPT1 .png", "a?.png"),
    ],
)
def test_an_output_cannot_leave_the_folder(name):
    with pytest.raises(InputError, match="output"):
        safe_name(name)


@given(st.text(max_size=30))
def test_any_output_name_is_inside_or_refused(name):
    root = Path("/a/folder/of/results")
    try:
        inside = root / safe_name(name)
    except InputError:
        return
    assert root in inside.parents and ".." not in inside.parts
