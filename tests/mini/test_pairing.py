"""The share of right pairs: what is counted, by readers that know the drawn world."""

import numpy as np
import pytest
import torch
from instruct_pix2pix.mini.instructions import changes
from instruct_pix2pix.mini.pairing import (
    SWAPS,
    asked_edits,
    judge,
    judged,
    learned_scenes,
    markdown,
    shares,
    sheet,
)
from instruct_pix2pix.mini.reader import (
    HEADS,
    Reader,
    accuracy,
    draw,
    examples,
    labels,
    train_reader,
    truth,
)
from instruct_pix2pix.mini.scenes import KINDS, kind_of, sample_scene, vary

SOURCE = vary(sample_scene(3, "portrait"), hair_color="red", eyewear="none", skin="tan")
TARGET = vary(SOURCE, eyewear="glasses")


@pytest.mark.parametrize(
    ("before", "after", "shown", "kept"),
    [
        (SOURCE, TARGET, True, True),
        (SOURCE, SOURCE, False, True),
        (TARGET, TARGET, False, True),  # the edit was there before
        (SOURCE, vary(TARGET, hair_color="blue"), True, False),
        (SOURCE, vary(TARGET, skin="dark"), True, False),  # though no caption says it
        (vary(SOURCE, hair_color="blue"), vary(TARGET, hair_color="blue"), True, True),
        (SOURCE, sample_scene(3, "object"), False, False),
    ],
)
def test_a_pair_is_judged_by_the_edit_and_by_all_else(before, after, shown, kept):
    assert judged(truth(before), truth(after), SOURCE, TARGET) == (shown, kept)


class Knowing(Reader):
    """Reads pictures whose first pixel tells which of some scenes they are of."""

    def __init__(self, scenes):
        super().__init__()
        self.scenes = scenes

    def read(self, pictures):
        return [truth(self.scenes[picture[0, 0, 0]]) for picture in pictures]


def test_the_table_counts_what_the_measuring_reader_finds_of_what_the_other_passes():
    """The filter's reader takes everything for right; the other sees a wrong hair color."""
    edits = [edit for edit, _ in asked_edits(2)]
    picture = np.zeros((len(SWAPS), 2, 4, 4, 3), np.uint8)
    picture[:, 1] = 1  # after
    picture[0, 1] = 2  # at the first swap: another kind of scene
    rows = []
    for edit in edits:
        other = next(kind for kind in KINDS if kind != kind_of(edit.source))
        scenes = [edit.source, edit.target, sample_scene(9, other)]
        blind = Knowing([edit.source, edit.target, edit.target])
        rows += judge((blind, Knowing(scenes)), [picture], [edit])
    assert [row["shown"] and row["kept"] for row in rows] == ([False] + [True] * 3) * 2
    assert all(row["filter"] for row in rows)
    assert shares([row for row in rows if row["swap"] == SWAPS[0]])[:4] == ["2", "0%", "0%", "0%"]
    assert shares(rows)[:4] == ["8", "75%", "75%", "75%"]
    assert shares([])[0] == "0"
    text = markdown(rows, [{"kind": 1.0}, {"kind": 0.5}], 2)
    assert "| all | 8 | 75% | 75% | 75% |" in text and "| kind | 100.0% | 50.0% |" in text


def test_every_edit_is_one_that_its_captions_tell():
    for edit, (before, after) in asked_edits(9):
        assert changes(edit.source, edit.target) and before != after


def test_each_reader_learns_all_kinds_from_drawings_of_its_own():
    first, second = (learned_scenes(number, 8) for number in range(2))
    assert {kind_of(scene) for scene in first} == {kind_of(scene) for scene in second} == {*KINDS}
    assert not {scene.seed for scene in first} & {scene.seed for scene in second}


def test_labels_number_what_a_scene_has_and_leave_out_the_rest():
    scenes = [sample_scene(1, kind) for kind in KINDS]
    for scene, row in zip(scenes, labels(scenes), strict=True):
        for (kind, name), options, number in zip(HEADS, HEADS.values(), row.tolist(), strict=True):
            if kind in ("", kind_of(scene)):
                assert options[number] == truth(scene)[name]
            else:
                assert number == -1


def test_a_reader_learns_to_read():
    """A few drawings by heart, though each is spoiled another way every time."""
    scenes = examples(100, 64)
    pictures = draw(scenes)
    reader = train_reader(pictures, labels(scenes), 30, 0)
    found = accuracy(reader, scenes, pictures)
    assert found["kind"] == 1.0 and found["background"] > 0.8
    torch.manual_seed(0)
    assert accuracy(Reader().eval(), scenes, pictures)["background"] < 0.6


def test_the_sheet_says_what_was_asked_above_each_row():
    edits = [edit for edit, _ in asked_edits(3)]
    white = [np.full((len(SWAPS), 2, 256, 256, 3), 255, np.uint8)] * len(edits)
    drawn = np.asarray(sheet(white, edits))
    side = 256 // 2
    line = (len(drawn) - len(edits) * side) // (len(edits) + 1)
    assert drawn.shape[1] == side * (1 + len(SWAPS))
    for top in range(line, len(drawn), line + side):
        assert (drawn[top : top + line] < 128).any()
        assert (drawn[top + line : top + line + side] == 255).all()
