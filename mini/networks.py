"""The three networks of ip2p-mini as the trainer builds them: SD 1.x layout, narrow width."""

from diffusers import AutoencoderKL

# Pixels on a side of the training pictures; the latent is an eighth of it.
RESOLUTION = 128

# What ComfyUI's first stage is built from. Two channels to a group norm's group and more:
# with one, the norm would take the mean of every channel away and flat colors with it.
VAE_DDCONFIG = {
    "double_z": True,
    "z_channels": 4,
    "resolution": RESOLUTION,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 64,
    "ch_mult": [1, 1, 1, 1],
    "num_res_blocks": 0,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def build_vae() -> AutoencoderKL:
    widths = [VAE_DDCONFIG["ch"] * m for m in VAE_DDCONFIG["ch_mult"]]
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        block_out_channels=widths,
        layers_per_block=VAE_DDCONFIG["num_res_blocks"],
        latent_channels=VAE_DDCONFIG["z_channels"],
        sample_size=RESOLUTION,
    )
