"""A workflow that a server refuses: each problem is told with input, value, and what fits."""

import asyncio
import copy

import pytest
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import NodesMissing, WorkflowRefused
from instruct_pix2pix.headless.refusals import refusal

GRAY = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        "_meta": {"title": "Gray"},
    },
    "2": {
        "class_type": "ImageScale",
        "inputs": {
            **{"image": ["1", 0], "upscale_method": "area"},
            **{"width": 32, "height": 32, "crop": "disabled"},
        },
    },
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}


def changed(node, name, value):
    prompt = copy.deepcopy(GRAY)
    prompt[node]["inputs"][name] = value
    return prompt


def of_class(node, class_type, **inputs):
    return {**GRAY, node: {"class_type": class_type, "inputs": inputs}}


def refused(comfyui, prompt):
    async def use():
        async with Client(comfyui.url) as client:
            with pytest.raises(WorkflowRefused) as caught:
                await client.run(prompt)
        return caught.value

    return asyncio.run(use())


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (changed("1", "width", 0), "Gray.width: got 0; give 1 to 16384"),
        (changed("1", "width", 10**9), "Gray.width: got 1000000000; give 1 to 16384"),
        (changed("1", "width", "x"), "Gray.width: got 'x', which is not a whole number"),
        (changed("1", "width", None), "Gray.width: got None, which is not a whole number"),
        (
            changed("2", "crop", "nope"),
            "ImageScale.crop: the server has no 'nope'; it has disabled, center",
        ),
        (
            changed("2", "image", ["1", 0, 0]),
            "ImageScale.image: got ['1', 0, 0], which is not a link; "
            'a link is written ["node id", output number]',
        ),
        (
            changed("2", "image", ["9", 0]),
            "ImageScale.image: links to node '9', which is not there",
        ),
        (
            changed("2", "image", ["1", 5]),
            "ImageScale.image: links to output 5 of Gray; give 0",
        ),
        (
            changed("2", "image", ["1", "0"]),
            "ImageScale.image: links to output '0' of Gray; give 0",
        ),
        (
            changed("2", "image", ["2", 0]),
            "the links lead in a circle, ImageScale -> ImageScale; cut one of them",
        ),
        (
            of_class("2", "MaskToImage", mask=["1", 0]),
            "MaskToImage.mask: got IMAGE from Gray; give an output of type MASK",
        ),
        (
            of_class("2", "MaskToImage"),
            "MaskToImage.mask: nothing is given; it takes an output of type MASK",
        ),
        (
            of_class("1", "LoadImage", image="none.png"),
            "LoadImage.image: got 'none.png', which the node refuses "
            "(Invalid image file: none.png); it has ",
        ),
    ],
)
def test_a_problem_of_any_node_is_told_in_our_words(comfyui, prompt, sentence):
    error = refused(comfyui, prompt)
    first, said = str(error).split("\n  ")
    assert first == "the server refuses the workflow"
    assert said.startswith(sentence) if sentence.endswith(" ") else said == sentence


def test_of_a_long_list_the_most_similar_names_are_told(comfyui):
    """ComfyUI itself tells only how long such a list is."""
    prompt = of_class("1", "KSampler", sampler_name="euler_ancestrall")
    prompt["2"] = {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0]}}
    said = str(refused(comfyui, prompt))
    assert "KSampler.sampler_name: the server has no 'euler_ancestrall'; among its " in said
    assert "euler_ancestral" in said.partition("'euler_ancestrall'")[2]


def test_a_workflow_that_saves_nothing_is_told_so(comfyui):
    said = str(refused(comfyui, {"1": GRAY["1"]}))
    assert said == "the workflow saves nothing and shows nothing; add SaveImage"


def test_every_node_that_the_server_does_not_have_is_named(comfyui):
    error = refused(comfyui, of_class("1", "NoSuchNode") | {"4": {"class_type": "NorThis"}})
    assert isinstance(error, NodesMissing)
    assert str(error) == (
        "the server has no node NoSuchNode, NorThis; install the packs that have them there"
    )


@pytest.mark.parametrize(
    "problem",
    [
        {"type": "new", "message": "Something new", "details": "x"},
        {"type": "value_not_in_list", "message": "Something new", "details": "x"},
        {"type": "new", "message": "Something new", "details": "x", "extra_info": 7},
        {
            **{"type": "new", "message": "Something new", "details": "x"},
            "extra_info": {"input_name": "width", "input_config": ["INT", {"min": "a"}]},
        },
    ],
)
def test_a_problem_of_no_known_kind_keeps_the_servers_words(problem):
    reply = {"error": {"message": "no"}, "node_errors": {"1": {"errors": [problem]}}}
    assert str(refusal(GRAY, reply)) == "no\n  Gray: Something new: x"


def test_a_range_with_one_end_is_told_as_such():
    ends = (({"min": 1}, "1 or more"), ({"max": 8}, "8 or less"), ({}, "another number"))
    for options, fits in ends:
        extra = {"input_name": "width", "input_config": ["INT", options], "received_value": 9}
        problem = {"type": "value_bigger_than_max", "extra_info": extra}
        reply = {"error": "no", "node_errors": {"1": {"errors": [problem]}}}
        assert str(refusal(GRAY, reply)) == f"no\n  Gray.width: got 9; give {fits}"
