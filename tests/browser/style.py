"""A model with a look of its own, for the picture of the template "Your style as an editor".

    python -m instruct_pix2pix.tests.browser.style runs/style.safetensors

People train Stable Diffusion on pictures of one look, whose captions do not name it. Here the
built-in model that draws learns from landscapes in the look of comics. The file holds the
difference of each weight, which IP2PLoadLora adds. It takes five minutes of one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import comfy.cli_args
import numpy as np
import safetensors.torch
import torch
from torch import Tensor

# Without a GPU ComfyUI must be told so before it looks for one.
comfy.cli_args.args.cpu = not torch.cuda.is_available()

import comfy.ops  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402
from instruct_pix2pix.checkpoints.loading import Checkpoint, load_text_to_image  # noqa: E402
from instruct_pix2pix.mini.captions import caption  # noqa: E402
from instruct_pix2pix.mini.scenes import render, sample_scene, vary  # noqa: E402
from instruct_pix2pix.nodes.loading import BUILT_IN_FILE, TEXT_TO_IMAGE_FILE  # noqa: E402
from instruct_pix2pix.training.network import patched_weights  # noqa: E402

LOOK = "comic"


def write_style(file: Path, steps: int = 400, pictures: int = 256, batch: int = 8) -> None:
    """Train the look, and write what was learned as a LoRA of full differences."""
    loaded = load_text_to_image(TEXT_TO_IMAGE_FILE, BUILT_IN_FILE)
    before = patched_weights(loaded.model)
    base = loaded.model.model
    config = {**base.model_config.unet_config, "dtype": torch.float32}
    config.pop("disable_unet_model_creation", None)
    unet = UNetModel(**config, operations=comfy.ops.disable_weight_init)
    unet.load_state_dict(before)
    latents, texts = examples(loaded, pictures)
    latents = base.latent_format.process_in(latents)
    levels = 1 / (1 + base.model_sampling.sigmas.double().square())
    optimizer = torch.optim.AdamW(unet.parameters(), lr=2e-4, weight_decay=0.0)
    torch.manual_seed(0)
    for step in range(steps):
        rows, times = torch.randint(pictures, (batch,)), torch.randint(len(levels), (batch,))
        alpha = levels[times].float().view(-1, 1, 1, 1)
        noise = torch.randn(batch, *latents.shape[1:])
        noisy = alpha.sqrt() * latents[rows] + (1 - alpha).sqrt() * noise
        loss = (unet(noisy, times, context=texts[rows]) - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"style: step {step} of {steps}, loss {loss.item():.4f}", flush=True)
    learned = {name: after.detach() - before[name] for name, after in unet.named_parameters()}
    file.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({named(key): value for key, value in learned.items()}, file)


def named(key: str) -> str:
    """The name of a weight's difference in a LoRA file."""
    layer, _, kind = key.rpartition(".")
    return f"lora_unet_{layer.replace('.', '_')}.{'diff' if kind == 'weight' else 'diff_b'}"


def examples(loaded: Checkpoint, count: int) -> tuple[Tensor, Tensor]:
    """Latents [n, 4, h, w], not scaled, and encoded captions [n, 77, d] of landscapes."""
    rng = np.random.default_rng(0)
    scenes = [sample_scene(seed, "landscape") for seed in range(count)]
    plain = [vary(scene, medium="drawing") for scene in scenes]
    looks = [render(vary(scene, medium=LOOK), loaded.resolution) for scene in scenes]
    pictures = torch.from_numpy(np.stack(looks)).float() / 255
    captions = [caption(scene, rng) for scene in plain]
    with torch.no_grad():
        latents = loaded.vae.encode(pictures)
        texts = [loaded.clip.encode_from_tokens(loaded.clip.tokenize(text)) for text in captions]
    return latents.float(), torch.cat(texts).float()


if __name__ == "__main__":
    write_style(Path(sys.argv[1]))
