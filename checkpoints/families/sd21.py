"""Stable Diffusion 2.x: HIVE (arXiv:2303.09618), trained from 2.1-base, and its like.

The source is the unscaled mode of its latent's distribution, the null picture is zeros, as with
SD 1.5. Models made of 2.1-base predict noise, of 2.1 velocity; a single file does not say which.
ComfyUI tells them apart by the spread of one bias, and so do we. Scales: those of HIVE's own
examples.
"""

from .family import Family, TextEncoder
from .sd15 import SD15

SD21 = Family(
    title="Stable Diffusion 2.1",
    core_class="SD21_instructpix2pix",
    pipeline="StableDiffusionInstructPix2PixPipeline",
    spec="stable-diffusion-v2-edit",
    blocks=SD15.blocks,
    text=(
        TextEncoder(
            name="h",
            prefix="cond_stage_model.model.",
            folder="text_encoder",
            shape={
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "max_position_embeddings": 77,
                "num_attention_heads": 16,
                "hidden_act": "gelu",
            },
            open_clip=True,
            unused=True,
        ),
    ),
    resolution=512,
    text_cfg=7.5,
    image_cfg=1.5,
    velocity=("output_blocks.11.1.transformer_blocks.0.norm1.bias", 0.09),
)
