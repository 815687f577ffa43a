"""What people plug into a model acts on an editor of each family as in ComfyUI's own graph."""

from types import SimpleNamespace

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy_extras.nodes_post_processing  # noqa: F401  (first, see samplers/graph.py)
import node_helpers
import numpy as np
import pytest
import safetensors.torch
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_custom_sampler import (
    DualCFGGuider,
)
from comfy_extras.nodes_hypernetwork import load_hypernetwork_patch
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
from instruct_pix2pix.checkpoints.core_class import core_class
from instruct_pix2pix.checkpoints.families import FAMILIES as KNOWN
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.lora import load_lora
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction

from ..browser.stand_ins import controlnet, lora
from ..checkpoints.editors import FAMILIES
from ..checkpoints.factory import UNET
from ..samplers.graph import sampled

SAMPLING = {"seed": 5, "steps": 2, "scheduler": "normal", "denoise": 1.0, "numerics": "comfyui"}


@pytest.fixture(scope="module", params=FAMILIES)
def editor(request, tmp_path_factory):
    """One editor, its weights, an edit by our node and the same by core's."""
    kind, folder = FAMILIES[request.param], tmp_path_factory.mktemp(request.param)
    embeddings = folder / "embeddings"
    embeddings.mkdir()
    loaded = load_checkpoint(kind.write(folder), embedding_directory=[str(embeddings)])
    weights = kind.named(kind.pipeline())
    unet = {k.removeprefix(UNET): v for k, v in weights.items() if k.startswith(UNET)}
    texts = IP2PEncodeInstruction.execute(loaded.clip, "make it snow", "", "plain").args
    source = {"samples": 5.5 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))}
    picture = {"concat_latent_image": source["samples"]}

    def edit(model, conds=texts, text_cfg=7.5, image_cfg=1.5, sampler_name="euler", **changes):
        scales = {"text_cfg": text_cfg, "image_cfg": image_cfg, "sampler_name": sampler_name}
        return IP2PKSampler.execute(model, *conds, source, **SAMPLING | scales | changes)[0][
            "samples"
        ]

    def core(model, conds=texts):
        wanted, unwanted = (node_helpers.conditioning_set_values(c, picture) for c in conds)
        guider = DualCFGGuider.execute(model, wanted, unwanted, conds[1], 7.5, 1.5, "regular")[0]
        return sampled(model, guider, source, steps=2)

    def plain(model, cfg, sampler_name="euler", scheduler="normal"):
        """Core's KSampler with the picture in both: dual guidance at image_cfg 1."""
        wanted, unwanted = (node_helpers.conditioning_set_values(c, picture) for c in texts)
        start = torch.zeros_like(source["samples"])
        noise = comfy.sample.prepare_noise(start, 5)
        return comfy.sample.sample(
            model, noise, 2, cfg, sampler_name, scheduler, wanted, unwanted, start, seed=5
        )

    return SimpleNamespace(
        name=request.param,
        kind=kind,
        loaded=loaded,
        model=loaded.model,
        unet=unet,
        texts=texts,
        embeddings=embeddings,
        edit=edit,
        core=core,
        plain=plain,
        before=edit(loaded.model),
    )


def acts(editor, model, conds=None):
    """The edit differs from the one without, and equals that of core's graph to the bit."""
    conds = conds or editor.texts
    got = editor.edit(model, conds)
    assert torch.equal(got, editor.core(model, conds))
    assert float((got - editor.before).abs().max()) > 1e-3
    return got


def test_a_lora(editor, tmp_path):
    safetensors.torch.save_file(lora(editor.unet), tmp_path / "lora.safetensors")
    patched = [
        load_lora(tmp_path / "lora.safetensors", editor.model, None, strength, 0.0)[0]
        for strength in (1.0, 0.0)
    ]
    acts(editor, patched[0])
    assert torch.equal(editor.edit(patched[1]), editor.before)


def test_a_controlnet(editor):
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    control = control_network(editor).set_cond_hint(hint, 0.8, (0.0, 1.0))
    said = {"control": control, "control_apply_to_uncond": False}
    conds = [node_helpers.conditioning_set_values(each, said) for each in editor.texts]
    acts(editor, editor.model, conds)


def control_network(editor):
    """Core's ControlNet at the editor's width, which core's own detection does not know."""
    sizes = {k: v for k, v in editor.unet.items() if k.startswith("label_emb.")}
    weights, cpu = controlnet(editor.unet) | sizes, torch.device("cpu")
    shape = {**editor.model.model.model_config.unet_config, "in_channels": 4, "hint_channels": 3}
    shape.pop("out_channels")
    shape |= {"operations": comfy.ops.manual_cast, "dtype": torch.float32}
    network = comfy.cldm.cldm.ControlNet(**shape)
    network.load_state_dict(weights)
    return comfy.controlnet.ControlNet(network, load_device=cpu)


def test_a_hypernetwork(editor, tmp_path):
    generator = torch.Generator().manual_seed(2)
    width = editor.texts[0][0][0].shape[-1]

    def layer():
        return {
            f"linear.{n}.{part}": 0.2 * torch.randn(size, generator=generator)
            for n in (0, 1)
            for part, size in (("weight", (width, width)), ("bias", (width,)))
        }

    content = {width: [layer(), layer()], "activation_func": "linear", "is_layer_norm": False}
    content |= {"activate_output": False, "use_dropout": False, "last_layer_dropout": False}
    torch.save(content, tmp_path / "style.pt")
    patched = []
    for strength in (1.0, 0.0):
        patch = load_hypernetwork_patch(str(tmp_path / "style.pt"), strength)
        model = editor.model.clone()
        model.set_model_attn1_patch(patch)
        model.set_model_attn2_patch(patch)
        patched.append(model)
    acts(editor, patched[0])
    assert torch.equal(editor.edit(patched[1]), editor.before)


class Adapter:
    """IP-Adapter's second attention, to a picture's tokens (arXiv:2308.06721, eq. 5).

    As its node packs write it: for each branch it looks up, by the number that plain CFG has for
    it, the tokens of the picture (0) or those of no picture (1).
    """

    def __init__(self, width, seed=4):
        self.tokens = torch.randn(2, 4, width, generator=torch.Generator().manual_seed(seed))
        self.seen = set()

    def __call__(self, q, k, v, options):
        numbers = options["cond_or_uncond"]
        self.seen.update(numbers)
        heads, repeats = options["n_heads"], len(q) // len(numbers)
        tokens = torch.cat([self.tokens[[n] * repeats] for n in numbers])
        tokens = tokens[..., : q.shape[-1]].to(q)
        tokens = torch.nn.functional.pad(tokens, (0, q.shape[-1] - tokens.shape[-1]))
        return optimized_attention(q, k, v, heads) + optimized_attention(q, tokens, tokens, heads)


def with_adapter(editor):
    model, adapter = editor.model.clone(), Adapter(64)
    for block in ("input", "output"):
        for number in range(12):
            for depth in range(2):
                model.set_model_attn2_replace(adapter, block, number, depth)
    return model, adapter


def test_an_ip_adapter(editor):
    """It is told of a picture and of none, whatever the scales; core's graph numbers a third."""
    model, adapter = with_adapter(editor)
    got = editor.edit(model, text_cfg=3.0, image_cfg=1.0)
    expected = editor.plain(model, 3.0)
    span = float(expected.max() - expected.min())
    assert float((got - expected).abs().max()) < 1e-5 * span
    both = editor.edit(model)
    assert float((both - editor.before).abs().max()) > 1e-3
    assert adapter.seen == {0, 1}


class Q8(comfy.ops.manual_cast):
    """Linear layers in GGUF's Q8_0: 32 numbers of 8 bits to one scale, unpacked when used."""

    class Linear(comfy.ops.manual_cast.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            weight = state_dict[f"{prefix}weight"]
            self.shape, (self.codes, self.scales) = weight.shape, packed(weight)
            super()._load_from_state_dict(state_dict, prefix, *rest)
            with torch.no_grad():
                self.weight.fill_(torch.nan)  # shows that it is not used

        def forward(self, x):
            weight = unpacked(self.codes, self.scales, self.shape)
            return torch.nn.functional.linear(x, weight, self.bias)


def packed(weight):
    blocks = weight.reshape(-1, 32)
    scales = (blocks.abs().amax(1, keepdim=True) / 127).half()
    return torch.round(blocks / scales.float().clamp(min=1e-12)).to(torch.int8), scales


def unpacked(codes, scales, shape):
    return (codes.float() * scales.float()).reshape(shape)


def built(editor, unet, operations):
    """The model as GGUF loaders have core build it: with their operations."""
    known = next(family for family in KNOWN if isinstance_of(editor, family))
    config = core_class(known)(dict(editor.model.model.model_config.unet_config))
    config.set_inference_dtype(torch.float32, None)
    config.custom_operations = operations
    sampling = {
        "edm_vpred.sigma_max": torch.tensor(120.0),
        "edm_vpred.sigma_min": torch.tensor(0.002),
    }
    model = config.get_model({**unet, **(sampling if editor.name == "cosxl" else {})}, "")
    model.load_model_weights(dict(unet), "")
    cpu = torch.device("cpu")
    return ModelPatcher(model, load_device=cpu, offload_device=cpu)


def isinstance_of(editor, family):
    return isinstance(editor.model.model.model_config, core_class(family))


def test_quantised_operations(editor):
    """As GGUF's: equal to the bit to the same model of the unpacked numbers."""
    names = set()
    quantised = built(editor, editor.unet, Q8)
    for name, module in quantised.model.diffusion_model.named_modules():
        if isinstance(module, Q8.Linear):
            names.add(f"{name}.weight")
    assert len(names) > 20
    rounded = {
        k: unpacked(*packed(v), v.shape) if k in names else v for k, v in editor.unet.items()
    }
    got = editor.edit(quantised)
    assert torch.equal(got, editor.edit(built(editor, rounded, comfy.ops.manual_cast)))
    assert torch.equal(got, editor.core(quantised))
    assert 0 < float((got - editor.before).abs().max()) < 0.1 * float(editor.before.abs().max())


@pytest.mark.parametrize(
    ("sampler_name", "scheduler", "patch"),
    [("lcm", "sgm_uniform", True), ("euler", "sgm_uniform", False)],
    ids=["LCM", "Hyper-SD"],
)
def test_few_step_recipes_at_scales_of_one(editor, sampler_name, scheduler, patch):
    """One evaluation a step, equal to core's KSampler at cfg 1."""
    model = editor.model.clone()
    if patch and editor.name != "cosxl":  # which has noise levels of its own
        model = ModelSamplingDiscrete().patch(model, "lcm", False)[0]
    evaluated = []

    def count(apply, options):
        evaluated.append(len(options["input"]))
        return apply(options["input"], options["timestep"], **options["c"])

    model.set_model_unet_function_wrapper(count)
    got = editor.edit(
        model, text_cfg=1.0, image_cfg=1.0, sampler_name=sampler_name, scheduler=scheduler
    )
    assert evaluated == [1, 1]
    assert torch.equal(got, editor.plain(model, 1.0, sampler_name, scheduler))


@pytest.mark.parametrize("syntax", ["plain", "weighted"])
def test_a_textual_inversion(editor, syntax):
    """`embedding:name` is diffusers' pipeline with the inversion loaded into its encoders."""
    pipeline = editor.kind.pipeline()
    encoders = [("clip_l", pipeline.text_encoder, pipeline.tokenizer)]
    if editor.name in ("sdxl", "cosxl"):
        encoders.append(("clip_g", pipeline.text_encoder_2, pipeline.tokenizer_2))
    generator, file = torch.Generator().manual_seed(6), {}
    for name, encoder, tokenizer in encoders:
        table = encoder.get_input_embeddings().weight
        file[name] = table.std() * torch.randn(2, table.shape[1], generator=generator)
        pipeline.load_textual_inversion(
            file[name], token="<mine>", text_encoder=encoder, tokenizer=tokenizer
        )
    if len(file) == 1:
        file = {"emb_params": file["clip_l"]}
    safetensors.torch.save_file(file, editor.embeddings / "mine.safetensors")
    with torch.no_grad():
        if "emb_params" in file:
            expected = pipeline._encode_prompt("make it <mine> snow", "cpu", 1, False)
        else:
            expected = pipeline.encode_prompt(
                "make it <mine> snow", do_classifier_free_guidance=False
            )[0]
    clip = editor.loaded.clip
    got, without = (
        IP2PEncodeInstruction.execute(clip, text, "", syntax).args[0][0][0]
        for text in ("make it embedding:mine snow", "make it snow")
    )
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)  # fp32 in another order
    assert np.abs((got - without).numpy()).max() > 1e-2
