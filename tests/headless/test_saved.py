"""Saved workflows become the prompts that the editor would queue; comfy-cli is the oracle."""

import importlib.util
import json
import urllib.request
from pathlib import Path

import pytest
from comfy_cli.workflow_to_api import convert_ui_to_api
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from instruct_pix2pix.headless.errors import InputError, IP2PError, NodesMissing
from instruct_pix2pix.headless.saved import to_prompt
from PIL import Image

from .command import finished, ip2p

# Templates that the oracle reads otherwise, and why ours is right or as good.
OTHERWISE = {
    "api_google_gemini_image": "an optional choice that has no default is left to the server",
    "api_moonvalley_video_to_video_motion_transfer": "was saved for another version of the node",
    "api_recraft_image_gen_with_color_control": "an empty optional text is left to the server",
    "api_recraft_image_gen_with_style_control": "the same",
    "api_recraft_vector_gen": "the same",
    "api_stability_ai_i2i": "the same",
    "api_stability_ai_stable_image_ultra_t2i": "the same",
    "3d_hunyuan3d_multiview_to_model": "a bypassed node has no input of its output's type",
    "3d_hunyuan3d_multiview_to_model_turbo": "the same",
    "video_wan_vace_14B_ref2v": "a number would reach an input for masks",
}


@pytest.fixture(scope="session")
def object_info(comfyui):
    with urllib.request.urlopen(comfyui.url + "/object_info") as answer:
        return json.load(answer)


def templates():
    """ComfyUI's own templates, as its pinned packages carry them."""
    for name in ("core", "media_api", "media_image", "media_video", "media_other"):
        spec = importlib.util.find_spec(f"comfyui_workflow_templates_{name}")
        if spec:
            yield from Path(spec.submodule_search_locations[0]).rglob("templates/*.json")


def test_the_templates_of_comfyui_are_read_as_comfy_cli_reads_them(object_info):
    equal, refused = 0, 0
    for path in templates():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict) or "nodes" not in saved or path.stem in OTHERWISE:
            continue
        try:
            ours = to_prompt(saved, object_info)
        except NodesMissing:
            continue
        except InputError as error:
            assert "subgraph" in str(error), path.name
            refused += 1
            continue
        theirs = convert_ui_to_api(saved, object_info)
        for prompt in (ours, theirs):
            for node in prompt.values():
                node.pop("_meta", None)
        assert ours == theirs, path.name
        equal += 1
    assert equal > 150 and refused < 20


SAVED = {
    "nodes": [
        {"id": 1, "type": "EmptyImage", "mode": 0, "widgets_values": [16, 16, 1, 255]},
        {
            "id": 2,
            "type": "ImageInvert",
            "mode": 4,
            "inputs": [{"name": "image", "type": "IMAGE", "link": 1}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        },
        {"id": 3, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 2}]},
        {
            "id": 4,
            "type": "SaveImage",
            "title": "Result",
            "inputs": [{"name": "images", "type": "IMAGE", "link": 3}],
            "widgets_values": ["saved"],
        },
        {"id": 5, "type": "Note", "widgets_values": ["about"]},
        {"id": 6, "type": "NoSuchNode", "mode": 2},
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 3, 0, 4, 0, "IMAGE"]],
}
SAVED["nodes"][2]["outputs"] = [{"name": "", "type": "IMAGE"}]


def test_bypassed_muted_and_virtual_nodes_are_taken_out(object_info):
    prompt = to_prompt(SAVED, object_info)
    assert {key: node["class_type"] for key, node in prompt.items()} == {
        "1": "EmptyImage",
        "4": "SaveImage",
    }
    assert prompt["4"]["inputs"] == {"images": ["1", 0], "filename_prefix": "saved"}


def test_a_saved_workflow_runs(comfyui, tmp_path):
    path = tmp_path / "flat.json"
    path.write_text(json.dumps(SAVED))
    code, said = finished(ip2p("run", path, "-o", tmp_path, "--server", comfyui.url))
    assert code == 0, said
    picture = Image.open(tmp_path / "flat-result.png")
    assert picture.getpixel((0, 0)) == (0, 0, 255)
    assert json.loads(picture.text["workflow"])["nodes"][4]["type"] == "Note"


def test_what_only_the_editor_can_unfold_is_refused():
    saved = {
        "nodes": [{"id": 1, "type": "abc", "title": "My part"}],
        "definitions": {"subgraphs": [{"id": "abc"}]},
    }
    with pytest.raises(InputError, match="'My part' is a subgraph"):
        to_prompt(saved, {})
    with pytest.raises(NodesMissing, match="NoSuchNode"):
        to_prompt({"nodes": [{"id": 1, "type": "NoSuchNode"}]}, {})


junk = st.recursive(
    st.none() | st.integers(0, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
node = st.fixed_dictionaries(
    {"id": st.integers(0, 3), "type": st.sampled_from(["EmptyImage", "Reroute", "SaveImage"])},
    optional={"mode": junk, "inputs": junk, "outputs": junk, "widgets_values": junk},
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nodes=st.lists(node | junk, max_size=4), links=junk)
def test_a_broken_workflow_gives_an_error_of_ours(object_info, nodes, links):
    try:
        to_prompt({"nodes": nodes, "links": links}, object_info)
    except IP2PError:
        pass
