"""The stages of the paper in miniature: what each takes, gives and leaves out."""

import json
import re
from io import BytesIO

import numpy as np
import pytest
from instruct_pix2pix.headless.cli import app as cli
from instruct_pix2pix.headless.pairs_command import app as pairs_command
from instruct_pix2pix.mini import paper
from instruct_pix2pix.mini.captions import told
from instruct_pix2pix.mini.paper import Run, Sizes, families, held_out, judge
from instruct_pix2pix.mini.paper_report import HEADING, write_report
from instruct_pix2pix.mini.reader import Reader, truth
from instruct_pix2pix.mini.scenes import KINDS, kind_of, render, vary
from instruct_pix2pix.pairs.layouts import read_pairs
from instruct_pix2pix.pairs.pair import Pair, PictureBytes, open_picture
from instruct_pix2pix.pairs.table import write_pairs
from instruct_pix2pix.pairs.triples import Triple, as_line
from PIL import Image
from typer.main import get_command

WINTER = Triple("a house in summer", "make it winter", "a house in winter")
RAINBOW = Triple("a lake in winter", "add a rainbow", "a lake with a rainbow in winter")


def picture(color: int) -> PictureBytes:
    """A picture of one color, by which `Knowing` knows what it is of."""
    file = BytesIO()
    Image.new("RGB", (8, 8), (color, 0, 0)).save(file, "PNG")
    return PictureBytes(f"{color}.png", file.getvalue())


def pair_of(triple: Triple, before: int, after: int) -> Pair:
    texts = (triple.edit,), triple.input, triple.output
    return Pair(f"{before} {after}", picture(before), picture(after), *texts, origin=triple.edit)


class Knowing(Reader):
    """Reads pictures whose first pixel tells which of some captions they show."""

    captions = (WINTER.input, WINTER.output, RAINBOW.input, RAINBOW.output, "a road in winter")

    def read(self, pictures):
        return [truth(told(self.captions[seen[0, 0, 0]])) for seen in pictures]


@pytest.fixture
def run(tmp_path) -> Run:
    found = Run(tmp_path / "run", Sizes(captions=3, measured=1))
    lines = [WINTER, Triple("a cat on the grass", "make it a car", "a car on the grass"), RAINBOW]
    lines += [Triple("a lake", "make it so", "a lake that nobody draws")]
    lines += [Triple("a lake in winter", "keep it", "a lake in winter")]
    lines += [Triple("a lake in winter", "make it a house", "a house in winter")]
    (found.folder / "triples.jsonl").write_text("".join(map(as_line, lines)))
    return found


def test_what_the_world_cannot_show_is_left_out(run) -> None:
    triples = [found.triple.edit for found in run.understood]
    assert triples == [WINTER.edit, RAINBOW.edit]


def test_a_pair_is_kept_if_the_reader_finds_its_edit_and_all_else_unchanged(
    run, monkeypatch
) -> None:
    pairs = [pair_of(WINTER, 0, 1), pair_of(WINTER, 0, 0), pair_of(WINTER, 0, 4)]
    pairs += [pair_of(RAINBOW, 2, 3), pair_of(RAINBOW, 3, 3)]
    found = judge(Knowing(), pairs)
    assert [tuple(judgement) for judgement in found] == [
        (True, True),
        (False, True),
        (True, False),
        (True, True),
        (False, True),
    ]
    write_pairs(pairs, run.folder / "pairs")
    monkeypatch.setattr(paper, "trained_reader", lambda run: Knowing())
    paper.make_sets(run)
    assert (run.figures["shown"], run.figures["same"], run.figures["kept"]) == (3, 4, 2)
    generated, drawn = (read_pairs(run.folder / "sets" / name) for name in paper.SETS)
    assert [pair.instruction for pair in generated] == [WINTER.edit, RAINBOW.edit]
    for made, other in zip(generated, drawn, strict=True):
        assert made.instructions == other.instructions
        assert (made.caption, made.edited_caption) == (other.caption, other.edited_caption)
    assert open_picture(generated[0].source).getpixel((0, 0)) == (0, 0, 0)


def test_a_drawn_pair_shows_what_its_captions_say_of_one_view() -> None:
    pair = paper.drawn(pair_of(RAINBOW, 2, 3), 5)
    for picture, words in ((pair.source, RAINBOW.input), (pair.target, RAINBOW.output)):
        expected = render(vary(told(words), seed=5), 256)
        assert np.array_equal(np.asarray(open_picture(picture)), expected)


def test_nothing_kept_is_an_end(run, monkeypatch) -> None:
    write_pairs([pair_of(WINTER, 0, 0)], run.folder / "pairs")
    monkeypatch.setattr(paper, "trained_reader", lambda run: Knowing())
    with pytest.raises(SystemExit, match="Not one pair passed the filter"):
        paper.make_sets(run)


def test_every_command_of_a_stage_is_one_that_ip2p_takes(run, monkeypatch) -> None:
    given = []

    def record(self, *words):
        given.append([*map(str, words), "--json"])
        return {"told": [], "triples": 1, "pairs": 1}

    monkeypatch.setattr(Run, "ip2p", record)
    monkeypatch.setattr(paper, "train_language_model", lambda *_: 0.5)
    for stage in (paper.write_triples, paper.draw_pairs, paper.train_editors):
        stage(run)
        stage(run)  # what is done is not done again
    names = [" ".join(words[:2]) for words in given]
    assert names[:2] == ["pairs write", "pairs draw"] and len(given) == 4
    training = get_command(cli).commands["train"]
    known = {"pairs": get_command(pairs_command), "train": training}
    for name, *words in given:
        context = known[name].make_context(name, words)  # raises where an option is none
        if name == "pairs":
            command = known[name].commands[words[0]]
            command.make_context(words[0], words[1:], parent=context)
    captions = (run.folder / "captions.txt").read_text().splitlines()
    assert len(captions) == 3 and all(kind_of(told(line)) == "landscape" for line in captions)


def test_a_folder_goes_on_with_its_own_sizes_alone(run) -> None:
    assert Run(run.folder, run.sizes).sizes == run.sizes
    with pytest.raises(ValueError, match=r"--captions: .* started with 3, and this asks for 4"):
        Run(run.folder, Sizes(captions=4, measured=1))
    with pytest.raises(ValueError, match="--kinds: there is no castle"):
        Sizes(kinds="landscape,castle")


@pytest.mark.parametrize("kinds", ["landscape", "portrait,object"])
def test_the_editors_are_measured_on_every_edit_of_the_kinds_in_held_out_scenes(
    tmp_path, kinds
) -> None:
    run = Run(tmp_path, Sizes(kinds=kinds, measured=2))
    asked = held_out(run)
    assert list(asked) == families(run.sizes.drawn_kinds)
    assert ("weather" in asked) == (kinds == "landscape")
    for edits in asked.values():
        assert len(edits) == 2
        assert {kind_of(edit.source) for edit in edits} <= {*kinds.split(",")}
    assert {*families(KINDS)} == {*paper.EDITED}


def test_the_report_has_the_figures_of_the_run_and_the_pictures(run) -> None:
    for name in ("pairs", "sets/generated"):
        write_pairs([pair_of(WINTER, 0, 1)], run.folder / name)
    (run.folder / "understood.jsonl").write_text(as_line(WINTER))
    scores = {"weather": [1, 1.0, 31.0, 21.0], "all edits": [1, 1.0, 31.0, 21.0]}
    other = {name: [1, 0.0, 30.0, 20.0] for name in scores}
    for number, name in enumerate(paper.SETS):
        np.save(run.folder / f"edits-{name}.npy", np.full((768, 512, 3), 80 * number, np.uint8))
    written = {"triples": 5, "refused": {"nothing changed": 2}}
    run.note(language=0.25, reading=0.9, written=written, minutes=0.5, understood=3)
    run.note(drawn={"pairs": 4}, evaluations=80, shown=3, same=2, kept=2)
    run.note(seconds={"triples": 7.4, "pairs": 7.4, "sets": 7.4})
    page = run.folder / "docs" / "paper.md"
    page.parent.mkdir()
    page.write_text(f"# Kept\n\n{HEADING}\nold\n")
    write_report(run.folder, page)
    assert "not trained and measured yet" in page.read_text()
    run.note(chance=0.2, seconds=dict.fromkeys(paper.STAGES, 7.4))
    run.note(editors={"generated": other, "drawn": scores})
    write_report(run.folder, page)
    text = page.read_text()
    assert text.startswith(f"# Kept\n\n{HEADING}") and "old" not in text and "yet" not in text
    assert "--captions 3" in text and "5 of 7 triples accepted, 10 a CPU minute" in text
    assert "| pairs | 7 | 4 drawn, 32 a CPU minute" in text
    assert "2 do both and are kept; one costs 160 evaluations" in text
    assert "| weather | 1 | 0% | 100% | 30.0 | 31.0 | 20.0 | 21.0 |" in text
    assert f"| {WINTER.input} | {WINTER.edit} | {WINTER.output} |" in text
    linked = re.findall(r"\((images/[^)]+)\)", text)
    assert len(linked) == 3 and all((page.parent / name).is_file() for name in linked)
    assert json.loads((run.folder / "sizes.json").read_text())["captions"] == 3
