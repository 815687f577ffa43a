"""Writes workflows/api/, the prompt of each template: python -m ...tests.browser.twins

Each is the prompt of `ip2p edit` with what its template shows besides. `weather.json` is a plain
one for scripts and has no template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from instruct_pix2pix.edits.prompt import PLAIN_GUIDANCE, Node, Prompt, edit_prompt, node
from instruct_pix2pix.edits.settings import BUILT_IN_SCALES, DISTILLED, TEXT_TO_IMAGE, defaults_of

API = Path(__file__).resolve().parents[2] / "workflows" / "api"
# What suits the built-in model.
TEXT_CFG, IMAGE_CFG = BUILT_IN_SCALES["text_cfg"], BUILT_IN_SCALES["image_cfg"]
# Of a whole view, at which its house, road and boat stay as they are.
VIEW_IMAGE_CFG = 2.0
CHECKPOINT = "instruct-pix2pix-00-22000.safetensors"
EXAMPLE = "example (built-in)"  # as IP2PLoadPairs calls the bundled pairs
# An ordinary model with a look of its own, and the model that it was trained from.
STYLE, BASE = "DreamShaper_8_pruned.safetensors", "v1-5-pruned-emaonly-fp16.safetensors"
NEUTRAL = PLAIN_GUIDANCE | {"reuse": "off", "image_every": 4, "text_every": 1}


def edit(slug: str, picture: str, instruction: str, **settings: Any) -> Prompt:
    """The prompt of `ip2p edit`, with every input that the editor sends."""
    prompt = edit_prompt(f"ip2p-{picture}.png", instruction, prefix=f"ip2p/{slug}", **settings)
    prompt["instruction"]["inputs"]["empty_negative"] = "words"
    return prompt


def plain(slug: str, picture: str, instruction: str, **settings: Any) -> Prompt:
    """The edit of a whole picture."""
    scales = {"text_cfg": TEXT_CFG, "image_cfg": IMAGE_CFG}
    return edit(slug, picture, instruction, **scales | settings)


def view(slug: str, picture: str, instruction: str, **settings: Any) -> Prompt:
    """The edit of a whole view."""
    return plain(slug, picture, instruction, **{"image_cfg": VIEW_IMAGE_CFG} | settings)


def find_region(prompt: Prompt, grow: int = 4, threshold: float = 0.5, feather: int = 4) -> Prompt:
    """The prompt with one node more: what is outside of the found region stays the original."""
    inputs = {name: ["instruction", i] for i, name in enumerate(("instruction", "negative"))}
    prompt["region"] = node(
        "Find the region",
        "IP2PEditMask",
        model=["model", 0],
        **inputs,
        source=["encode", 0],
        frame=["encode", 1],
        seed=0,
        method="relevance",
        noise_level=0.8,
        draws=4,
        threshold=threshold,
        grow=grow,
        blur=0,
    )
    prompt["restore"]["inputs"] |= {"mask": ["region", 0], "feather": feather}
    return prompt


def local(
    slug: str,
    picture: str,
    instruction: str,
    grow: int = 4,
    threshold: float = 0.5,
    **settings: Any,
) -> Prompt:
    """An edit that keeps all outside of the region that the model finds."""
    return find_region(plain(slug, picture, instruction, **settings), grow, threshold)


def with_preset(prompt: Prompt, preset: str, value: str, subject: str = "") -> Prompt:
    """The prompt with its sentence from IP2PPreset; the scales stay the sampler's."""
    prompt["preset"] = node("Preset", "IP2PPreset", preset=preset, value=value, subject=subject)
    prompt["instruction"]["inputs"]["instruction"] = ["preset", 0]
    return prompt


def only_what_was_asked() -> Prompt:
    """The region is found in the whole picture, and then the model itself is kept to it."""
    prompt = local("edit-only-what-was-asked", "beach", "make her hair blue")
    prompt["whole"] = {**prompt["encode"], "_meta": {"title": "Encode source, whole"}}
    prompt["region"]["inputs"] |= {"source": ["whole", 0], "frame": ["whole", 1]}
    inputs = {**prompt["encode"]["inputs"], "mask": ["region", 0]}
    prompt["encode"] = node("Encode source, region", "IP2PEncodeSource", **inputs)
    del prompt["restore"]["inputs"]["mask"]
    prompt["heat"] = node("Where the model looks", "PreviewImage", images=["region", 1])
    return prompt


def masked(prompt: Prompt, **encode: Any) -> Prompt:
    """The prompt with the mask of its own picture, as the mask editor leaves it."""
    prompt["encode"]["inputs"] |= {"mask": ["source", 1], **encode}
    prompt["restore"]["inputs"]["feather"] = 4
    return prompt


def several_seeds() -> Prompt:
    prompt = plain("several-seeds-at-once", "hoodie", "change the background to a beach")
    prompt["many"] = node("How many", "RepeatLatentBatch", samples=["encode", 0], amount=4)
    prompt["sampler"]["inputs"]["source"] = ["many", 0]
    return prompt


def compare_guidance() -> Prompt:
    """The same edit at a high scale, plain and with its push held back."""
    prompt = plain("compare-guidance", "beach", "make her hair blue", text_cfg=15.0)
    guidance = NEUTRAL | {"text_end": 0.5}
    prompt["guidance"] = node("Guidance", "IP2PGuidance", **guidance)
    sampler = {**prompt["sampler"]["inputs"], "guidance": ["guidance", 0]}
    prompt["held"] = node("Sampler, with guidance", "IP2PKSampler", **sampler)
    prompt["both"] = node("Both", "LatentBatch", samples1=["sampler", 0], samples2=["held", 0])
    prompt["decode"]["inputs"]["samples"] = ["both", 0]
    prompt["sampler"]["_meta"]["title"] = "Sampler, plain"
    return prompt


def one_evaluation() -> Prompt:
    """The same edit at the usual scales, and with the LoRA that has learnt them."""
    usual = defaults_of("text_cfg", "image_cfg")
    prompt = plain("one-evaluation-a-step", "dress", "make her hair blonde", **usual)
    strengths = {"strength_model": 1.0, "strength_clip": 1.0}
    prompt["lora"] = node(
        "LoRA", "IP2PLoadLora", model=["model", 0], lora_name=DISTILLED, **strengths
    )
    alone = {"model": ["lora", 0], "text_cfg": 1.0, "image_cfg": 1.0}
    sampler = {**prompt["sampler"]["inputs"], **alone}
    prompt["distilled"] = node("Sampler, distilled", "IP2PKSampler", **sampler)
    prompt["both"] = node("Both", "LatentBatch", samples1=["sampler", 0], samples2=["distilled", 0])
    prompt["decode"]["inputs"]["samples"] = ["both", 0]
    prompt["sampler"]["_meta"]["title"] = "Sampler, exact"
    return prompt


def shared(sampler: Node, *left_out: str) -> dict[str, Any]:
    """The inputs of a sampler node that another kind of it has, too."""
    return {name: value for name, value in sampler["inputs"].items() if name not in left_out}


def guidance_grid() -> Prompt:
    prompt = plain("guidance-grid", "lake", "make it a sunset")
    inputs = shared(prompt["sampler"], "text_cfg", "image_cfg")
    lists = {"text_cfgs": "0.5, 2, 15", "image_cfgs": "1, 1.5, 3", "vae": ["model", 2]}
    prompt["sampler"] = node("Grid", "IP2PGuidanceGrid", **inputs, **lists)
    prompt["result"]["inputs"]["images"] = ["sampler", 1]
    del prompt["decode"], prompt["restore"]
    return prompt


def auto_tune() -> Prompt:
    prompt = local("auto-tune-the-two-scales", "raincoat", "make her hair pink")
    inputs = shared(prompt["sampler"], "text_cfg", "image_cfg")
    tries = {"vae": ["model", 2], "keep": 0.5, "probes": 9, "seeds": 2}
    prompt["sampler"] = node("Auto guidance", "IP2PAutoGuidance", **inputs, **tries)
    prompt["report"] = node("Report", "PreviewAny", source=["sampler", 4], preview="")
    return prompt


def edit_in_turns() -> Prompt:
    prompt = plain("edit-in-turns", "long", "none")
    inputs = shared(prompt["sampler"], "instruction", "negative")
    lines = "make her hair pink\nput on a red leather jacket\nput a straw hat on her"
    turns = {"clip": ["model", 1], "instructions": lines, "mask_each": True}
    prompt["sampler"] = node("Turns", "IP2PEditChain", **inputs, **turns)
    del prompt["instruction"]
    return prompt


def make_pairs() -> Prompt:
    """Pairs of pictures from two captions, by the built-in model that draws."""
    choice = {"checkpoint": TEXT_TO_IMAGE, "weights": "auto"}
    prompt = {"model": node("Model", "IP2PLoadCheckpoint", **choice)}
    captions = {
        "before": "a woman with a bob and glasses in a red sweater",
        "after": "a woman with a bob and sunglasses in a red sweater",
    }
    parts = {name: ["model", i] for i, name in enumerate(("model", "clip", "vae"))}
    prompt["pairs"] = node(
        "Make pairs",
        "IP2PMakePairs",
        **parts,
        **captions,
        **{"samples": 4, "keep": 4, "swap_from": 0.1, "swap_to": 0.9, "cfg_from": 3.0},
        **{"cfg_to": 5.0, "steps": 20, "sampler_name": "euler_ancestral", "scheduler": "normal"},
        **{"seed": 3, "thresholds": "authors", "denoise": 1.0},
    )
    for number, name in enumerate(("before", "after")):
        prefix = f"ip2p/make-pairs-{name}"
        images = ["pairs", number]
        prompt[name] = node(f"Result, {name}", "SaveImage", images=images, filename_prefix=prefix)
    prompt["report"] = node("Report", "PreviewAny", source=["pairs", 2], preview="")
    return prompt


def teach() -> Prompt:
    """The built-in model learns from the bundled pairs, and edits with what it has learnt."""
    prompt = plain("teach-your-own-edit", "lake", "put a red line round the picture")
    prompt["pairs"] = node("Pairs", "IP2PLoadPairs", folder=EXAMPLE, limit=0)
    prompt["seen"] = node("Pairs, seen", "PreviewImage", images=["pairs", 2])
    prompt["train"] = node(
        "Train",
        "IP2PTrain",
        **{name: ["model", i] for i, name in enumerate(("model", "clip", "vae"))},
        pairs=["pairs", 0],
        resolution=["model", 3],
        **{"kind": "lora", "rank": 16, "steps": 80, "batch_size": 4, "learning_rate": 3e-3},
        **{"dropout": 0.05, "sample_every": 40, "seed": 0, "run": "line", "keep": 0.25},
        **{"text_cfg": TEXT_CFG, "image_cfg": IMAGE_CFG},
    )
    prompt["held out"] = node("Held-out pairs", "PreviewImage", images=["train", 3])
    prompt["keep"] = node(
        "Keep the LoRA", "SaveLoRA", lora=["train", 1], prefix="loras/line", steps=80
    )
    prompt["loss"] = node("Loss", "LossGraphNode", loss=["train", 2], filename_prefix="loss_graph")
    prompt["sampler"]["inputs"]["model"] = ["train", 0]
    return prompt


def advanced() -> Prompt:
    prompt = view("advanced-any-sampler-and-sigmas", "cottage", "make it night")
    inputs = shared(prompt["sampler"])
    names = ("model", "instruction", "negative", "source", "text_cfg", "image_cfg")
    prompt["guider"] = node("Guider", "IP2PGuider", **{name: inputs[name] for name in names})
    prompt["algorithm"] = node("Sampler", "KSamplerSelect", sampler_name="dpmpp_2m")
    sigmas = {"model": ["model", 0], "scheduler": "karras", "steps": 20, "denoise": 1.0}
    prompt["sigmas"] = node("Sigmas", "BasicScheduler", **sigmas)
    prompt["noise"] = node("Noise", "RandomNoise", noise_seed=0)
    prompt["sampler"] = node(
        "Sample",
        "SamplerCustomAdvanced",
        noise=["noise", 0],
        guider=["guider", 0],
        sampler=["algorithm", 0],
        sigmas=["sigmas", 0],
        latent_image=["encode", 0],
    )
    return prompt


def real(slug: str, picture: str, instruction: str, **settings: Any) -> Prompt:
    """An edit with the authors' checkpoint, at the usual scales, which stay to be turned."""
    usual = defaults_of("text_cfg", "image_cfg")
    settings = {"checkpoint": CHECKPOINT, **usual, **settings}
    return edit(slug, picture, instruction, **settings)


def lora_and_controlnet() -> Prompt:
    prompt = real("with-lora-and-controlnet", "cottage", "add a rainbow to the sky")
    prompt["lora"] = node(
        "LoRA",
        "LoraLoader",
        model=["model", 0],
        clip=["model", 1],
        lora_name="add_detail.safetensors",
        strength_model=0.8,
        strength_clip=0.8,
    )
    prompt["instruction"]["inputs"]["clip"] = ["lora", 1]
    prompt["seen"] = node("Decoded source", "VAEDecode", samples=["encode", 0], vae=["model", 2])
    prompt["edges"] = node(
        "Edges", "Canny", image=["seen", 0], low_threshold=0.3, high_threshold=0.7
    )
    prompt["controlnet"] = node(
        "ControlNet",
        "ControlNetLoader",
        control_net_name="control_v11p_sd15_canny_fp16.safetensors",
    )
    prompt["control"] = node(
        "Apply ControlNet",
        "ControlNetApplyAdvanced",
        positive=["instruction", 0],
        negative=["instruction", 1],
        control_net=["controlnet", 0],
        image=["edges", 0],
        strength=0.6,
        start_percent=0.0,
        end_percent=0.8,
    )
    prompt["sampler"]["inputs"] |= {
        "model": ["lora", 0],
        "instruction": ["control", 0],
        "negative": ["control", 1],
    }
    prompt["shown"] = node("Edges, seen", "PreviewImage", images=["edges", 0])
    return prompt


def your_style() -> Prompt:
    """An editor that draws like an ordinary model: editor + style - base, words included."""
    prompt = real("your-style-as-an-editor", "hills", "add a rainbow to the sky")
    for key, title, name in (("style", "Your style", STYLE), ("base", "SD 1.5", BASE)):
        prompt[key] = node(title, "CheckpointLoaderSimple", ckpt_name=name)
    roles = {"editor": "model", "custom": "style", "base": "base"}
    models = {role: [key, 0] for role, key in roles.items()}
    clips = {f"{role}_clip": [key, 1] for role, key in roles.items()}
    prompt["merge"] = node("Merge", "IP2PMergeCheckpoint", **models, multiplier=1.0, **clips)
    prompt["instruction"]["inputs"]["clip"] = ["merge", 1]
    prompt["sampler"]["inputs"]["model"] = ["merge", 0]
    return prompt


def app(
    slug: str, picture: str, preset: str, value: str, grow: int, threshold: float = 0.5
) -> Prompt:
    """An edit by preset that keeps all outside of the region that the model finds."""
    return with_preset(local(slug, picture, "none", grow, threshold), preset, value)


TWINS: dict[str, Callable[[], Prompt]] = {
    "edit-only-what-was-asked": only_what_was_asked,
    "hair-color": lambda: local("hair-color", "woman", "change the hair color from brown to red"),
    "hairstyle-glasses-and-hats": lambda: with_preset(
        local("hairstyle-glasses-and-hats", "jacket", "none", 12, threshold=0.65),
        "glasses",
        "sunglasses",
        "him",
    ),
    "virtual-makeup": lambda: local(
        "virtual-makeup", "bob", "put red lipstick on her", threshold=0.65
    ),
    "virtual-try-on": lambda: local(
        "virtual-try-on", "sweater", "put on a red leather jacket", grow=8, threshold=0.4
    ),
    "weather-sunny-to-cloudy": lambda: view(
        "weather-sunny-to-cloudy",
        "house",
        "change the weather from sunny to cloudy",
        text_cfg=3.0,
        image_cfg=2.2,
    ),
    "season-summer-to-winter": lambda: view(
        "season-summer-to-winter", "road", "turn summer into winter"
    ),
    "change-the-background": lambda: plain(
        "change-the-background", "long", "change the background to mountains"
    ),
    "material-wood-marble-bronze": lambda: local(
        "material-wood-marble-bronze", "cat", "make it out of wood", grow=6, threshold=0.4
    ),
    "art-medium": lambda: view(
        "art-medium", "cottage", "turn it into a watercolor painting", image_cfg=1.8
    ),
    "edit-only-a-region": lambda: masked(
        plain("edit-only-a-region", "woman-masked", "make her hair pink")
    ),
    "small-face-big-edit": lambda: masked(
        plain("small-face-big-edit", "wall", "make his hair blue", seed=2),
        fit="around mask",
        margin=16,
    ),
    "several-seeds-at-once": several_seeds,
    "compare-guidance": compare_guidance,
    "one-evaluation-a-step": one_evaluation,
    "guidance-grid": guidance_grid,
    "auto-tune-the-two-scales": auto_tune,
    "edit-in-turns": edit_in_turns,
    "advanced-any-sampler-and-sigmas": advanced,
    "make-pairs": make_pairs,
    "teach-your-own-edit": teach,
    "with-lora-and-controlnet": lora_and_controlnet,
    "your-photo-your-checkpoint": lambda: real(
        "your-photo-your-checkpoint", "dress", "put a straw hat on her"
    ),
    "your-style-as-an-editor": your_style,
    "app-hair-stylist": lambda: app("app-hair-stylist", "hoodie", "hair color", "blonde", 4),
    "app-virtual-try-on": lambda: app(
        "app-virtual-try-on", "shirt", "clothes", "a suit", 8, threshold=0.4
    ),
    "app-weather-and-season": lambda: with_preset(
        view("app-weather-and-season", "farm", "none"), "season", "autumn"
    ),
    "app-your-photo": lambda: real("app-your-photo", "lake", "make it a sunset"),
}


def numbered(prompt: Prompt) -> Prompt:
    """The prompt with ids 1, 2, 3 ... in its own order, as the editor wants them."""
    ids = {key: str(number) for number, key in enumerate(prompt, start=1)}

    def renamed(value: Any) -> Any:
        return [ids[value[0]], value[1]] if isinstance(value, list) else value

    def nodes() -> Iterator[tuple[str, Node]]:
        for key, made in prompt.items():
            inputs = {name: renamed(value) for name, value in made["inputs"].items()}
            yield ids[key], {**made, "inputs": inputs}

    return dict(nodes())


def main() -> None:
    for slug, make in TWINS.items():
        text = json.dumps(numbered(make()), indent=2)
        (API / f"{slug}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
