"""What the checks find in a set, and that a split never parts a source picture."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from instruct_pix2pix.pairs.checks import CACHED, examine, split_pairs
from instruct_pix2pix.pairs.pair import PictureBytes, PictureFile, open_picture
from PIL import Image

from .layouts import made, png


def notes(pairs, **options):
    return "\n".join(examine(pairs, **options).notes)


def flat(color, size=(64, 64)):
    return PictureBytes("flat.png", png(np.full((*size, 3), color, np.uint8)))


def test_a_sound_set_has_no_faults_and_no_notes():
    report = examine(made())
    assert report.pairs == made() and not report.faults and not report.notes
    assert report.sizes == (64, 64)
    lines = report.lines(resolution=64)
    assert lines[0] == "8 pairs can be used, 0 cannot."
    # Two means and one spread in half precision: 3 x 4 numbers of 2 bytes for 8 x 8 cells.
    assert 8 * 64 * 64 * CACHED == 8 * 3 * 4 * 8 * 8 * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instructions": ("",)}, "the instruction is empty"),
        ({"source": PictureBytes("cut.png", png(np.zeros((64, 64, 3), np.uint8))[:60])}, "cut.png"),
        ({"target": PictureFile(Path("/gone/after.png"))}, "/gone/after.png cannot be read"),
        ({"target": flat(0, (64, 72))}, "64 x 64, the one after 72 x 64"),
    ],
)
def test_a_pair_that_cannot_be_used_is_named_and_left_out(change, message):
    pairs = made()
    pairs[3] = replace(pairs[3], **change)
    report = examine(pairs)
    assert report.pairs == pairs[:3] + pairs[4:]
    assert list(report.faults) == ["pair 3"] and message in report.faults["pair 3"]
    assert any("pair 3" in line for line in report.lines(64))


def test_sizes_that_differ_by_a_resize_are_noted():
    pairs = made()
    pairs[0] = replace(pairs[0], target=flat(9, (128, 128)))
    assert "1 of 8 pairs: the pictures differ in size" in notes(pairs)


def test_pairs_that_change_nothing_are_noted():
    pairs = made()
    pairs[0] = replace(pairs[0], target=pairs[0].source)
    assert "1 of 8 pairs: before and after are the same" in notes(pairs)


def test_pairs_that_come_twice_are_noted():
    pairs = made()
    assert "2 of 10 pairs are in the set twice" in notes([*pairs, *pairs[:2]])


def jpeg(picture, size, quality):
    file = io.BytesIO()
    open_picture(picture).resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    return PictureBytes("copy.jpg", file.getvalue())


@pytest.mark.parametrize(("size", "quality"), [((64, 64), 60), ((200, 200), 90), ((48, 48), 80)])
def test_source_pictures_that_only_look_like_others_are_noted(size, quality):
    """Else the copy of a picture that is trained on could be held out."""
    pairs = made(40)
    copies = [
        replace(pair, name=f"{pair.name} again", source=jpeg(pair.source, size, quality))
        for pair in pairs[:4]
    ]
    said = notes([*pairs, *copies])
    assert "4 source pictures show what another one shows" in said
    assert "'pair 0 again' and 'pair 0'" in said
    twice = [replace(pair, name=f"{pair.name}, more") for pair in (*pairs, *copies)]
    assert "4 source pictures show" in notes([*pairs, *copies, *twice]), "pictures, not pairs"
    one_origin = [replace(pair, origin="one") for pair in (pairs[0], copies[0])]
    assert "another one shows" not in notes([*one_origin, *pairs[1:]])


def test_flat_pictures_of_different_colors_are_no_copies():
    pairs = [replace(pair, source=flat(8 * number)) for number, pair in enumerate(made(30))]
    assert "another one shows" not in notes(pairs)


def test_one_instruction_for_all_is_noted():
    pairs = [replace(pair, instructions=("do it",)) for pair in made(60)]
    assert "All 60 pairs have one instruction, 'do it'" in notes(pairs)


def test_long_instructions_are_noted_by_the_tokens_of_the_text_encoder():
    pairs = made(2)
    assert "1 instructions are longer than 75 tokens" in notes(
        pairs, count_tokens=lambda text: 80 if "number" in text else 3
    )


def test_a_source_on_both_sides_of_the_sets_split_is_noted_and_trains():
    pairs = [replace(pair, origin="one") for pair in made(2)] + made(4)[2:]
    pairs = [
        replace(pair, split="held-out" if i in (1, 3) else "train") for i, pair in enumerate(pairs)
    ]
    assert "1 source pictures are in the training and in the held-out part" in notes(pairs)
    train, held_out = split_pairs(pairs, share=0.5)
    assert held_out == [pairs[3]] and train == [*pairs[:3]]


def test_split_goes_by_source_picture_and_is_the_same_in_every_order():
    pairs = [replace(pair, origin=str(i // 4)) for i, pair in enumerate(made(40))]
    train, held_out = split_pairs(pairs, share=0.3)
    assert len(held_out) == 12 and len(train) == 28
    assert not {p.group for p in train} & {p.group for p in held_out}
    again = split_pairs(pairs[::-1], share=0.3)
    assert {p.name for p in again[1]} == {p.name for p in held_out}


def test_equal_source_pictures_are_one_group_whatever_their_names():
    one, other = made(2)
    assert one.group != other.group
    copy = replace(other, source=PictureBytes("copy.png", one.source.read()))
    assert copy.group == one.group


def test_pictures_are_upright_and_opaque():
    pixels = np.zeros((4, 8, 4), np.uint8)
    pixels[:, :4] = 255, 0, 0, 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    opened = np.asarray(open_picture(PictureBytes("turned.png", png(pixels, exif=exif))))
    assert opened.shape == (8, 4, 3)
    assert (opened[:4] == (255, 0, 0)).all() and (opened[4:] == 255).all()
