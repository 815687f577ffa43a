"""The plan of figure 8 is what the batch edits and what the measures read."""

import json
import shutil

import numpy as np
import pytest
from instruct_pix2pix.headless.manifest import read_rows
from instruct_pix2pix.metrics.measure import measure
from instruct_pix2pix.metrics.samples import read_table
from instruct_pix2pix.pairs.curve import IMAGE_CFGS, chosen, plan
from instruct_pix2pix.pairs.pair import Pair, PairsError, PictureBytes, PictureFile
from PIL import Image


@pytest.fixture
def pairs(tmp_path):
    """Five pairs, the first two of one source."""
    found = []
    for number in range(5):
        for kind in ("a", "b"):
            pixels = np.random.default_rng([number, ord(kind)]).integers(0, 256, (16, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}{kind}.png")
        files = (PictureFile(tmp_path / f"{number}{kind}.png") for kind in ("a", "b"))
        words = ("a lake", "a lake in snow")
        origin = "same" if number < 2 else str(number)
        found.append(Pair(f"row {number}", *files, ("make it snow",), *words, origin=origin))
    return found


def test_no_source_counts_twice_and_the_choice_is_always_the_same(pairs) -> None:
    four = chosen(pairs, 10)
    assert sorted(pair.name for pair in four) == ["row 0", "row 2", "row 3", "row 4"]
    assert chosen(pairs, 2) == four[:2]


def test_the_batch_takes_the_manifest_and_the_measures_take_its_results(pairs, tmp_path) -> None:
    folder = tmp_path / "curve"
    manifest, samples = plan(chosen(pairs, 3), folder, IMAGE_CFGS, 7.5)
    rows = list(read_rows(manifest))
    assert len(rows) == 3 * 7 and not any(row.problem for row in rows)
    assert {row.parameters["image_cfg"] for row in rows} == set(IMAGE_CFGS)
    assert {row.parameters["numerics"] for row in rows} == {"official"}
    # One seed for a picture, at every scale.
    assert len({(row.image, row.parameters["seed"]) for row in rows}) == 3
    wanted = {sample.result for sample in read_table(samples)}
    assert wanted == {folder / "edited" / row.output for row in rows}
    for row in rows:  # a batch whose edits change nothing
        result = folder / "edited" / row.output
        result.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(row.image, result)
    measure(samples, tmp_path / "measured")
    summary = json.loads((tmp_path / "measured" / "summary.json").read_text())
    assert [group["group"] for group in summary] == [f"image_cfg {c:g}" for c in IMAGE_CFGS]
    assert all(group["means"]["L1 to source"] == 0 for group in summary)
    assert all(group["means"]["L1 to truth"] > 0.2 for group in summary)


def test_a_picture_that_cannot_be_read_is_named(tmp_path) -> None:
    broken = PictureBytes("row 7", b"nothing")
    with pytest.raises(PairsError, match="row 7"):
        plan([Pair("row 7", broken, broken, ("x",))], tmp_path, [1.0], 7.5)
