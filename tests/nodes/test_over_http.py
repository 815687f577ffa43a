"""The nodes that ask the model, in a real ComfyUI over HTTP: results, progress, and sentences."""

import asyncio
import io

import aiohttp
import numpy as np
import pytest
from instruct_pix2pix.edits.prompt import node
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import ExecutionFailed, Interrupted, WorkflowRefused
from instruct_pix2pix.headless.protocol import Event, Preview
from instruct_pix2pix.pictures.sheet import BLANK
from PIL import Image

from .test_guidance import DEFAULTS

RUN = {"seed": 1, "steps": 3, "sampler_name": "euler", "scheduler": "normal"}
ASKED = {
    "model": ["model", 0],
    "instruction": ["words", 0],
    "negative": ["words", 1],
    "source": ["encode", 0],
}
NODES = {
    "IP2PGuidance": DEFAULTS | {"region": ["one", 0], "text_outside": 0.5},
    "IP2PEditMask": ASKED
    | {"seed": 1, "method": "relevance", "noise_level": 0.8, "draws": 2}
    | {"threshold": 0.5, "grow": 0, "blur": 0},
    "IP2PGuidanceGrid": ASKED
    | RUN
    | {"vae": ["model", 2], "text_cfgs": "5, 7.5", "image_cfgs": "1, 1.5"},
    "IP2PAutoGuidance": ASKED | RUN | {"keep": 0.5, "probes": 3, "seeds": 1},
    "IP2PEditChain": RUN
    | {"model": ["model", 0], "clip": ["model", 1], "source": ["encode", 0]}
    | {"instructions": "make it snow\n\nmake it night", "text_cfg": 5.0, "image_cfg": 1.5}
    | {"mask_each": True},
}


def prompt(class_type, words="make it snow", fit="training size", **changes):
    """One of NODES with inputs changed, on a drawn picture with a mask of one white pixel."""
    graph = {
        "model": node("Model", "IP2PLoadCheckpoint", checkpoint="tiny.safetensors", weights="auto"),
        "picture": node("Source", "IP2PSampleImage", scene="portrait - suit", seed=0),
        "black": node("Black", "SolidMask", value=0.0, width=512, height=512),
        "dot": node("Dot", "SolidMask", value=1.0, width=1, height=1),
        "one": node(
            *("One pixel", "MaskComposite"),
            **{"destination": ["black", 0], "source": ["dot", 0], "x": 20, "y": 9},
            operation="add",
        ),
        "encode": node(
            *("Encode", "IP2PEncodeSource"),
            **{"image": ["picture", 0], "vae": ["model", 2], "resolution": ["model", 3]},
            **{"fit": fit, "margin": 16},
        ),
        "words": node(
            *("Words", "IP2PEncodeInstruction"),
            **{"clip": ["model", 1], "instruction": words, "negative": "", "syntax": "plain"},
        ),
        "it": node("It", class_type, **(NODES[class_type] | changes)),
    }
    decode = {"samples": ["it", 0], "vae": ["model", 2]}
    graph |= {
        "IP2PGuidance": {
            "sampler": node(
                *("Sampler", "IP2PKSampler"),
                **(ASKED | RUN | {"text_cfg": 7.5, "image_cfg": 1.5, "denoise": 1.0}),
                **{"numerics": "comfyui", "guidance": ["it", 0]},
            ),
            "decode": node("Decode", "VAEDecode", **(decode | {"samples": ["sampler", 0]})),
        },
        "IP2PEditMask": {"decode": node("Shown", "MaskToImage", mask=["it", 0])},
        "IP2PGuidanceGrid": {},
        "IP2PAutoGuidance": {"decode": node("Decode", "VAEDecode", **decode)},
        "IP2PEditChain": {"decode": node("Decode", "VAEDecode", **decode)},
    }[class_type]
    images = ["it", 1] if class_type == "IP2PGuidanceGrid" else ["decode", 0]
    return graph | {"result": node("Result", "SaveImage", images=images, filename_prefix="it")}


def run(server, graph, listener=None):
    """The pictures that come of it, and the history's entry."""

    async def session():
        async with Client(server.url) as client:
            result = await client.run(graph, listener=listener)
            pictures = []
            for output in result.outputs:
                buffer = io.BytesIO()
                await client.server.download(output.file, buffer)
                pictures.append(Image.open(buffer))
            return pictures, await client.server.history(result.prompt_id)

    return asyncio.run(session())


def pixels_of(preview):
    return np.asarray(Image.open(io.BytesIO(preview.image)).convert("RGB"))


@pytest.mark.parametrize(
    ("class_type", "count"),
    [(name, 1) for name in NODES if name != "IP2PEditChain"] + [("IP2PEditChain", 2)],
)
def test_every_node_runs(comfyui, class_type, count):
    pictures, _ = run(comfyui, prompt(class_type))
    assert len(pictures) == count, "the chain has a picture for each turn"
    assert all(np.asarray(picture).any() for picture in pictures)


def test_what_a_mask_found_is_told(comfyui):
    _, history = run(comfyui, prompt("IP2PEditMask"))
    (text,) = history["outputs"]["it"]["text"]
    assert text.startswith("The edit ")


def test_a_black_region_is_told(comfyui):
    _, history = run(comfyui, prompt("IP2PGuidance", region=["black", 0]))
    (text,) = history["outputs"]["it"]["text"]
    assert text.startswith("The region is all black, so text_outside and image_outside hold")


def test_the_grid_tells_its_progress_and_its_preview_grows(comfyui):
    heard = []
    run(comfyui, prompt("IP2PGuidanceGrid", steps=8), heard.append)
    values = [
        (message.data["value"], message.data["max"])
        for message in heard
        if isinstance(message, Event)
        and message.type == "progress"
        and message.data["node"] == "it"
    ]
    assert values[-1] == (32, 32) and values == sorted(values)
    blanks = [
        (np.abs(pixels_of(message).astype(int) - BLANK) < 6).all(-1).mean()
        for message in heard
        if isinstance(message, Preview)
    ]
    assert blanks[0] > 0.3 > 0.1 > blanks[-1]
    assert (np.diff(blanks) < 0.01).all(), "a JPEG's noise apart"


def test_a_grid_stops_when_it_is_interrupted_and_the_next_one_works(comfyui):
    async def session():
        async with Client(comfyui.url) as client:
            started = asyncio.Event()

            def listener(message):
                if isinstance(message, Event) and message.type == "progress":
                    started.set()

            graph = prompt("IP2PGuidanceGrid", steps=10000)
            job = asyncio.create_task(client.run(graph, listener=listener))
            await asyncio.wait_for(started.wait(), 120)
            async with aiohttp.ClientSession() as http:
                await http.post(f"{comfyui.url}/interrupt", json={})
            with pytest.raises(Interrupted):
                await asyncio.wait_for(job, 60)

    asyncio.run(session())
    run(comfyui, prompt("IP2PGuidanceGrid", text_cfgs="5", image_cfgs="1"))


NO_EDIT = "instruction: it is empty or says the same as the negative, so there is no edit. Write"


@pytest.mark.parametrize(
    ("class_type", "changes", "sentence"),
    [
        ("IP2PGuidanceGrid", {"text_cfgs": "5, many"}, "text_cfgs: 'many' is not a number. Write"),
        ("IP2PGuidanceGrid", {"image_cfgs": " ,"}, "image_cfgs: the list is empty. Write numbers"),
        ("IP2PGuidanceGrid", {"text_cfgs": "5, 1000"}, "text_cfgs: 1000 is out of range"),
        ("IP2PGuidanceGrid", {"text_cfgs": "1 " * 60}, "60 times 2 scales are 120 edits"),
        ("IP2PGuidanceGrid", {"words": ""}, NO_EDIT),
        ("IP2PAutoGuidance", {"words": ""}, NO_EDIT),
        ("IP2PEditMask", {"words": ""}, NO_EDIT),
        ("IP2PEditChain", {"instructions": " \n\n"}, "instructions: there is none. Write what"),
        ("IP2PGuidance", {"text_start": 0.9, "text_end": 0.1}, "text_start: 0.9 lies behind"),
    ],
)
def test_bad_input_comes_back_as_a_sentence(comfyui, class_type, changes, sentence):
    with pytest.raises(ExecutionFailed) as failure:
        run(comfyui, prompt(class_type, **changes))
    assert failure.value.kind == "ValueError" and failure.value.node == "It"
    assert sentence in failure.value.message


def test_a_mask_that_is_shrunk_to_nothing_comes_back_as_a_sentence(comfyui):
    """Of a model that knows a region: the tiny one finds the whole picture."""
    graph = prompt("IP2PEditMask", words="make his hair red", grow=-256)
    graph["model"]["inputs"]["checkpoint"] = "ip2p-mini (built-in)"
    with pytest.raises(ExecutionFailed, match="nothing is left of the mask at threshold 0.5 and"):
        run(comfyui, graph)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        ("black", "mask: it is all black, so there is nothing to fit around"),
        ("one", "so there is nothing to fit around. Paint white over what is to change"),
    ],
)
def test_a_mask_that_nothing_fits_around_comes_back_as_a_sentence(comfyui, mask, sentence):
    graph = prompt("IP2PEditMask", fit="around mask")
    graph["encode"]["inputs"]["mask"] = [mask, 0]
    with pytest.raises(ExecutionFailed, match=sentence):
        run(comfyui, graph)


@pytest.mark.parametrize(
    ("class_type", "name", "value"),
    [
        ("IP2PEditMask", "draws", 0),
        ("IP2PEditMask", "method", "guess"),
        ("IP2PAutoGuidance", "probes", 65),
        ("IP2PAutoGuidance", "keep", -0.1),
        ("IP2PGuidance", "apg_eta", 2.0),
        ("IP2PGuidance", "text_curve", "wavy"),
        ("IP2PEditChain", "steps", 0),
    ],
)
def test_what_the_schema_forbids_is_refused_by_name(comfyui, class_type, name, value):
    """By ComfyUI before it runs, or by the node."""
    with pytest.raises((WorkflowRefused, ExecutionFailed), match=name):
        run(comfyui, prompt(class_type, **{name: value}))
