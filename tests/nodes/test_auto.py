"""Auto guidance takes, of what it tried, what the model believes most, and reports it truly."""

import comfy.utils
import pytest
import torch
from instruct_pix2pix.nodes.auto import IP2PAutoGuidance
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.samplers.comfy.judge import noise_errors
from instruct_pix2pix.samplers.comfy.sampling import Edit

from .inputs import inputs

pytestmark = pytest.mark.usefixtures("inference_mode")


def search(given, keep=0.5, probes=5, seeds=2, **changes):
    return IP2PAutoGuidance.execute(
        **(given | {"keep": keep, "probes": probes, "seeds": seeds} | changes)
    ).args


def rows_of(report):
    """(is marked, text_cfg, image_cfg, seed, steps, follows, keeps, score) of each try."""
    table = report.split("\n\n")[1].splitlines()[1:]
    return [(row.startswith("*"), *map(float, row.strip("* ").split())) for row in table]


@pytest.mark.parametrize("batch", [1, 2])
def test_the_edit_is_that_of_the_scales_and_the_seed(loaded, batch):
    given = inputs(loaded, batch)
    latent, text_cfg, image_cfg, seed, _ = search(given)
    edit = {"text_cfg": text_cfg, "image_cfg": image_cfg, "denoise": 1.0, "numerics": "comfyui"}
    single = IP2PKSampler.execute(**(given | edit | {"seed": seed}))[0]
    torch.testing.assert_close(latent["samples"], single["samples"], rtol=1e-3, atol=1e-2)


def test_the_highest_score_is_taken_and_the_report_says_so(loaded):
    given = inputs(loaded) | {"steps": 10}
    _, text_cfg, image_cfg, seed, report = search(given, probes=7, seeds=3)
    rows = rows_of(report)
    tries, made = rows[:7], rows[7:]
    assert [row[4] for row in rows] == [8] * 7 + [10] * 3
    assert [row[3] for row in rows] == [3] * 7 + [3, 4, 5]
    for part in (tries, made):
        best = max(row[-1] for row in part)
        assert [row[-1] for row in part if row[0]] == [best]
    (taken,) = (row for row in made if row[0])
    assert taken[1:4] == (text_cfg, image_cfg, seed)
    (pair,) = (row[1:3] for row in tries if row[0])
    assert pair == (text_cfg, image_cfg)
    assert f"Taken: text_cfg {text_cfg:g}, image_cfg {image_cfg:g}, seed {seed}." in report


def test_the_same_search_finds_the_same(loaded):
    one, other = search(inputs(loaded)), search(inputs(loaded))
    assert torch.equal(one[0]["samples"], other[0]["samples"]) and one[1:] == other[1:]


def test_the_errors_are_those_of_the_three_branches(loaded):
    """Against the noise that one draws and asks for by hand."""
    given = inputs(loaded, 2)
    edit = Edit(**{name: value for name, value in given.items() if name != "seed"})
    results = torch.randn(3, *given["source"]["samples"].shape)
    errors = noise_errors(edit, results, 9)
    assert errors.shape == (2, 3, 3)
    for index, result in enumerate(results):
        alone = noise_errors(edit, result[None], 9)[..., 0]
        torch.testing.assert_close(errors[..., index], alone, rtol=1e-4, atol=1e-5)
    same = Edit(**(vars(edit) | {"instruction": edit.negative}))
    instruction, image, _ = noise_errors(same, results, 9)[0]
    torch.testing.assert_close(image, instruction, rtol=1e-4, atol=1e-5)


def test_seeds_go_on_from_zero_behind_the_largest(loaded):
    *_, report = search(inputs(loaded) | {"seed": 2**64 - 1}, probes=1, seeds=2)
    assert [row.split()[-5] for row in report.split("\n\n")[1].splitlines()[1:]] == [
        "18446744073709551615",
        "18446744073709551615",
        "0",
    ]


def test_progress_counts_all_that_is_tried(loaded, monkeypatch):
    """With a VAE the best try is shown, as soon as there is one."""
    shown = []

    def hook(value, total, preview, node_id=None):
        shown.append((value, total, preview))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    search(inputs(loaded), probes=3, seeds=1, vae=loaded.vae)
    assert shown[-1][:2] == (12, 12)
    assert shown[0][2] is None and shown[-1][2][1].size == (48, 64)


def test_an_empty_instruction_is_named(loaded):
    given = inputs(loaded)
    with pytest.raises(ValueError, match="instruction: it is empty or says the same as the neg"):
        search(given | {"instruction": given["negative"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 1.5}, "keep: got 1.5; give 0 to 1"),
        ({"probes": 0}, "probes: got 0; give 1 to 64"),
        ({"seeds": 100}, "seeds: got 100; give 1 to 64"),
        ({"scheduler": "best"}, "scheduler: got 'best'"),
        ({"source": {"samples": torch.zeros(1, 4, 8, 6)}}, "source: this latent is all zeros"),
    ],
)
def test_bad_input_is_named(loaded, changes, message):
    with pytest.raises(ValueError, match=message):
        search(inputs(loaded), **changes)


@pytest.mark.parametrize("change", [{"denoise": 0.6}, {"numerics": "official"}])
def test_denoise_and_numerics_reach_the_edit(loaded, change):
    given = inputs(loaded) | change
    latent, text_cfg, image_cfg, seed, _ = search(given, seeds=1)
    edit = {"text_cfg": text_cfg, "image_cfg": image_cfg, "seed": seed}
    single = IP2PKSampler.execute(**(given | edit))[0]
    torch.testing.assert_close(latent["samples"], single["samples"], rtol=1e-3, atol=1e-2)
