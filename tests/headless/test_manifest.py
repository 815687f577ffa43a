"""Manifests: every format gives the same rows; a hostile one gives errors and no path outside."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruct_pix2pix.headless.asked import Asked
from instruct_pix2pix.headless.errors import InputError
from instruct_pix2pix.headless.manifest import MAX_LINE, PARAMETERS, read_rows

RECORDS = [
    {"image": "a.jpg", "instruction": "make it snow", "seed": 7, "text_cfg": 5.5},
    {"image": "b.png", "instruction": 'a "quoted", line\nand another', "_note": "mine"},
    {"image": "c.png", "instruction": "x", "output": "deep/c.png", "Sampler.scheduler": "karras"},
]
TYPES = {"seed": pyarrow.int64(), "text_cfg": pyarrow.float64()}


def write(folder, kind, records=RECORDS):
    path = folder / f"manifest.{kind}"
    names = list(dict.fromkeys(name for record in records for name in record))
    if kind == "jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif kind == "parquet":
        schema = pyarrow.schema([(n, TYPES.get(n, pyarrow.string())) for n in names])
        full = [{n: r.get(n) for n in names} for r in records]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(full, schema), path)
    else:
        import csv

        with path.open("w", newline="", encoding="utf-8-sig") as file:
            sheet = csv.DictWriter(file, names)
            sheet.writeheader()
            sheet.writerows(records)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(tmp_path, kind):
    first, second, third = read_rows(write(tmp_path, kind), asked=Asked({"steps": 8}))
    assert first.image == str(tmp_path / "a.jpg")
    assert first.output == "a-make-it-snow.png" and not first.named
    assert first.parameters == {"steps": 8, "seed": 7, "text_cfg": 5.5}
    assert second.instruction == RECORDS[1]["instruction"]
    assert third.output == "deep/c.png" and third.named
    assert third.settings == {"Sampler.scheduler": "karras"}
    assert not first.problem + second.problem + third.problem


def test_a_folder_keeps_its_folders(tmp_path):
    for name in ("a.JPG", "sub/b.webp", "sub/notes.txt", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = read_rows(tmp_path, "make it rain")
    assert {row.output for row in rows} == {"a-make-it-rain.png", "sub/b-make-it-rain.png"}


def test_the_pictures_of_a_folder_come_by_name_and_are_told_apart(tmp_path):
    for name in ("b.png", "a10.jpg", "\u5199\u771f.jpg", "A.jpg", "a.png", "sub/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = list(read_rows(tmp_path, "\u8ba9\u5b83\u4e0b\u96ea"))
    snow = "\u8ba9\u5b83\u4e0b\u96ea.png"
    assert [row.output for row in rows] == [
        *(f"a-jpg-{snow}", f"a-png-{snow}", f"a10-{snow}", f"b-{snow}"),
        *(f"\u5199\u771f-{snow}", f"sub/a-{snow}"),
    ]


def test_a_pattern_is_a_row_for_each_file(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    records = [{"image": "*.png", "instruction": "x"}, {"image": "*.gif", "instruction": "x"}]
    rows = list(read_rows(write(tmp_path, "jsonl", records)))
    assert [Path(row.image).name for row in rows[:2]] == ["a.png", "b.png"]
    assert "nothing matches" in rows[2].problem


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"image": "a.png"}, "either an instruction or a preset"),
        ({"instruction": "x"}, "no image"),
        ({"image": "a.png", "instruction": "x", "txt_cfg": 3}, "unknown column 'txt_cfg'"),
        ({"image": "a.png", "instruction": "x", "seed": "1.5"}, "seed: got '1.5'"),
        ({"image": "a.png", "instruction": "x", "steps": True}, "steps: got 'True'"),
        ({"image": "a.png", "instruction": "x", "text_cfg": "nan"}, "text_cfg: got 'nan'"),
        ({"image": ["a.png"], "instruction": "x"}, "image: expected text"),
        ({"image": "a\0.png", "instruction": "x"}, "characters that no text has"),
        ({"image": "\ud800.png", "instruction": "x"}, "characters that no text has"),
    ],
)
def test_a_wrong_row_says_why_and_the_next_goes_on(tmp_path, record, words):
    good = {"image": "b.png", "instruction": "y"}
    first, second = read_rows(write(tmp_path, "jsonl", [record, good]))
    assert words in first.problem
    assert not second.problem


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", b"picture,instruction\n", "one is image"),
        ("m.csv", b"image,image\n", "same name"),
        ("m.csv", b'image\n"' + b"a\n" * 200_000, "field larger|unexpected end"),
        ("m.csv", b"image\n\xff\n", "not UTF-8"),
        ("m.csv", b"", "one is image"),
        ("m.parquet", b"PAR1 not", "not a Parquet file"),
        ("m.txt", b"", "a manifest is"),
    ],
)
def test_a_broken_file_is_refused_whole(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_endless_line_is_refused_after_a_bounded_part_of_it(tmp_path, kind):
    """The file claims a gigabyte in one line; it is sparse, and only a megabyte is read."""
    path = tmp_path / f"m.{kind}"
    with path.open("wb") as file:
        file.write(b"image,instruction\n")
        file.truncate(1 << 30)
    with pytest.raises(InputError, match=f"line 2 is longer than {MAX_LINE >> 20} MiB"):
        list(read_rows(path))


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
names = st.sampled_from(["image", "instruction", "output", "mask", *PARAMETERS]) | st.text(
    max_size=8
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(names, values | st.lists(values, max_size=2), max_size=6)))
def test_any_jsonl_gives_rows_or_problems(tmp_path, records):
    for row in read_rows(write(tmp_path, "jsonl", records)):
        words = row.instruction or row.parameters.get("preset")
        assert row.problem or (row.image and words and row.output.endswith(".png"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_any_bytes_give_rows_or_our_error(tmp_path, kind, content):
    path = tmp_path / f"m.{kind}"
    path.write_bytes((b"image,instruction\n" if kind == "csv" else b"") + content)
    try:
        list(read_rows(path))
    except InputError:
        pass
