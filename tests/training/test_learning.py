"""The built-in model learns, from the bundled pairs, an edit that it does not know."""

import numpy as np
from instruct_pix2pix.edits.settings import BUILT_IN_SCALES
from instruct_pix2pix.nodes.training import EXAMPLE_FOLDER
from instruct_pix2pix.pairs.checks import split_pairs
from instruct_pix2pix.pairs.layouts import read_pairs
from instruct_pix2pix.pairs.pair import open_picture
from instruct_pix2pix.training.base import load_base
from instruct_pix2pix.training.run import Run
from instruct_pix2pix.training.settings import Settings


def distance(picture, other):
    """Mean absolute difference in grey levels, at 64 x 64."""
    first, second = (np.asarray(one.resize((64, 64)), np.int16) for one in (picture, other))
    return float(np.abs(first - second).mean())


def test_forty_steps_teach_a_line_round_the_picture(tmp_path):
    """On pictures and pairs that it was not trained on: the held-out loss falls by a third, and
    each result is nearer to the picture with the line than to the one without."""
    base = load_base("ip2p-mini")
    train, held_out = split_pairs(read_pairs(EXAMPLE_FOLDER), share=0)
    assert len(train) == 17 and len(held_out) == 3
    text_cfg, image_cfg = BUILT_IN_SCALES["text_cfg"], BUILT_IN_SCALES["image_cfg"]
    settings = Settings(
        steps=40, batch_size=4, learning_rate=3e-3, resolution=128, sample_every=0, save_every=0,
        text_cfg=text_cfg, image_cfg=image_cfg,
    )  # fmt: skip
    run = Run(tmp_path, settings, base.model, base.clip, base.vae, train, held_out)
    before = run.shown.loss(run.errors)
    run.train()
    with run.weights.averaged():
        after, edits = run.shown.loss(run.errors), run.shown.edits(text_cfg, image_cfg)
    assert after < before * 2 / 3
    for pair, edit in zip(held_out, edits, strict=True):
        to_target = distance(edit, open_picture(pair.target))
        assert to_target < distance(edit, open_picture(pair.source)), pair.instruction
