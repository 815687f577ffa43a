"""Parts of a checkpoint -> ComfyUI's MODEL, CLIP and VAE.

Weights of full width go through core's own loaders. Core's detection knows no other widths, so
narrow models of the same layout (ip2p-mini) are put together here from the same core classes. What
differs between families is in `families/`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.cli_args
import comfy.latent_formats
import comfy.model_base
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

from .core_class import core_class
from .families import Family
from .files import CheckpointError, StateDict
from .layouts import ARCHITECTURE_TENSOR, Parts
from .words import WarningTokenizer

ACTIVATIONS = ("quick_gelu", "gelu")


def build_model(parts: Parts, name: str, **options: Any) -> ModelPatcher:
    """A MODEL from a checkpoint's UNet, after checking that it is all there.

    `options` are passed on to core where its version takes them (`disable_dynamic`).
    """
    config = detect(parts.family, parts.unet, name)
    if type(config) in comfy.supported_models.models and config.matches(config.unet_config):
        load = comfy.sd.load_diffusion_model_state_dict
        tensors = {**parts.unet, **parts.sampling}
        patcher = load(sd=tensors, metadata=parts.metadata, **_accepted(load, options))
    else:
        patcher = _build_narrow(config, parts, name, options)
    _sample_by_velocity(patcher, parts)
    if parts.architecture:
        text = json.dumps(parts.architecture).encode()
        network = patcher.model.diffusion_model
        network.register_buffer(ARCHITECTURE_TENSOR, torch.tensor(list(text), dtype=torch.uint8))
    return patcher


def architecture_of(patcher: ModelPatcher) -> dict[str, Any]:
    """What the file of a model told beside its shapes; {} for one that told nothing."""
    described = getattr(patcher.model.diffusion_model, ARCHITECTURE_TENSOR, None)
    told: dict[str, Any] = json.loads(bytes(described.tolist())) if described is not None else {}
    return told


def build_vae(vae: StateDict, name: str) -> comfy.sd.VAE:
    """A VAE from weights in bare LDM names. {} gives core's VAE that explains itself when used."""
    if "encoder.conv_in.weight" not in vae:
        return comfy.sd.VAE(sd=vae)
    try:
        params = vae_params(vae)
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
    parts: Parts, name: str, embedding_directory: list[str] | None, **options: Any
) -> comfy.sd.CLIP | None:
    """A CLIP from the text encoders of a checkpoint, None if there are none, as core does.

    `parts.text_configs` give what shapes cannot tell: `num_attention_heads` (else one for each 64
    of the width, as all CLIPs have) and `hidden_act` (else the real one's).
    """
    if not any(parts.text):
        return None
    configs = text_configs(parts, name)
    target = core_class(parts.family)({}).clip_target({})
    shapes: dict[str, Any] = {f"clip_{w}_model_config": config for w, config in configs.items()}
    if len(configs) == 1:  # under this name one alone looks for its shape
        shapes["model_name"] = f"clip_{next(iter(configs))}"
    empty = target.clip(device="meta", dtype=torch.float32, model_options=dict(shapes))
    for which, text in zip(configs, parts.text, strict=True):
        encoder = getattr(empty, f"clip_{which}").transformer
        _check_complete(encoder, text, "text encoder", name, optional=which != "g")
    precision = _text_precision(parts.text)
    texts = [_projected(text) for text in parts.text]
    if list(configs.values()) == [encoder.shape for encoder in parts.family.text]:
        load = comfy.sd.load_text_encoder_state_dicts
        return load(
            state_dicts=texts,
            embedding_directory=embedding_directory,
            clip_type=comfy.sd.CLIPType.STABLE_DIFFUSION,
            model_options=precision,
            **_accepted(load, options),
        )
    table = texts[0]["text_model.embeddings.token_embedding.weight"]
    clip = comfy.sd.CLIP(
        target=target,
        embedding_directory=embedding_directory,
        tokenizer_data={"clip_l_tokenizer_class": partial(WarningTokenizer, table)},
        parameters=sum(comfy.utils.calculate_parameters(text) for text in texts),
        model_options={**shapes, **precision},
        **_accepted(comfy.sd.CLIP.__init__, options),
    )
    for which, text in zip(configs, texts, strict=True):
        getattr(clip.cond_stage_model, f"clip_{which}").load_sd(text)
    return clip


def detect(family: Family, unet: StateDict, name: str) -> comfy.supported_models_base.BASE:
    """The configuration of core's class at the width of these tensors, which are all there."""
    try:
        detected = comfy.model_detection.detect_unet_config(unet, "")
        config = core_class(family)(detected)
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "", device=torch.device("meta"))
    # A file can describe any network, and those refuse in many ways.
    except Exception as error:
        raise CheckpointError(f"{name}: the UNet in it is incomplete ({error}).") from error
    _check_complete(model.diffusion_model, unet, "UNet", name)
    return config


def _build_narrow(
    config: comfy.supported_models_base.BASE, parts: Parts, name: str, options: dict[str, Any]
) -> ModelPatcher:
    """What core's loader does, for a width that its detection does not know."""
    unet = unscaled(parts.unet)
    management = comfy.model_management
    dtypes = list(config.supported_inference_dtypes)
    dtype = management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(unet),
        supported_dtypes=dtypes,
        weight_dtype=comfy.utils.weight_dtype(unet),
    )
    device, offload_device = management.get_torch_device(), management.unet_offload_device()
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, dtypes))
    model = config.get_model({**unet, **parts.sampling}, "", device=offload_device)
    colors = parts.architecture.get("latent_rgb")
    if colors is not None:
        _show_in_colors(model.latent_format, colors, name)
    patcher_class = comfy.model_patcher.ModelPatcher
    if not options.get("disable_dynamic"):
        # Newer cores have one that streams weights; looked up late, as it is bound at start-up.
        patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", patcher_class)
    patcher = patcher_class(model, load_device=device, offload_device=offload_device)
    assign = {"assign": patcher.is_dynamic()} if hasattr(patcher, "is_dynamic") else {}
    model.load_model_weights(unet, "", **_accepted(model.load_model_weights, assign))
    return patcher


def _sample_by_velocity(patcher: ModelPatcher, parts: Parts) -> None:
    """Follows `v_pred` for a family whose class in core always predicts noise."""
    velocity = comfy.model_base.ModelType.V_PREDICTION
    if "v_pred" not in parts.sampling or patcher.model.model_type is velocity:
        return
    config = patcher.model.model_config
    config.sampling_settings["zsnr"] = "ztsnr" in parts.sampling
    patcher.model.model_type = velocity
    patcher.model.model_sampling = comfy.model_base.model_sampling(config, velocity)


def unscaled(unet: StateDict) -> StateDict:
    """Weights in scaled fp8 as their numbers are; others as they came."""
    scale = ".scale_weight"
    scaled = {key.removesuffix(scale) for key in unet if key.endswith(scale)}
    bare = {
        key: tensor
        for key, tensor in unet.items()
        if key != "scaled_fp8" and not key.endswith((scale, ".scale_input"))
    }
    for module in scaled:
        weight = bare[f"{module}.weight"]
        bare[f"{module}.weight"] = weight.float() * unet[module + scale].float()
    return bare


def text_configs(parts: Parts, name: str) -> dict[str, dict[str, Any]]:
    """The settings of each text encoder: from its shapes, the rest from the file."""
    configs = {}
    described = (*parts.text_configs, *({},) * len(parts.text))
    for encoder, text, said in zip(parts.family.text, parts.text, described, strict=False):
        shape = _text_shape(text, name)
        width = shape["hidden_size"]
        heads = said.get("num_attention_heads", max(1, width // 64))
        activation = said.get("hidden_act", encoder.shape["hidden_act"])
        possible = isinstance(heads, int) and heads > 0 and width % heads == 0
        if not possible or activation not in ACTIVATIONS:
            raise CheckpointError(
                f"{name}: a text encoder of width {width} cannot have {heads!r} heads and the "
                f"activation {activation!r} (known: {', '.join(ACTIVATIONS)})."
            )
        configs[encoder.name] = {**shape, "num_attention_heads": heads, "hidden_act": activation}
    return configs


def _projected(text: StateDict) -> StateDict:
    """A text encoder with a projection, the identity where the file has none.

    Core has one in every encoder and reads it in some; what is missing would be at random there.
    """
    table = text["text_model.embeddings.token_embedding.weight"]
    identity = torch.eye(table.shape[1], dtype=table.dtype)
    return {"text_projection.weight": identity, **text}


def _text_precision(texts: tuple[StateDict, ...]) -> dict[str, Any]:
    """Model options by which a text encoder on the CPU keeps float32 weights as they are.

    Core would store them in float16 and compute in float32: half the memory, three digits less,
    and no longer the picture of diffusers. A flag of the user's goes first.
    """
    chosen = any(
        getattr(comfy.cli_args.args, f"{name}_text_enc", False)
        for name in ("fp8_e4m3fn", "fp8_e5m2", "fp16", "bf16", "fp32")
    )
    on_cpu = comfy.model_management.is_device_cpu(comfy.model_management.text_encoder_device())
    if (
        chosen
        or not on_cpu
        or any(comfy.utils.weight_dtype(text) != torch.float32 for text in texts)
    ):
        return {}
    return {"dtype": torch.float32}


def _check_complete(
    empty: torch.nn.Module, tensors: StateDict, part: str, name: str, optional: bool = False
) -> None:
    """Core leaves what is missing at random, and the picture is noise without a word.

    optional  whether `text_projection.weight` may be missing: core's encoders have one, files of
              CLIP-L and diffusers folders none
    """
    wanted = {k: v.shape for k, v in empty.state_dict().items()}
    if optional:
        wanted.pop("text_projection.weight", None)
    wrong = [k for k, shape in wanted.items() if k not in tensors or tensors[k].shape != shape]
    if wrong:
        raise CheckpointError(
            f"{name}: the {part} in it is incomplete: {len(wrong)} of {len(wanted)} tensors are "
            f"missing or of another shape, the first is {wrong[0]}."
        )


def _show_in_colors(
    latent_format: comfy.latent_formats.LatentFormat, colors: Any, name: str
) -> None:
    """Live previews in the colors of the model's own latents, not those of Stable Diffusion."""
    try:
        table = torch.tensor(colors, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        table = torch.empty(0)
    if table.shape != (5, 3) or not table.isfinite().all():
        raise CheckpointError(f"{name}: its metadata has a latent_rgb that is not 5 x 3 numbers.")
    latent_format.latent_rgb_factors = table[:4].tolist()
    latent_format.latent_rgb_factors_bias = table[4].tolist()
    latent_format.taesd_decoder_name = None  # that one decodes Stable Diffusion's latents


def _accepted(function: Callable, options: dict[str, Any]) -> dict[str, Any]:
    """The options that this version's function takes."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


def vae_params(vae: StateDict) -> dict[str, Any]:
    """The settings of core's AutoencoderKL for these weights."""
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
