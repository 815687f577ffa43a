"""The text-to-image model of the drawn world: draws a scene from its caption.

With it the built-in models can make pairs of pictures, as InstructPix2Pix's own were made with
Stable Diffusion. It is ip2p-mini without a source: attention, and in the text encoder the rows of
words that captions use and instructions do not, have learned captions; the rest is as it is there.
"""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from .captions import caption
from .drawing import one
from .instructions import EDITED, targets
from .networks import LATENT_SCALE, build_unet
from .scenes import KINDS, Scene, sample_scene
from .train_text import new_text_encoder
from .train_unet import loss_weights
from .training import half_precision
from .vocabulary import Vocabulary, tokenize

# In the names of all weights that learn: attention and what it feeds.
LEARNING = "attentions"
# Of the captions so many are left out, for guidance.
DROPOUT = 0.1


def build_text_to_image_unet(editor: UNet2DConditionModel) -> UNet2DConditionModel:
    """The editor's UNet without a source, of which attention alone can learn.

    The editor has learned to draw: what it lacks is to do so from captions. So the file holds a
    third of the weights, and an hour of a CPU brings recognisable pictures.
    """
    unet = build_unet(channels=4)
    weights = editor.state_dict()
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :4]
    unet.load_state_dict(weights)
    for name, weight in unet.named_parameters():
        weight.requires_grad_(LEARNING in name)
    return unet


def caption_vocabulary(instructions: Vocabulary, captions: Sequence[str]) -> Vocabulary:
    """The tokens of the instructions, each in its row, and after them the captions' own."""
    met = {token for row in tokenize(instructions.tokenizer, [*captions]) for token in row}
    return Vocabulary([*instructions.used, *sorted(met - set(instructions.used))])


def build_caption_vocabulary(instructions: Vocabulary, seed: int = 0) -> Vocabulary:
    """From captions enough that none of their tokens is missing."""
    rng = np.random.default_rng([seed, 4])
    scenes = [sample_scene(seed, kind) for kind in KINDS for seed in range(400)]
    edited = [
        one(rng, targets(scene, family))
        for scene in scenes
        for family in EDITED
        if targets(scene, family)
    ]
    return caption_vocabulary(instructions, [caption(scene, rng) for scene in scenes + edited])


def caption_rows(
    scenes: Sequence[Scene], vocabulary: Vocabulary, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The tokens of `count` captions of each scene, int16 [n, count, 77]"""
    texts = [caption(scene, rng) for scene in scenes for _ in range(count)]
    return vocabulary.rows(texts).numpy().astype(np.int16).reshape(len(scenes), count, -1)


def grow_text_encoder(text: CLIPTextModel, known: int, vocabulary: Vocabulary) -> CLIPTextModel:
    """A copy of the encoder with a row for every token of `vocabulary`, which alone can learn.

    text        of an instruction vocabulary, whose last row is that of unknown words
    known       the tokens of that vocabulary
    vocabulary  of `caption_vocabulary`

    All else stays as it is to the bit, where the optimizer has no weight decay for the table.
    """
    grown = new_text_encoder(len(vocabulary))
    own = dict(text.state_dict())
    name = next(key for key in own if key.endswith("token_embedding.weight"))
    table = grown.get_input_embeddings().weight.detach().clone()
    table[:known] = own[name][:known]
    grown.load_state_dict(own | {name: table})
    grown.requires_grad_(False)
    embeddings = grown.get_input_embeddings()
    learning = torch.zeros(len(vocabulary), 1)
    learning[known:-1] = 1
    # A buffer, so that it is on the device of the gradients before a step is recorded.
    embeddings.register_buffer("learning", learning, persistent=False)
    embeddings.weight.requires_grad_()
    embeddings.weight.register_hook(lambda gradient: gradient * embeddings.learning)
    return grown


def text_to_image_loss(
    unet: nn.Module,
    text: nn.Module,
    noise_levels: Tensor,
    latents: Tensor,
    kept: Tensor,
    rows: Tensor,
) -> Tensor:
    """The weighted error of the predicted noise.

    noise_levels  the scheduler's cumulated alphas [1000]
    latents       raw [n, 4, h, w]
    kept          [n], 0 where the caption is left out
    rows          the captions' tokens [n, 77]
    """
    step = torch.randint(0, len(noise_levels), (len(latents),), device=latents.device)
    alpha = noise_levels[step][:, None, None, None]
    noise = torch.randn_like(latents)
    noisy = alpha.sqrt() * LATENT_SCALE * latents + (1 - alpha).sqrt() * noise
    # An empty text: the first token, and the end token at all other places.
    empty = torch.cat([rows[:, :1], rows[:, -1:].expand(-1, rows.shape[1] - 1)], 1)
    context = text(torch.where(kept[:, None] > 0, rows, empty)).last_hidden_state
    with half_precision(latents.device.type):
        predicted = unet(noisy, step, context).sample.float()
    sigmas = (1 / alpha.flatten() - 1).sqrt()
    errors = (predicted - noise).square().mean((1, 2, 3))
    return (loss_weights(sigmas) * errors).mean()
