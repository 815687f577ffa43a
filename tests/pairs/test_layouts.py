"""One set of pairs in every layout reads the same; what is malformed gets a sentence."""

import json
import re

import pytest
from instruct_pix2pix.pairs.layouts import read_pairs
from instruct_pix2pix.pairs.pair import PairsError, open_picture

from .layouts import WRITERS, made, write


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_same_pictures_and_texts(layout, tmp_path):
    pairs = made()
    found = read_pairs(write(layout, tmp_path / "set", pairs))
    assert [pair.instructions for pair in found] == [pair.instructions for pair in pairs]
    for one, other in zip(found, pairs, strict=True):
        for picture, wanted in ((one.source, other.source), (one.target, other.target)):
            assert open_picture(picture).tobytes() == open_picture(wanted).tobytes()


@pytest.mark.parametrize("layout", ["official", "hub", "written"])
def test_captions_come_with_the_pairs(layout, tmp_path):
    found = read_pairs(write(layout, tmp_path / "set", made()))
    assert [(p.caption, p.edited_caption) for p in found] == [
        (p.caption, p.edited_caption) for p in made()
    ]


def test_official_split_is_by_position_of_the_prompt(tmp_path):
    found = read_pairs(write("official", tmp_path / "set", made(20)))
    assert [pair.split for pair in found] == ["train"] * 18 + ["held-out"] * 2


def test_turns_of_magicbrush_share_an_origin(tmp_path):
    place = write("jsonl", tmp_path / "set", made(4))
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    for row, image in zip(rows, ("10", "10", "11", "11"), strict=True):
        row |= {"img_id": image, "turn_index": 1, "mask_img": row["source_img"]}
    place.write_text("\n".join(map(json.dumps, rows)))
    found = read_pairs(place)
    assert [pair.group for pair in found] == ["10", "10", "11", "11"]
    assert all(pair.mask for pair in found)


def test_named_columns_override_the_known_names(tmp_path):
    place = write("jsonl", tmp_path / "set", made(2))
    text = place.read_text().replace("source_img", "x").replace("instruction", "what to do")
    place.write_text(text)
    found = read_pairs(place, {"source": "x", "instruction": "what to do"})
    assert [pair.instruction for pair in found] == [pair.instruction for pair in made(2)]


def test_lines_of_a_text_are_wordings_of_one_edit(tmp_path):
    place = write("two folders", tmp_path / "set", made(2))
    for text in (place / "after").glob("*.txt"):
        text.unlink()
    (place / "instructions.txt").write_text("make it a cartoon\n\nturn this into a cartoon\n")
    wordings = ("make it a cartoon", "turn this into a cartoon")
    assert [pair.instructions for pair in read_pairs(place)] == [wordings, wordings]


def broken(layout, tmp_path, change):
    place = write(layout, tmp_path / "set", made(3))
    change(place)
    return place


def replace(name, old, new):
    def change(place):
        path = place / name if place.is_dir() else place
        path.write_text(path.read_text().replace(old, new))

    return change


MALFORMED = {
    "no seeds list": ("official", replace("seeds.json", "[[", "{["), "seeds.json is not valid"),
    "seeds of another form": ("official", replace("seeds.json", '"0000001",', ""), "expected a li"),
    "no edit": ("official", replace("0000001/prompt.json", '"edit"', '"e"'), "with a text `edit`"),
    "no prompt": ("official", lambda p: (p / "0000001/prompt.json").unlink(), "cannot be read"),
    "no source": ("jsonl", replace("", "source_img", "x"), "--column source=NAME"),
    "no target": ("jsonl", replace("", "target_img", "x"), "no column for the target"),
    "no text": ("jsonl", replace("", "instruction", "x"), "no column for the instruction"),
    "cut jsonl": ("jsonl", replace("", "}\n", "\n"), "line 1: not valid JSON"),
    "a list in jsonl": ("jsonl", lambda p: p.write_text("[1]\n"), "expected an object"),
    "empty table": ("jsonl", lambda p: p.write_text(""), "no column"),
    "no parquet": ("written", lambda p: p.write_bytes(b"PAR1"), "is not a parquet file"),
    "another encoding": ("jsonl", lambda p: p.write_bytes(b"\xff\xfe"), "cannot be read as a"),
    "lonely picture": ("two folders", lambda p: (p / "after/1.jpg").unlink(), "no picture of the"),
    "no instruction": ("two folders", lambda p: (p / "after/1.txt").unlink(), "has no instruction"),
    "two of a name": (
        "two folders",
        lambda p: (p / "after/1.png").write_bytes((p / "after/1.jpg").read_bytes()),
        "have one name",
    ),
    "only one folder": (
        "two folders",
        lambda p: (p / "after").rename(p / "results"),
        "no pairs are found in this folder. Give one of these",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_gets_one_sentence(case, tmp_path):
    layout, change, message = MALFORMED[case]
    place = broken(layout, tmp_path, change)
    with pytest.raises(PairsError, match=re.escape(message)) as caught:
        read_pairs(place)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [({"before": "x"}, "is not part of a pair"), ({"source": "x"}, "there is no column 'x'")],
)
def test_columns_that_are_not_there(columns, message, tmp_path):
    with pytest.raises(PairsError, match=message):
        read_pairs(write("jsonl", tmp_path / "set", made(2)), columns)


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(PairsError, match="there is no such file or folder"):
        read_pairs(tmp_path / "nothing")


def test_another_kind_of_file(tmp_path):
    (tmp_path / "pairs.zip").write_bytes(b"")
    with pytest.raises(PairsError, match="not read from .zip files"):
        read_pairs(tmp_path / "pairs.zip")
