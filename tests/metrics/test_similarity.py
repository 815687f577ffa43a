"""Cosines of pictures and captions against cosines written by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.metrics.similarity import clip_scores, cosine, structure_distance


def by_hand(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def unit(a: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in a))
    return [x / length for x in a]


def embeddings(seed: int, rows: int = 3) -> torch.Tensor:
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(seed))


def test_the_four_similarities_by_hand() -> None:
    parts = [embeddings(seed) for seed in range(4)]
    found = clip_scores(*parts)
    for row in range(3):
        f0, f1, g0, g1 = (unit(part[row].tolist()) for part in parts)
        change = [y - x for x, y in zip(f0, f1, strict=True)]
        wording = [y - x for x, y in zip(g0, g1, strict=True)]
        assert found.image[row].item() == pytest.approx(by_hand(f0, f1), abs=1e-6)
        assert found.direction[row].item() == pytest.approx(by_hand(change, wording), abs=1e-6)
        assert found.before[row].item() == pytest.approx(by_hand(f0, g0), abs=1e-6)
        assert found.after[row].item() == pytest.approx(by_hand(f1, g1), abs=1e-6)
    assert not found.undefined.any()


def test_lengths_of_embeddings_do_not_matter() -> None:
    parts = [embeddings(seed) for seed in range(4)]
    scaled = clip_scores(*(7 * part for part in parts))
    for a, b in zip(clip_scores(*parts), scaled, strict=True):
        torch.testing.assert_close(a, b)


def test_the_way_back_has_the_same_direction() -> None:
    f0, f1, g0, g1 = (embeddings(seed) for seed in range(4))
    there, back = clip_scores(f0, f1, g0, g1), clip_scores(f1, f0, g1, g0)
    torch.testing.assert_close(there.image, back.image)
    torch.testing.assert_close(there.direction, back.direction)
    torch.testing.assert_close(there.before, back.after)


@pytest.mark.parametrize("same", ["pictures", "captions"])
def test_a_direction_of_nothing_is_zero_and_said_to_be(same: str) -> None:
    f0, f1, g0, g1 = (embeddings(seed) for seed in range(4))
    # One row of three is unchanged, up to the rounding of another batch size.
    changed, original = (f1, f0) if same == "pictures" else (g1, g0)
    changed[1] = original[1] * (1 + 1e-7)
    found = clip_scores(f0, f1, g0, g1)
    assert found.undefined.tolist() == [False, True, False]
    assert found.direction[1].item() == 0
    assert found.direction[[0, 2]].abs().min() > 1e-3


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4))
def test_a_cosine_is_never_no_number(values: list[float]) -> None:
    row = torch.tensor([values])
    for other in (row, torch.zeros(1, 4), torch.ones(1, 4)):
        found = cosine(row, other)
        assert -1 - 1e-9 <= found.item() <= 1 + 1e-9


def test_structure_distance_by_hand() -> None:
    # Two places: at a right angle in one picture, alike in the other. Two of four cosines differ.
    apart, alike = torch.tensor([[[1.0, 0], [0, 2]]]), torch.tensor([[[3.0, 0], [1, 0]]])
    assert structure_distance(apart, alike).item() == pytest.approx(0.5)
    assert structure_distance(apart, apart).item() == 0
