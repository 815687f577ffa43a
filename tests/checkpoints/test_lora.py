"""A LoRA in any trainer's naming is on all of its modules: W + strength alpha/r B A."""

import json

import comfy.utils
import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.lora import load_lora
from instruct_pix2pix.checkpoints.merging import patched_weight

from .editors import FAMILIES

RANK = 4
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.2", "conv1")


@pytest.fixture(scope="module", params=FAMILIES)
def editor(request, tmp_path_factory):
    kind = FAMILIES[request.param]
    loaded = load_checkpoint(kind.write(tmp_path_factory.mktemp("editor")))
    return loaded, kind.pipeline(), kind.layout


def factors(network, ends=TARGETS):
    """B and A of each module of a diffusers network that ends so, by the module's name."""
    generator = torch.Generator().manual_seed(2)
    found = {}
    for name, weight in network.state_dict().items():
        module = name.removesuffix(".weight")
        if name != module and module.endswith(ends):
            size = (weight[0].numel() // weight.shape[1],) if weight.ndim == 4 else ()
            down = (RANK, weight.shape[1], *([round(size[0] ** 0.5)] * 2 if size else []))
            up = (weight.shape[0], RANK, *([1, 1] if size else []))
            a, b = (0.1 * torch.randn(shape, generator=generator) for shape in (down, up))
            found[module] = (b, a)
    assert len(found) > 20
    return found


def change(pair):
    b, a = pair
    return (b.flatten(1) @ a.flatten(1)).reshape(b.shape[0], *a.shape[1:])


NAMINGS = {
    "diffusers": lambda m: (f"unet.{m}.lora.down.weight", f"unet.{m}.lora.up.weight"),
    "peft in diffusers": lambda m: (f"unet.{m}.lora_A.weight", f"unet.{m}.lora_B.weight"),
    "peft with an adapter's name": lambda m: (
        *(f"unet.{m}.lora_A.default.weight", f"unet.{m}.lora_B.default.weight"),
    ),
    "peft": lambda m: (
        *(f"base_model.model.{m}.lora_A.weight", f"base_model.model.{m}.lora_B.weight"),
    ),
    "peft under unet": lambda m: (
        f"unet.base_model.model.{m}.lora_A.weight",
        f"unet.base_model.model.{m}.lora_B.weight",
    ),
    "kohya": lambda m: (
        f"lora_unet_{m.replace('.', '_')}.lora_down.weight",
        f"lora_unet_{m.replace('.', '_')}.lora_up.weight",
    ),
}


def written(folder, pairs, naming, metadata=None, name="lora.safetensors"):
    tensors = {}
    for module, (b, a) in pairs.items():
        down, up = NAMINGS[naming](module)
        tensors |= {down: a.contiguous(), up: b.contiguous()}
    safetensors.torch.save_file(tensors, folder / name, metadata=metadata)
    return folder / name


def weights_in(model, layout):
    """A loaded model's weights, patched, under diffusers' names."""
    names, parts = comfy.utils.unet_to_diffusers(layout), model.get_key_patches()

    def weight(module):
        key = f"diffusion_model.{names[module + '.weight']}"
        return patched_weight(key, parts[key])

    return weight


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_module_has_its_change(editor, tmp_path, naming):
    loaded, pipeline, layout = editor
    pairs = factors(pipeline.unet)
    patched, _ = load_lora(written(tmp_path, pairs, naming), loaded.model, None, 0.8, 0.0)
    assert len(patched.patches) == len(pairs) and not loaded.model.patches
    got, plain = weights_in(patched, layout), pipeline.unet.state_dict()
    for module, pair in pairs.items():
        wanted = plain[f"{module}.weight"] + 0.8 * change(pair)
        torch.testing.assert_close(got(module), wanted, atol=1e-5, rtol=0)


def test_the_network_is_diffusers_with_the_lora_fused(editor, tmp_path):
    """The prediction, against diffusers' own network with W + B A in place of W."""
    loaded, pipeline, layout = editor
    pairs = factors(pipeline.unet)
    path = written(tmp_path, pairs, "peft in diffusers")
    patched, _ = load_lora(path, loaded.model, None, 1.0, 0.0)
    latent = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    context = pipeline.unet.config.cross_attention_dim
    text = torch.randn(1, 77, context, generator=torch.Generator().manual_seed(2))
    time = torch.tensor([500.0])
    size, more = {}, {}
    if pipeline.unet.config.addition_embed_type:
        pooled = torch.randn(1, 64, generator=torch.Generator().manual_seed(3))
        ids = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]])
        size = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": ids}}
        adm = loaded.model.model.encode_adm
        more = {"y": adm(pooled_output=pooled, width=64, height=64, device="cpu")}
    with torch.no_grad():
        plain = pipeline.unet(latent, time, text, **size).sample
        for module, pair in pairs.items():
            pipeline.unet.get_submodule(module).weight += change(pair)
        expected = pipeline.unet(latent, time, text, **size).sample
        for module, pair in pairs.items():
            pipeline.unet.get_submodule(module).weight -= change(pair)
        patched.patch_model()
        got = patched.model.diffusion_model(latent, time, context=text, **more)
        patched.unpatch_model()
    span = float(expected.max() - expected.min())
    assert float((got - expected).abs().max()) < 1e-4 * span
    assert float((plain - expected).abs().max()) > 1e-2 * span


def test_the_text_encoders_part_is_loaded(editor, tmp_path):
    loaded, pipeline, _ = editor
    ends = ("q_proj", "v_proj", "fc1")
    tensors, wanted = {}, {}
    for folder in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipeline, folder, None)
        if encoder is None:
            continue
        for name, weight in encoder.state_dict().items():
            module = name.removesuffix(".weight").removeprefix("text_model.")
            if name.endswith(".weight") and module.endswith(ends):
                b, a = torch.randn(weight.shape[0], RANK), torch.randn(RANK, weight.shape[1])
                long = f"{folder}.text_model.{module}"
                tensors |= {f"{long}.lora_A.weight": a, f"{long}.lora_B.weight": b}
                which = next(
                    w
                    for w in "hgl"
                    if (w == "g") is (folder != "text_encoder")
                    and hasattr(loaded.clip.cond_stage_model, f"clip_{w}")
                )
                wanted[f"clip_{which}.transformer.text_model.{module}.weight"] = weight + b @ a
    path = tmp_path / "text.safetensors"
    safetensors.torch.save_file(tensors, path)
    _, clip = load_lora(path, loaded.model, loaded.clip, 1.0, 1.0)
    assert len(clip.patcher.patches) == len(wanted) > 5
    parts = clip.patcher.get_key_patches()
    for key, weight in wanted.items():
        torch.testing.assert_close(patched_weight(key, parts[key]), weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("place", ["metadata", "beside"])
def test_alpha_comes_from_where_the_trainer_put_it(editor, tmp_path, place):
    loaded, pipeline, layout = editor
    pairs = factors(pipeline.unet)
    if place == "metadata":
        settings = {"unet.lora_alpha": 2, "unet.r": RANK, "unet.alpha_pattern": {"conv1": 8}}
        metadata = {"lora_adapter_metadata": json.dumps(settings)}
        path = written(tmp_path, pairs, "peft in diffusers", metadata)
    else:
        settings = {"lora_alpha": 2, "r": RANK, "alpha_pattern": {"conv1": 8}}
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
        path = written(tmp_path, pairs, "peft", name="adapter_model.safetensors")
    patched, _ = load_lora(path, loaded.model, None, 1.0, 0.0)
    got, plain = weights_in(patched, layout), pipeline.unet.state_dict()
    for module, pair in pairs.items():
        alpha = 8 if module.endswith("conv1") else 2
        wanted = plain[f"{module}.weight"] + alpha / RANK * change(pair)
        torch.testing.assert_close(got(module), wanted, atol=1e-5, rtol=0)


def full(weight, generator):
    return {"diff": (d := 0.1 * torch.randn(weight.shape, generator=generator))}, weight + d


def loha(weight, generator):
    """W + alpha / r (A1 B1) * (A2 B2), element by element (arXiv:2108.06098)."""
    shapes = (weight.shape[0], RANK), (RANK, weight[0].numel())
    a1, b1, a2, b2 = (0.3 * torch.randn(s, generator=generator) for s in (*shapes, *shapes))
    factors = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2}
    made = 0.5 * ((a1 @ b1) * (a2 @ b2)).reshape(weight.shape)
    return {**factors, "alpha": torch.tensor(RANK / 2.0)}, weight + made


def lokr(weight, generator):
    """W + the Kronecker product of two matrices (LyCORIS, arXiv:2309.14859)."""
    w1 = 0.1 * torch.randn(4, 4, generator=generator)
    w2 = torch.randn(weight.shape[0] // 4, weight.shape[1] // 4, generator=generator)
    return {"lokr_w1": w1, "lokr_w2": w2}, weight + torch.kron(w1, w2)


def dora(weight, generator):
    """m (W + B A) / |W + B A|, the norm over each input's column (arXiv:2402.09353, eq. 5)."""
    b = 0.3 * torch.randn(weight.shape[0], RANK, generator=generator)
    a = 0.3 * torch.randn(RANK, weight.shape[1], generator=generator)
    changed = weight + b @ a
    size = 1 + torch.rand(1, weight.shape[1], generator=generator)
    tensors = {"lora_up.weight": b, "lora_down.weight": a, "dora_scale": size}
    return tensors, size * changed / changed.norm(dim=0, keepdim=True)


def oft(weight, generator):
    """Blocks of rows turned by the Cayley transform of skew matrices (arXiv:2306.07280)."""
    turns = 0.1 * torch.randn(4, weight.shape[0] // 4, weight.shape[0] // 4, generator=generator)
    skew, eye = turns - turns.transpose(1, 2), torch.eye(weight.shape[0] // 4)
    rotations = (eye + skew) @ torch.linalg.inv(eye - skew)
    blocks = weight.reshape(4, -1, weight.shape[1])
    turned = torch.einsum("knm,kni->kmi", rotations, blocks)
    return {"oft_blocks": turns}, turned.reshape(weight.shape)


@pytest.mark.parametrize("adapter", [full, loha, lokr, dora, oft])
def test_every_kind_of_adapter_has_its_formula(editor, tmp_path, adapter):
    loaded, pipeline, layout = editor
    generator = torch.Generator().manual_seed(3)
    tensors, wanted = {}, {}
    for name, weight in pipeline.unet.state_dict().items():
        module = name.removesuffix(".weight")
        if name != module and module.endswith((".to_q", ".to_k", ".to_v")):
            made, wanted[module] = adapter(weight, generator)
            known = f"lora_unet_{module.replace('.', '_')}"
            tensors |= {f"{known}.{ending}": tensor for ending, tensor in made.items()}
    path = tmp_path / "adapter.safetensors"
    safetensors.torch.save_file(tensors, path)
    patched, _ = load_lora(path, loaded.model, None, 1.0, 0.0)
    assert len(patched.patches) == len(wanted) > 5
    got = weights_in(patched, layout)
    for module, weight in wanted.items():
        torch.testing.assert_close(got(module), weight, atol=1e-5, rtol=1e-5)


def test_what_fits_nothing_is_refused(editor, tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"transformer.x.lora_A.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(CheckpointError, match="^other.safetensors: nothing in this file fits"):
        load_lora(path, editor[0].model, None, 1.0, 1.0)


def test_a_lora_of_a_wider_model_is_refused(editor, tmp_path):
    """Its names fit; core would leave out each layer with a line in the log."""
    loaded, pipeline, _ = editor
    wider = {
        module: (torch.cat([b, b]), torch.cat([a, a], 1))
        for module, (b, a) in factors(pipeline.unet).items()
    }
    path = written(tmp_path, wider, "kohya")
    with pytest.raises(CheckpointError, match="lora.safetensors: its layers .* other sizes"):
        load_lora(path, loaded.model, None, 1.0, 0.0)
