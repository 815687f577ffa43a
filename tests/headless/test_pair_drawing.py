"""`ip2p pairs draw` on a real ComfyUI, with a random checkpoint that core loads."""

import json
import re
import time

import pytest
from instruct_pix2pix.edits.settings import TEXT_TO_IMAGE
from instruct_pix2pix.headless.pair_drawing import read_report, write_page
from instruct_pix2pix.pairs.layouts import read_pairs
from instruct_pix2pix.pairs.pair import Pair, PictureFile, open_picture

from ..pairs.drawing import save_checkpoint
from .command import finished, in_process, ip2p

TRIPLES = [
    {"input": "a lake", "edit": "make it snow", "output": "a lake in snow"},
    {"input": "a dog on a meadow", "edit": "make it a fox", "output": "a fox on a meadow"},
]


@pytest.fixture(scope="module")
def server(comfyui):
    path = save_checkpoint(comfyui.log.parent / "sd15.safetensors")
    yield comfyui
    path.unlink()


@pytest.fixture(scope="module")
def drawn(server, tmp_path_factory):
    """The folder of pairs, what the command told, and the command."""
    folder = tmp_path_factory.mktemp("drawn")
    triples = folder / "triples.jsonl"
    triples.write_text("\n".join(map(json.dumps, [*TRIPLES, TRIPLES[0]])))
    command = ["pairs", "draw", triples, "--checkpoint", "sd15.safetensors", "-o", folder / "out"]
    command += ["--samples", "2", "--keep", "2", "--steps", "2", "--resolution", "64"]
    command += ["--server", server.url]
    code, told = finished(ip2p(*command))
    assert code == 0, told
    return folder / "out", told, command


def pixels(path):
    return open_picture(PictureFile(path)).tobytes()


def test_each_triple_gives_pairs_that_training_reads(drawn) -> None:
    folder, told, _ = drawn
    assert "4 pairs of 2 triples" in told
    pairs = read_pairs(folder)
    assert [(p.instruction, p.caption, p.edited_caption) for p in pairs] == [
        (row["edit"], row["input"], row["output"]) for row in TRIPLES for _ in range(2)
    ]
    assert len({pair.group for pair in pairs}) == 2
    for pair in pairs:
        before, after = open_picture(pair.source), open_picture(pair.target)
        assert before.size == after.size == (64, 64)
        assert before.tobytes() != after.tobytes()
        assert 0.1 <= pair.scores["swap"] <= 0.9 and 7.5 <= pair.scores["cfg"] <= 15
    seeds = [pair.scores["seed"] for pair in pairs]
    assert len(set(seeds)) == 4 and seeds[1] == seeds[0] + 1


def test_the_built_in_model_draws_from_the_captions_of_its_own_world(server, tmp_path) -> None:
    triples = tmp_path / "triples.jsonl"
    row = {"input": "a house in summer", "edit": "make it winter", "output": "a house in winter"}
    triples.write_text(json.dumps(row))
    command = ["pairs", "draw", triples, "--checkpoint", TEXT_TO_IMAGE, "-o", tmp_path / "out"]
    command += ["--samples", "1", "--steps", "2", "--resolution", "64", "--server", server.url]
    code, told = in_process(*command)
    assert code == 0 and "1 pairs of 1 triples" in told, told
    (pair,) = read_pairs(tmp_path / "out")
    before, after = open_picture(pair.source), open_picture(pair.target)
    assert before.size == after.size == (64, 64) and before.tobytes() != after.tobytes()


def test_the_page_shows_every_pair(drawn) -> None:
    folder, _, _ = drawn
    page = (folder / "pairs.html").read_text()
    links = re.findall(r'<img loading="lazy" alt="" src="([^"]+)"', page)
    assert len(links) == 8 and all((folder / link).is_file() for link in links)
    assert page.count("<b>make it snow</b>") == 2


def test_a_seed_is_shown_and_read_to_the_last_digit(tmp_path) -> None:
    seed = 2**48 - 1
    (row,) = read_report(f"1 of 1 pairs kept.\nseed {seed}  swap 0.400  direction -0.0312")
    assert row == {"seed": seed, "swap": 0.4, "direction": -0.0312}
    files = (PictureFile(tmp_path / name) for name in ("a.png", "b.png"))
    page = write_page(tmp_path, [Pair("one", *files, ("make it snow",), scores=row)])
    assert f"seed {seed}, swap 0.4, direction -0.0312" in page.read_text()


def test_the_same_command_draws_nothing_again_and_leaves_out_what_was_deleted(drawn) -> None:
    folder, _, command = drawn
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*_1.png")}
    pruned = sorted(made)[0]
    content = pruned.read_bytes()
    pruned.unlink()
    code, told = in_process(*command)
    assert code == 0 and "3 pairs of 2 triples" in told, told
    assert len(read_pairs(folder)) == 3
    left = {path: path.stat().st_mtime_ns for path in folder.rglob("*_1.png")}
    assert left == {path: when for path, when in made.items() if path != pruned}
    pruned.write_bytes(content)


def test_a_killed_run_goes_on_where_it_was(drawn, tmp_path) -> None:
    folder, _, command = drawn
    again = [*command]
    again[again.index("-o") + 1] = tmp_path / "out"
    first = ip2p(*again, "--per-server", "1")
    while not list((tmp_path / "out").rglob("pairs.json")):
        assert first.poll() is None, finished(first)
        time.sleep(0.02)
    first.kill()
    finished(first)
    record = next((tmp_path / "out").rglob("pairs.json"))
    when = record.stat().st_mtime_ns
    code, told = in_process(*again)
    assert code == 0 and "4 pairs of 2 triples" in told, told
    assert record.stat().st_mtime_ns == when
    made = sorted(folder.rglob("*.png"))
    assert len(made) == 8
    for path in made:
        other = tmp_path / "out" / path.relative_to(folder)
        assert pixels(path) == pixels(other)


def test_what_is_wrong_is_said(drawn, tmp_path) -> None:
    _, _, command = drawn
    code, told = in_process(*command, "--set", "swap=1")
    assert code == 3 and "--set swap: no such input; there are swap_from" in told
    other = [*command]
    other[other.index("--checkpoint") + 1] = "none.safetensors"
    code, told = in_process(*other)
    assert code == 3 and "Model.ckpt_name: the server has no 'none.safetensors'; it has " in told
