"""A network that is made to see pictures starts as its base; LoRA files; the moving average."""

import comfy.sd
import pytest
import safetensors.torch
import torch
from diffusers.training_utils import EMAModel
from instruct_pix2pix.checkpoints.layouts import UNET
from instruct_pix2pix.training.adapt import (
    FIRST_CONV,
    Average,
    Lora,
    lora_file,
    with_image_channels,
)
from instruct_pix2pix.training.network import trainable
from instruct_pix2pix.training.stream import generator

from ..checkpoints.factory import TEXT_WIDTH, ldm_state_dict, tiny_pipeline
from .conftest import random

CPU = torch.device("cpu")
X, TIMES, TEXT = random(2, 8, 8, 8, seed=1), torch.tensor([3, 800]), random(2, 77, TEXT_WIDTH)


def predicted(net):
    with torch.no_grad():
        return net(X, TIMES, TEXT, None)


def test_four_channels_grow_to_eight_and_the_prediction_stays_to_the_bit():
    """Whatever the source is: diffusers' four-channel UNet of the same weights is the oracle."""
    four = tiny_pipeline(in_channels=4)
    weights = {
        name.removeprefix(UNET): tensor
        for name, tensor in ldm_state_dict(four).items()
        if name.startswith(UNET)
    }
    grown = with_image_channels(weights)
    first = grown[FIRST_CONV]
    assert first.shape[1] == 8 and torch.equal(first[:, :4], weights[FIRST_CONV])
    assert not first[:, 4:].any()
    assert torch.equal(grown["input_blocks.0.0.bias"], weights["input_blocks.0.0.bias"])
    noisy, source = X[:, :4], 5.5 * X[:, 4:]
    padded = torch.nn.functional.conv2d(
        torch.cat([noisy, source], 1), first, grown["input_blocks.0.0.bias"], padding=1
    )
    base = torch.nn.functional.conv2d(
        noisy, weights[FIRST_CONV], weights["input_blocks.0.0.bias"], padding=1
    )
    assert torch.equal(padded, base)


def test_eight_channels_stay_as_they_are(checkpoint):
    weights = checkpoint.model.model.diffusion_model.state_dict()
    assert with_image_channels(weights) is weights
    unet = trainable(checkpoint.model, CPU)
    assert not unet.grown
    for name, tensor in unet.unet.state_dict().items():
        assert torch.equal(tensor, weights[name])


def test_other_channels_are_refused(checkpoint):
    weights = {FIRST_CONV: torch.zeros(32, 9, 3, 3)}
    with pytest.raises(ValueError, match="takes 9 channels"):
        with_image_channels(weights)


def test_lora_starts_as_the_base_and_its_file_gives_the_trained_model(checkpoint, tmp_path):
    """The saved file, read by core's LoRA loader, against the network that was trained."""
    net = trainable(checkpoint.model, CPU)
    before = predicted(net)
    lora = Lora(net.unet, 4, generator("lora", 0))
    assert torch.equal(predicted(net), before)
    with torch.no_grad():
        for number, weight in enumerate(lora.parameters()):
            weight.add_(0.02 * random(*weight.shape, seed=number))
    trained = predicted(net)
    assert (trained - before).abs().max() > 0.01
    with lora.switched_off():
        assert torch.equal(predicted(net), before)

    path = tmp_path / "lora.safetensors"
    safetensors.torch.save_file(lora_file(dict(lora.parts.named_parameters())), path)
    loaded, _ = comfy.sd.load_lora_for_models(
        checkpoint.model, None, safetensors.torch.load_file(path), 1.0, 0.0
    )
    # Every addition has a weight that it goes to.
    assert len(loaded.patches) == len(lora.parts)
    merged = predicted(trainable(loaded, CPU))
    torch.testing.assert_close(merged, trained, rtol=0, atol=1e-5)


def test_average_is_diffusers_ema():
    weights = [torch.nn.Parameter(random(5, seed=1)), torch.nn.Parameter(random(3, 2, seed=2))]
    ours = Average(weights, 0.99)
    theirs = EMAModel(weights, decay=0.99, use_ema_warmup=False)
    theirs.step(weights)  # its first update copies; the authors' LitEma has none such
    for step in range(40):
        with torch.no_grad():
            for weight in weights:
                weight.add_(random(*weight.shape, seed=step))
        ours.update(weights)
        theirs.step(weights)
    for mean, expected in zip(ours.weights, theirs.shadow_params, strict=True):
        torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-6)
        assert not torch.equal(mean, weights[0])


def test_average_is_worn_and_taken_off():
    weights = [torch.nn.Parameter(random(5))]
    average = Average(weights)
    with torch.no_grad():
        weights[0].zero_()
    with average.worn(weights):
        assert torch.equal(weights[0], random(5))
    assert not weights[0].any()
