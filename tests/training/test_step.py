"""One step against diffusers: its loss and its gradients, in every branch of the dropout."""

import pytest
import torch
from diffusers import DDPMScheduler
from instruct_pix2pix.checkpoints.layouts import unet_from_diffusers
from instruct_pix2pix.training.network import save_memory, trainable
from instruct_pix2pix.training.step import BRANCHES, Batch, branch_of, dropped, edit_errors
from instruct_pix2pix.training.stream import draw

from ..checkpoints.factory import TEXT_WIDTH
from .conftest import random

CPU = torch.device("cpu")
SIZE = 4
# r of each branch of the draw, at p = 0.05.
CHANCE = {"no text": 0.01, "neither": 0.07, "no picture": 0.12, "both": 0.5}


def scheduler(prediction="epsilon"):
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
    )


def batch(chance, taught=None):
    return Batch(
        target=random(SIZE, 4, 8, 8, seed=1),
        source=5.5 * random(SIZE, 4, 8, 8, seed=2),
        text=random(SIZE, 77, TEXT_WIDTH, seed=3),
        null_text=random(1, 77, TEXT_WIDTH, seed=4),
        noise=random(SIZE, 4, 8, 8, seed=5),
        times=torch.tensor([0, 250, 700, 999]),
        chance=torch.tensor(chance),
        taught=torch.zeros(SIZE, dtype=torch.bool) if taught is None else torch.tensor(taught),
    )


def diffusers_loss(unet, given, prediction="epsilon", p=0.05):
    """The lines of train_instruct_pix2pix.py that compute the loss, its random draws given."""
    noise_scheduler = scheduler(prediction)
    noisy_latents = noise_scheduler.add_noise(given.target, given.noise, given.times)
    prompt_mask = (given.chance < 2 * p).reshape(SIZE, 1, 1)
    hidden = torch.where(prompt_mask, given.null_text, given.text)
    image_mask = 1 - (
        (given.chance >= p).to(torch.float32) * (given.chance < 3 * p).to(torch.float32)
    )
    source = image_mask.reshape(SIZE, 1, 1, 1) * given.source
    if prediction == "epsilon":
        target = given.noise
    else:
        target = noise_scheduler.get_velocity(given.target, given.noise, given.times)
    predicted = unet(torch.cat([noisy_latents, source], dim=1), given.times, hidden).sample
    return torch.nn.functional.mse_loss(predicted.float(), target.float(), reduction="mean")


def gradients(module):
    return {name: weight.grad for name, weight in module.named_parameters()}


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize("branch", [*BRANCHES, "all four"])
def test_loss_and_gradients_are_those_of_diffusers(branch, prediction, checkpoint, reference):
    chance = list(CHANCE.values()) if branch == "all four" else [CHANCE[branch]] * SIZE
    given, theirs = batch(chance), reference.unet.train()
    ours = trainable(checkpoint.model, CPU)
    name = {"eps": "epsilon", "v": "v_prediction"}[prediction]
    alphas = scheduler().alphas_cumprod
    loss = edit_errors(ours, given, alphas, prediction=prediction).mean()
    wanted = diffusers_loss(theirs, given, name)
    torch.testing.assert_close(loss, wanted, rtol=1e-7, atol=0)

    loss.backward()
    wanted.backward()
    expected = unet_from_diffusers(gradients(theirs))
    found = gradients(ours.unet)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        # Relative to the tensor's largest; biases before a norm have none but rounding.
        scale = max(float(gradient.abs().max()), 1e-3)
        assert float((found[key] - gradient).abs().max()) <= 1e-5 * scale, key


def test_the_table_of_alphas_is_the_schedulers(checkpoint):
    found = trainable(checkpoint.model, CPU).alphas
    torch.testing.assert_close(found, scheduler().alphas_cumprod, rtol=1e-5, atol=0)


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_gets_exactly_what_is_left(branch):
    given = batch([CHANCE[branch]] * SIZE)
    seen = []

    def net(x, times, text, vector):
        seen.append((x, text))
        return x[:, :4]

    edit_errors(net, given, scheduler().alphas_cumprod)
    (x, text), without_text = seen[0], branch in ("no text", "neither")
    without_image = branch in ("no picture", "neither")
    expected = torch.zeros_like(given.source) if without_image else given.source
    assert torch.equal(x[:, 4:], expected)
    assert torch.equal(text, given.null_text.expand_as(given.text) if without_text else given.text)
    assert BRANCHES[int(branch_of(given.chance, 0.05)[0])] == branch


def test_sdxl_loses_its_pooled_text_with_its_text():
    given = batch([0.01, 0.07, 0.12, 0.5])
    vector, null_vector = random(SIZE, 6, seed=8), random(SIZE, 6, seed=9)
    given = Batch(**{**vars(given), "vector": vector, "null_vector": null_vector})
    seen = []

    def net(x, times, text, vector):
        seen.append(vector)
        return x[:, :4]

    edit_errors(net, given, scheduler().alphas_cumprod)
    assert torch.equal(seen[0][:2], null_vector[:2]) and torch.equal(seen[0][2:], vector[2:])


def test_five_percent_lose_each_of_text_both_and_picture():
    """Over 1e5 counted draws within three standard deviations; 85 % lose nothing."""
    count, p = 100_000, 0.05
    chance = torch.tensor([draw(0, i // 64, i % 64, (1, 1, 1)).chance for i in range(count)])
    shares = torch.bincount(branch_of(chance, p), minlength=4) / count
    for share, expected in zip(shares.tolist(), (p, p, p, 1 - 3 * p), strict=True):
        assert abs(share - expected) < 3 * (expected * (1 - expected) / count) ** 0.5
    text, image = dropped(chance, p)
    assert abs(float((text & image).float().mean()) - p) < 3 * (p * (1 - p) / count) ** 0.5


def test_the_teacher_answers_for_its_samples_on_the_same_input(checkpoint):
    given = batch(list(CHANCE.values()), [True, False, True, True])
    net = trainable(checkpoint.model, CPU)
    alphas = scheduler().alphas_cumprod
    with torch.no_grad():
        errors = edit_errors(net, given, alphas, teacher=net)
        alone = edit_errors(net, given, alphas)
    # A model that is taught by itself has nothing to learn: only the batch's make differs.
    assert float(errors[[0, 2, 3]].max()) < 1e-10
    assert torch.equal(errors[1], alone[1])


def test_checkpointed_activations_change_no_gradient(checkpoint):
    given = batch(list(CHANCE.values()))
    plain, sparing = (trainable(checkpoint.model, CPU) for _ in range(2))
    save_memory(sparing.unet)
    for net in (plain, sparing):
        edit_errors(net, given, scheduler().alphas_cumprod).mean().backward()
    expected = gradients(plain.unet)
    for key, gradient in gradients(sparing.unet).items():
        assert torch.equal(gradient, expected[key]), key
