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

from .command import ROOT, in_process

# Templates that the oracle reads otherwise, and why ours is right or as good.
OTHERWISE = {
    **dict.fromkeys(
        (
            "3d_hunyuan3d_multiview_to_model",
            "3d_hunyuan3d_multiview_to_model_turbo",
            "video_wan_vace_14B_ref2v",
        ),
        "through a bypassed node the oracle follows an input of another type",
    ),
    **dict.fromkeys(
        (
            *("api_bfl_flux_video_upscale", "api_seedance2_5_r2v", "api_seedance2_5_video_editing"),
            *("video_minimax_h3_i2v", "video_minimax_h3_r2v", "video_minimax_h3_t2v"),
            "video_wan_animate2_distilled",
        ),
        "the editor wrote the names, which the oracle does not read",
    ),
    **dict.fromkeys(
        (
            *("api_bria_image_edit", "utility_interpolation_image_upscale"),
            *("utility_topaz_illustration_upscale", "basic_image_color_adjustment"),
            "api_ideogram_p_image_t2i",
        ),
        "a pack's own widget has a value, for which the oracle takes the default",
    ),
    **dict.fromkeys(
        (
            *("api_kling_motion_control", "templates-textured_logo_elements"),
            "templates-textured_logotype-v2.1",
        ),
        "behind the file stands a button, at which the oracle takes the default file",
    ),
    **dict.fromkeys(
        ("image_ideogram4_t2i", "image_ideogram4_t2i_int8"),
        "the oracle takes JSON for a choice of words at random",
    ),
    "template_contact_sheet-step_3.app": "a primitive outside of a subgraph leads into it",
    "llm_qwen3_text_gen": "a number that is newer than the file has its default",
}
# Saved for other versions of their nodes, so that values would come under wrong names.
REFUSED = {"api_moonvalley_video_to_video_motion_transfer"}


@pytest.fixture(scope="session")
def object_info(comfyui):
    with urllib.request.urlopen(comfyui.url + "/object_info") as answer:
        return json.load(answer)


def templates():
    """ComfyUI's own templates, as its pinned packages carry them."""
    for name in ("json", "core", "media_api", "media_image", "media_video", "media_other"):
        spec = importlib.util.find_spec(f"comfyui_workflow_templates_{name}")
        if spec:
            yield from Path(spec.submodule_search_locations[0]).rglob("templates/*.json")


def without_titles(prompt):
    return {key: {k: v for k, v in node.items() if k != "_meta"} for key, node in prompt.items()}


def test_the_templates_of_comfyui_are_read_as_comfy_cli_reads_them(object_info):
    equal = {"flat": 0, "folded": 0}
    otherwise, refused, seen = set(), set(), set()
    for path in templates():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict) or "nodes" not in saved:
            continue
        seen.add(path.stem)
        try:
            ours = without_titles(to_prompt(saved, object_info))
        except NodesMissing:
            continue
        except InputError:
            refused.add(path.stem)
            continue
        if ours == without_titles(convert_ui_to_api(saved, object_info)):
            folded = (saved.get("definitions") or {}).get("subgraphs")
            equal["folded" if folded else "flat"] += 1
        else:
            otherwise.add(path.stem)
    assert otherwise <= OTHERWISE.keys() and refused <= REFUSED
    assert equal["flat"] > 160 and equal["folded"] > 14
    assert sum(equal.values()) > 0.95 * len(seen)


def test_our_own_blueprint_is_unfolded(object_info):
    (blueprint,) = (ROOT / "subgraphs").glob("*.json")
    saved = json.loads(blueprint.read_text("utf-8"))
    ours = to_prompt(saved, object_info)
    assert without_titles(ours) == without_titles(convert_ui_to_api(saved, object_info))
    assert {"IP2PLoadCheckpoint", "IP2PKSampler"} <= {n["class_type"] for n in ours.values()}


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
    code, said = in_process("run", path, "-o", tmp_path, "--server", comfyui.url)
    assert code == 0, said
    picture = Image.open(tmp_path / "flat-result.png")
    assert picture.getpixel((0, 0)) == (0, 0, 255)
    assert json.loads(picture.text["workflow"])["nodes"][4]["type"] == "Note"


def test_a_saved_workflow_is_examined_as_it_runs(comfyui, tmp_path):
    path = tmp_path / "flat.json"
    path.write_text("\ufeff" + json.dumps(SAVED), encoding="utf-8")
    code, said = in_process("doctor", path, "--server", comfyui.url)
    assert "ok    pack: loaded" in said and "Traceback" not in said, said


def test_what_was_posted_to_the_server_runs(comfyui, tmp_path, object_info):
    body = {"prompt": to_prompt(SAVED, object_info), "client_id": "x"}
    path = tmp_path / "posted.json"
    path.write_text("\ufeff" + json.dumps(body), encoding="utf-8")
    code, said = in_process("run", path, "-o", tmp_path, "--server", comfyui.url)
    assert code == 0 and (tmp_path / "posted-result.png").is_file(), said


def slot(name, link, kind="IMAGE", **more):
    return {"name": name, "type": kind, "link": link, **more}


def test_set_get_and_the_reroutes_of_packs_lead_on(object_info):
    """EmptyImage -> Set; Get -> a pack's reroute -> SaveImage, with a switch and a label beside."""
    nodes = [
        {"id": 1, "type": "EmptyImage", "widgets_values": [16, 16, 1, 255]},
        {"id": 2, "type": "SetNode", "widgets_values": ["x"], "inputs": [slot("IMAGE", 1)]},
        {"id": 3, "type": "GetNode", "widgets_values": ["x"], "outputs": [slot("IMAGE", None)]},
        {"id": 4, "type": "Reroute (rgthree)", "inputs": [slot("", 2)]},
        {
            "id": 5,
            "type": "SaveImage",
            "inputs": [slot("images", 3), slot("filename_prefix", 4, "STRING")],
            "widgets_values": ["saved"],
        },
        {"id": 6, "type": "PrimitiveNode", "widgets_values": ["from here"]},
        {"id": 7, "type": "Fast Groups Bypasser (rgthree)"},
        {"id": 8, "type": "Label (rgthree)"},
    ]
    links = [[1, 1, 0, 2, 0, "IMAGE"], [2, 3, 0, 4, 0, "*"], [3, 4, 0, 5, 0, "*"]]
    links.append([4, 6, 0, 5, 1, "STRING"])
    prompt = to_prompt({"nodes": nodes, "links": links}, object_info)
    assert prompt.keys() == {"1", "5"}
    assert prompt["5"]["inputs"] == {"images": ["1", 0], "filename_prefix": "from here"}
    nodes[2]["widgets_values"] = ["y"]
    with pytest.raises(InputError, match="'y', which no Set node sets"):
        to_prompt({"nodes": nodes, "links": links}, object_info)


def folded(values, **box):
    """A box around SaveImage, whose prefix is shown on the box."""
    inner = {
        "id": "box",
        "inputs": [
            {"name": "picture", "type": "IMAGE", "linkIds": [1]},
            {"name": "prefix", "type": "STRING", "linkIds": [2]},
        ],
        "nodes": [
            {
                "id": 9,
                "type": "SaveImage",
                "inputs": [
                    slot("images", 1),
                    slot("filename_prefix", 2, "STRING", widget={"name": "filename_prefix"}),
                ],
                "widgets_values": ["inside"],
            }
        ],
        "links": [
            {"id": n + 1, "origin_id": -10, "origin_slot": n, "target_id": 9, "target_slot": n}
            for n in range(2)
        ],
    }
    nodes = [
        {"id": 1, "type": "EmptyImage", "widgets_values": [16, 16, 1, 255]},
        {"id": 2, "type": "box", "inputs": [slot("picture", 1)], "widgets_values": values, **box},
    ]
    return {
        "nodes": nodes,
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "definitions": {"subgraphs": [inner]},
    }


@pytest.mark.parametrize(
    ("saved", "prefix"),
    [
        (folded(["on the box"]), "on the box"),
        (folded([]), "inside"),
        (folded([], widgets_values_named={"prefix": "by name"}), "by name"),
    ],
)
def test_the_value_on_the_box_counts_before_the_one_inside(object_info, saved, prefix):
    prompt = to_prompt(saved, object_info)
    assert prompt.keys() == {"1", "2:9"}
    assert prompt["2:9"]["inputs"] == {"images": ["1", 0], "filename_prefix": prefix}
    saved["nodes"][1]["mode"] = 2
    assert to_prompt(saved, object_info).keys() == {"1"}


def described(**inputs):
    return {"Thing": {"input": {"required": inputs}, "display_name": "Thing"}}


CHOICE = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "a", "inputs": {"required": {"size": ["INT", {"default": 1}]}}},
            {"key": "b", "inputs": {"required": {"picture": ["IMAGE"], "name": ["STRING"]}}},
        ]
    },
]
SEEDED = described(kind=CHOICE, seed=["INT", {"default": 0}], last=["STRING", {"default": "z"}])


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["a", 5, 7, "fixed", "end"], {"kind": "a", "kind.size": 5, "seed": 7, "last": "end"}),
        (["b", "n", 7, "end"], {"kind": "b", "kind.name": "n", "seed": 7, "last": "end"}),
        (["a", 5], {"kind": "a", "kind.size": 5, "seed": 0, "last": "z"}),
        (["a", 5, 7, "randomize", "end", "what it showed"], {"seed": 7, "last": "end"}),
    ],
)
def test_a_choice_brings_its_own_inputs_before_the_seed(values, read):
    inputs = to_prompt({"nodes": [{"id": 1, "type": "Thing", "widgets_values": values}]}, SEEDED)
    assert inputs["1"]["inputs"] | read == inputs["1"]["inputs"]


@pytest.mark.parametrize(
    "values", [["a", "Opus 4.7", 7], ["a", 5, 7, "fixed", "end", 8], ["a", True]]
)
def test_values_are_refused_before_they_come_under_a_wrong_name(values):
    saved = {"nodes": [{"id": 1, "type": "Thing", "title": "Mine", "widgets_values": values}]}
    with pytest.raises(InputError, match="'Mine' was saved for another version"):
        to_prompt(saved, SEEDED)
    listed = [slot(n, None, widget={"name": n}) for n in ("old", "seed", "last")]
    node = {"id": 1, "type": "Thing", "inputs": listed, "widgets_values": [9, 7, "fixed", "end"]}
    inputs = to_prompt({"nodes": [node]}, SEEDED)["1"]["inputs"]
    assert (inputs["seed"], inputs["last"]) == (7, "end") and "old" not in inputs
    del node["inputs"]
    node["widgets_values_named"] = {"kind": "a", "kind.size": 3, "seed": 8, "old": 1}
    inputs = to_prompt({"nodes": [node]}, SEEDED)["1"]["inputs"]
    assert inputs == {"kind": "a", "kind.size": 3, "seed": 8, "last": "z"}


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "workflow>mine", "title": "My part"}, "'My part' is a group node"),
        ({"type": "Anything Everywhere"}, "links nodes in a way that is not saved"),
    ],
)
def test_what_only_the_editor_knows_is_refused(node, words):
    with pytest.raises(InputError, match=words):
        to_prompt({"nodes": [{"id": 1, **node}]}, {})


def test_a_missing_node_names_its_pack():
    node = {"id": 1, "type": "NoSuchNode", "properties": {"cnr_id": "their-pack"}}
    with pytest.raises(NodesMissing, match="NoSuchNode; install the pack their-pack"):
        to_prompt({"nodes": [node]}, {})


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
