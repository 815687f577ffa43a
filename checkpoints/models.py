"""Parts of a checkpoint -> ComfyUI's MODEL, CLIP and VAE.

Weights of full width go through core's own loaders. Core's detection knows no other widths, so
narrow models of the same layout (ip2p-mini) are put together here from the same core classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import comfy.cli_args
import comfy.latent_formats
import comfy.model_detection
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.model_patcher import ModelPatcher
from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer

from .files import CheckpointError, StateDict, parse_settings

SD1_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "max_position_embeddings": 77,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
}
ACTIVATIONS = ("quick_gelu", "gelu")


def build_model(
    unet: StateDict, metadata: dict[str, str], name: str, **options: Any
) -> ModelPatcher:
    """A MODEL from UNet weights in bare LDM names, after checking that they are all there.

    `options` are passed on to core where its version takes them (`disable_dynamic`).
    """
    config = detect(unet, name)
    core_knows_it = comfy.supported_models.SD15_instructpix2pix.matches(config.unet_config)
    if core_knows_it:
        load = comfy.sd.load_diffusion_model_state_dict
        return load(sd=dict(unet), metadata=metadata, **_accepted(load, options))

    management = comfy.model_management
    dtypes = list(config.supported_inference_dtypes)
    dtype = management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(unet),
        supported_dtypes=dtypes,
        weight_dtype=comfy.utils.weight_dtype(unet),
    )
    device, offload_device = management.get_torch_device(), management.unet_offload_device()
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, dtypes))
    model = config.get_model(unet, "", device=offload_device)
    colors = parse_settings(metadata.get("ip2p.architecture", "{}"), name).get("latent_rgb")
    if colors is not None:
        _show_in_colors(model.latent_format, colors, name)
    patcher_class = comfy.model_patcher.ModelPatcher
    if not options.get("disable_dynamic"):
        # Newer cores have one that streams weights; looked up late, as it is bound at start-up.
        patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", patcher_class)
    patcher = patcher_class(model, load_device=device, offload_device=offload_device)
    assign = {"assign": patcher.is_dynamic()} if hasattr(patcher, "is_dynamic") else {}
    model.load_model_weights(dict(unet), "", **_accepted(model.load_model_weights, assign))
    return patcher


def build_vae(vae: StateDict, name: str) -> comfy.sd.VAE:
    """A VAE from weights in bare LDM names. {} gives core's VAE that explains itself when used."""
    if "encoder.conv_in.weight" not in vae:
        return comfy.sd.VAE(sd=vae)
    try:
        params = _vae_params(vae)
        with torch.device("meta"):
            empty = AutoencoderKL(**params)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"{name}: the VAE in it is incomplete ({error}).") from error
    _check_complete(empty, vae, "VAE", name)
    if params["ddconfig"]["ch"] == 128 and params["ddconfig"]["ch_mult"] == [1, 2, 4, 4]:
        return comfy.sd.VAE(sd=vae)
    if len(params["ddconfig"]["ch_mult"]) != 4:
        raise CheckpointError(f"{name}: the VAE in it does not reduce pictures by 8.")
    return comfy.sd.VAE(sd=vae, config={"params": params})


def build_clip(
    text: StateDict,
    described: dict[str, Any],
    name: str,
    embedding_directory: list[str] | None,
    **options: Any,
) -> comfy.sd.CLIP | None:
    """A CLIP from text encoder weights (`text_model.*`), None if there are none, as core does.

    `described` gives what shapes cannot tell: `num_attention_heads` (else one for each 64 of the
    width, as all CLIPs have) and `hidden_act` (else quick_gelu).
    """
    if not text:
        return None
    shape = _text_shape(text, name)
    width = shape["hidden_size"]
    heads = described.get("num_attention_heads", max(1, width // 64))
    activation = described.get("hidden_act", "quick_gelu")
    if not isinstance(heads, int) or heads < 1 or width % heads or activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{name}: a text encoder of width {width} cannot have {heads!r} heads and the "
            f"activation {activation!r} (known: {', '.join(ACTIVATIONS)})."
        )
    config = {**shape, "num_attention_heads": heads, "hidden_act": activation}
    model_options = {"clip_l_model_config": config}
    empty = SD1ClipModel(device="meta", dtype=torch.float32, model_options=model_options)
    _check_complete(empty.clip_l.transformer, text, "text encoder", name)
    precision = _text_precision(text)
    if config == SD1_TEXT:
        load = comfy.sd.load_text_encoder_state_dicts
        return load(
            state_dicts=[text],
            embedding_directory=embedding_directory,
            clip_type=comfy.sd.CLIPType.STABLE_DIFFUSION,
            model_options=precision,
            **_accepted(load, options),
        )
    clip = comfy.sd.CLIP(
        target=comfy.supported_models_base.ClipTarget(SD1Tokenizer, SD1ClipModel),
        embedding_directory=embedding_directory,
        parameters=comfy.utils.calculate_parameters(text),
        model_options={**model_options, **precision},
        **_accepted(comfy.sd.CLIP.__init__, options),
    )
    clip.load_sd(text)
    return clip


def _text_precision(text: StateDict) -> dict[str, Any]:
    """Model options by which a text encoder on the CPU keeps float32 weights as they are.

    Core would store them in float16 and compute in float32: half the memory, three digits less,
    and no longer the picture of diffusers. A flag of the user's goes first.
    """
    chosen = any(
        getattr(comfy.cli_args.args, f"{name}_text_enc", False)
        for name in ("fp8_e4m3fn", "fp8_e5m2", "fp16", "bf16", "fp32")
    )
    on_cpu = comfy.model_management.is_device_cpu(comfy.model_management.text_encoder_device())
    if chosen or not on_cpu or comfy.utils.weight_dtype(text) != torch.float32:
        return {}
    return {"dtype": torch.float32}


def detect(unet: StateDict, name: str) -> comfy.supported_models.SD15_instructpix2pix:
    """The configuration of core's IP2P class at the width of these tensors, which are all there."""
    try:
        detected = comfy.model_detection.detect_unet_config(unet, "")
        config = comfy.supported_models.SD15_instructpix2pix(detected)
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "", device=torch.device("meta"))
    # A file can describe any network, and those refuse in many ways.
    except Exception as error:
        raise CheckpointError(f"{name}: the UNet in it is incomplete ({error}).") from error
    _check_complete(model.diffusion_model, unet, "UNet", name)
    return config


def _check_complete(empty: torch.nn.Module, tensors: StateDict, part: str, name: str) -> None:
    """Core leaves what is missing at random; a picture of noise is no way to say so."""
    # Core's text encoders have a projection that SD 1.x has not.
    wanted = {k: v.shape for k, v in empty.state_dict().items() if k != "text_projection.weight"}
    wrong = [k for k, shape in wanted.items() if k not in tensors or tensors[k].shape != shape]
    if wrong:
        raise CheckpointError(
            f"{name}: the {part} in it is incomplete: {len(wrong)} of {len(wanted)} tensors are "
            f"missing or of another shape, the first is {wrong[0]}."
        )


def _show_in_colors(
    latent_format: comfy.latent_formats.LatentFormat, colors: Any, name: str
) -> None:
    """Live previews in the colors of the model's own latents, which are no Stable Diffusion's."""
    try:
        table = torch.tensor(colors, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        table = torch.empty(0)
    if table.shape != (5, 3) or not table.isfinite().all():
        raise CheckpointError(f"{name}: its metadata has a latent_rgb that is no 5 x 3 numbers.")
    latent_format.latent_rgb_factors = table[:4].tolist()
    latent_format.latent_rgb_factors_bias = table[4].tolist()
    latent_format.taesd_decoder_name = None  # that one decodes Stable Diffusion's latents


def _accepted(function: Callable, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that this version's function takes."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


def _vae_params(vae: StateDict) -> dict[str, Any]:
    width = vae["encoder.conv_in.weight"].shape[0]
    levels = _count(vae, "encoder.down.{}.")
    channels = [vae[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)]
    latent = vae["decoder.conv_in.weight"].shape[1]
    return {
        "ddconfig": {
            "double_z": vae["encoder.conv_out.weight"].shape[0] == 2 * latent,
            "z_channels": latent,
            "resolution": 256,
            "in_channels": vae["encoder.conv_in.weight"].shape[1],
            "out_ch": vae["decoder.conv_out.weight"].shape[0],
            "ch": width,
            "ch_mult": [count // width for count in channels],
            "num_res_blocks": _count(vae, "encoder.down.0.block.{}."),
            "attn_resolutions": [],
            "dropout": 0.0,
        },
        "embed_dim": vae["post_quant_conv.weight"].shape[1],
    }


def _text_shape(text: StateDict, name: str) -> dict[str, int]:
    embeddings = "text_model.embeddings"
    try:
        return {
            "hidden_size": text[f"{embeddings}.token_embedding.weight"].shape[1],
            "intermediate_size": text["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": _count(text, "text_model.encoder.layers.{}."),
            "max_position_embeddings": text[f"{embeddings}.position_embedding.weight"].shape[0],
        }
    except KeyError as error:
        raise CheckpointError(f"{name}: the text encoder in it is incomplete ({error}).") from error


def _count(tensors: StateDict, pattern: str) -> int:
    return comfy.model_detection.count_blocks(tensors, pattern)
