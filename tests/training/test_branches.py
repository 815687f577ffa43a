"""What branches do is told apart with the built-in weights: whole, and spoilt in known ways.

A branch works below 1/2 (the closed form is in training/branches.py); each share that is asked for
here lies well on its side of that.
"""

from dataclasses import dataclass

import pytest
import torch
from instruct_pix2pix.pairs.layouts import read_pairs
from instruct_pix2pix.training.base import load_base
from instruct_pix2pix.training.branches import measure_branches
from instruct_pix2pix.training.cache import Encoder, Texts
from instruct_pix2pix.training.examine import EVERY, INSTRUCTIONS, PICTURES
from instruct_pix2pix.training.network import Trainable, trainable
from torch import Tensor


@pytest.fixture(scope="module")
def base():
    return load_base("ip2p-mini")


@pytest.fixture(scope="module")
def sources(base):
    encoder = Encoder(base.vae, base.resolution)
    return torch.cat([encoder(pair, False).source for pair in read_pairs(PICTURES)[::EVERY]])


@pytest.fixture(scope="module")
def texts(base):
    return Texts(base.clip)


def measured(net, sources, texts):
    asked, null = [(texts[text][0], None) for text in INSTRUCTIONS[:2]], (texts[""][0], None)
    return measure_branches(net, sources, asked, null)


@dataclass(frozen=True)
class TakesZerosForGrey(Trainable):
    """What a model would do that was never without a picture: none is a grey one."""

    grey: Tensor | None = None

    def __call__(self, x: Tensor, times: Tensor, text: Tensor, vector: Tensor | None) -> Tensor:
        none = ~x[:, 4:].flatten(1).any(1).view(-1, 1, 1, 1)
        source = torch.where(none, self.grey, x[:, 4:])
        return super().__call__(torch.cat([x[:, :4], source], 1), times, text, vector)


@dataclass(frozen=True)
class HearsNothing(Trainable):
    """What a model does that was taught one edit under one wording: that edit, always."""

    edit: Tensor | None = None

    def __call__(self, x: Tensor, times: Tensor, text: Tensor, vector: Tensor | None) -> Tensor:
        return super().__call__(x, times, self.edit.expand(len(x), -1, -1), vector)


def test_those_of_the_built_in_model_work(base, sources, texts):
    found = measured(trainable(base.model, torch.device("cpu")), sources, texts)
    assert found.picture < 0.05 and found.no_picture < 0.4 and found.no_text < 0.1


def test_a_model_that_takes_no_picture_for_a_grey_one_is_off_by_more_than_the_mean(
    base, sources, texts
):
    side = base.resolution
    grey = base.vae.encode(torch.full((1, side, side, 3), 0.5))
    net = TakesZerosForGrey(**vars(trainable(base.model, torch.device("cpu"))), grey=grey)
    found = measured(net, sources, texts)
    assert found.no_picture > 0.6 and found.picture < 0.05


def test_a_model_that_always_does_its_one_edit_does_it_unasked(base, sources, texts):
    net = trainable(base.model, torch.device("cpu"))
    net = HearsNothing(**vars(net), edit=texts["make it night"][0])
    assert measured(net, sources, texts).no_text == pytest.approx(1, abs=1e-6)


def test_a_text_to_image_model_with_new_channels_does_not_look_at_the_picture(sources, texts):
    net = trainable(load_base("ip2p-mini-text-to-image").model, torch.device("cpu"))
    assert net.grown
    found = measured(net, sources, texts)
    assert found.picture == pytest.approx(1, abs=1e-6) and found.no_picture is None
