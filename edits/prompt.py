"""The prompt of one edit, in ComfyUI's API format."""

from __future__ import annotations

from typing import Any

from .settings import SETTINGS, completed, defaults_of, of_node

Node = dict[str, Any]
Prompt = dict[str, Node]

# The scales, and the outputs that bring them: of IP2PPreset and IP2PAutoGuidance, of the loader.
SCALES = {"text_cfg": 1, "image_cfg": 2}
USUAL_SCALES = {"text_cfg": 4, "image_cfg": 5}
# The values of IP2PGuidance that change nothing.
PLAIN_GUIDANCE = {
    **{
        f"{scale}_{name}": value
        for scale in ("text", "image")
        for name, value in {"start": 0.0, "end": 1.0, "curve": "constant", "final": 1.0}.items()
    },
    **{"rescale": 0.0, "rescale_space": "eps", "apg_eta": 1.0, "apg_norm": 0.0},
    **{"text_outside": 1.0, "image_outside": 1.0},
}


def edit_prompt(
    image: str,
    instruction: str,
    *,
    mask: str | None = None,
    prefix: str = "ip2p/edit",
    preset: str = "",
    value: str = "",
    subject: str = "",
    only: bool = False,
    auto: bool = False,
    fast: bool = False,
    **settings: Any,
) -> Prompt:
    """The graph of one edit.

    image, mask  files of the server's input folder, as LoadImage takes them; white in the mask is
                 what may change
    prefix       the name that the server saves the result under
    preset       a name of IP2PPreset, which words the instruction from `value` and `subject` and
                 brings its scales; `instruction` is empty then
    only         IP2PEditMask finds the region of the edit; all else stays, bit for bit
    auto         IP2PAutoGuidance finds the two scales; nodes of their names show them
    fast         IP2PGuidance lets one prediction serve several steps: a quarter fewer evaluations,
                 and the picture of a seed changes a little
    settings     those of `edits.settings`, by name; scales that are not given are the usual ones of
                 the checkpoint's family, which the loader knows

    Raises ValueError where a value does not fit, or where instruction and preset are both given or
    both missing.
    """
    if bool(instruction.strip()) == bool(preset):
        raise ValueError("an edit needs either an instruction or a preset.")
    if only and mask is not None:
        raise ValueError("only: it finds the region itself; leave out either only or mask.")
    scales = [scale for scale in SCALES if auto and scale in settings]
    if scales:
        raise ValueError(f"{scales[0]}: auto finds it; leave out either {scales[0]} or auto.")
    chosen = completed(settings, tuple(SETTINGS))
    prompt = source_nodes(image, chosen)
    prompt["instruction"] = instruction_node(instruction, chosen)
    prompt["sampler"] = sampler_node(chosen, auto)
    prompt |= result_nodes(chosen, prefix)
    if auto:
        for scale, output in SCALES.items():
            prompt[scale] = node(scale, "PreviewAny", source=["sampler", output])
    if fast:
        prompt["guidance"] = node("Guidance", "IP2PGuidance", **PLAIN_GUIDANCE, reuse="fast")
        prompt["sampler"]["inputs"]["guidance"] = ["guidance", 0]
    use_scales(prompt, "model", USUAL_SCALES, settings)
    if preset:
        word_by_preset(prompt, {"preset": preset, "value": value, "subject": subject}, settings)
    if mask is not None:
        prompt["mask"] = node("Mask", "LoadImageMask", image=mask, channel="red")
        prompt["encode"]["inputs"]["mask"] = ["mask", 0]
    if only:
        edit_only_the_region(prompt, chosen["seed"])
    return prompt


def node(title: str, class_type: str, **inputs: Any) -> Node:
    """One node of a prompt, under the title by which people and `--set` name it."""
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def settings_of(class_type: str, chosen: dict[str, Any]) -> dict[str, Any]:
    return {name: chosen[name] for name in of_node(class_type)}


def source_nodes(image: str, chosen: dict[str, Any]) -> Prompt:
    """The checkpoint, the picture, and the picture as the model takes it."""
    return {
        "model": node("Model", "IP2PLoadCheckpoint", **settings_of("IP2PLoadCheckpoint", chosen)),
        "source": node("Source", "LoadImage", image=image),
        "encode": node(
            "Encode source",
            "IP2PEncodeSource",
            image=["source", 0],
            vae=["model", 2],
            resolution=["model", 3],
            **settings_of("IP2PEncodeSource", chosen),
        ),
    }


def instruction_node(instruction: str, chosen: dict[str, Any]) -> Node:
    return node(
        "Instruction",
        "IP2PEncodeInstruction",
        clip=["model", 1],
        instruction=instruction,
        **settings_of("IP2PEncodeInstruction", chosen),
    )


def sampler_node(chosen: dict[str, Any], auto: bool) -> Node:
    """IP2PKSampler, or IP2PAutoGuidance, which has no scales and these inputs of its own."""
    values = settings_of("IP2PKSampler", chosen)
    if auto:
        values = {name: value for name, value in values.items() if name not in SCALES}
        values |= {"keep": 0.5, "probes": 9, "seeds": 1}
    return node(
        "Sampler",
        "IP2PAutoGuidance" if auto else "IP2PKSampler",
        model=["model", 0],
        instruction=["instruction", 0],
        negative=["instruction", 1],
        source=["encode", 0],
        **values,
    )


def result_nodes(chosen: dict[str, Any], prefix: str) -> Prompt:
    """From the edited latent to a saved picture of the original's size."""
    return {
        "decode": node("Decode", "VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "restore": node(
            "Restore",
            "IP2PRestore",
            image=["decode", 0],
            frame=["encode", 1],
            **settings_of("IP2PRestore", chosen),
        ),
        "result": node("Result", "SaveImage", images=["restore", 0], filename_prefix=prefix),
    }


def word_by_preset(prompt: Prompt, words: dict[str, str], settings: dict[str, Any]) -> None:
    """Let IP2PPreset word the instruction and bring the scales that `settings` do not give."""
    usual = {f"usual_{scale}": ["model", output] for scale, output in USUAL_SCALES.items()}
    prompt["preset"] = node("Preset", "IP2PPreset", **words, **usual)
    prompt["instruction"]["inputs"]["instruction"] = ["preset", 0]
    use_scales(prompt, "preset", SCALES, settings)


def use_scales(
    prompt: Prompt, source: str, outputs: dict[str, int], settings: dict[str, Any]
) -> None:
    """Let a node bring the scales that the sampler has and `settings` do not give."""
    inputs = prompt["sampler"]["inputs"]
    for scale, output in outputs.items():
        if scale in inputs and scale not in settings:
            inputs[scale] = [source, output]


def edit_only_the_region(prompt: Prompt, seed: int) -> None:
    """Let IP2PEditMask find the region of the edit in the whole picture, and edit only there."""
    whole = prompt["encode"]["inputs"] | defaults_of("fit", "margin")
    prompt["whole"] = node("Whole picture", "IP2PEncodeSource", **whole)
    prompt["region"] = node(
        "Region",
        "IP2PEditMask",
        model=["model", 0],
        instruction=["instruction", 0],
        negative=["instruction", 1],
        source=["whole", 0],
        seed=seed,
        method="relevance",
        noise_level=0.8,
        draws=4,
        threshold=0.5,
        grow=8,
        blur=0,
        frame=["whole", 1],
    )
    prompt["encode"]["inputs"]["mask"] = ["region", 0]
