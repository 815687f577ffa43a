"""Stable Diffusion 1.x: the authors' InstructPix2Pix, MagicBrush, HQ-Edit and their like.

The source is the unscaled mode of its latent's distribution, the null picture is zeros.
"""

from .family import Family, TextEncoder

SD15 = Family(
    title="Stable Diffusion 1.5",
    core_class="SD15_instructpix2pix",
    pipeline="StableDiffusionInstructPix2PixPipeline",
    spec="stable-diffusion-v1-edit",
    blocks={
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "transformer_depth_middle": 1,
    },
    text=(
        TextEncoder(
            name="l",
            prefix="cond_stage_model.transformer.",
            folder="text_encoder",
            shape={
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "max_position_embeddings": 77,
                "num_attention_heads": 12,
                "hidden_act": "quick_gelu",
            },
        ),
    ),
    resolution=512,
    text_cfg=7.5,
    image_cfg=1.5,
    heads=8,
)
