"""SDXL InstructPix2Pix (diffusers' sdxl-instructpix2pix and its fine-tunes) and CosXL Edit.

The two have one network. SDXL InstructPix2Pix takes the source as SD 1.5 does, unscaled. CosXL Edit
samples continuous noise levels with v-prediction, says so by the tensors `edm_vpred.*`, and takes
the source in the scale of its latents (x 0.13025). ComfyUI's class follows these tensors. Scales:
the defaults of diffusers' StableDiffusionXLInstructPix2PixPipeline.
"""

from .family import Family, TextEncoder
from .sd15 import SD15

SDXL = Family(
    title="SDXL",
    core_class="SDXL_instructpix2pix",
    pipeline="StableDiffusionXLInstructPix2PixPipeline",
    spec="stable-diffusion-xl-v1-edit",
    blocks={
        "num_res_blocks": [2, 2, 2],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "transformer_depth_middle": 10,
    },
    text=(
        TextEncoder(
            name="l",
            prefix="conditioner.embedders.0.transformer.",
            folder="text_encoder",
            shape=SD15.text[0].shape,
        ),
        TextEncoder(
            name="g",
            prefix="conditioner.embedders.1.model.",
            folder="text_encoder_2",
            shape={
                "hidden_size": 1280,
                "intermediate_size": 5120,
                "num_hidden_layers": 32,
                "max_position_embeddings": 77,
                "num_attention_heads": 20,
                "hidden_act": "gelu",
            },
            open_clip=True,
        ),
    ),
    resolution=1024,
    text_cfg=5.0,
    image_cfg=1.5,
    software="sgm",
    index={"force_zeros_for_empty_prompt": True, "is_cosxl_edit": False},
)
