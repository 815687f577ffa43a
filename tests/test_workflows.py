"""Templates, their prompts and the blueprint are what editors and the tools of others take."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import typer
from comfy_api.latest import io
from comfy_cli.command.workflow import validate_api_workflow
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.workflow import load_prompt, patched
from PIL import Image

from .texts import schemas

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / "workflows"
TITLES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
BLUEPRINT = ROOT / "subgraphs" / "InstructPix2Pix - edit by instruction.json"
SCHEMAS = schemas()


@pytest.fixture(scope="module")
def server(stand_ins):
    """A ComfyUI with a file of each name that templates name, and a photo."""
    colors = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    photo = Image.fromarray(colors).resize((190, 128), Image.Resampling.BICUBIC)
    example = stand_ins.scratch / "input" / "example.png"
    photo.save(example)
    yield stand_ins
    example.unlink()


def get(server, path):
    with urllib.request.urlopen(server.url + path, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def comfy(server, tmp_path_factory):
    """Runs comfy-cli, with a home of its own and nothing reported to anybody."""
    home = tmp_path_factory.mktemp("home")

    def run(*arguments):
        command = [Path(sys.executable).with_name("comfy"), "--skip-prompt", "--no-json"]
        return subprocess.run(
            [*command, *arguments],
            env={**os.environ, "HOME": str(home), "DO_NOT_TRACK": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )

    return run


@pytest.fixture(scope="module")
def object_info(server, tmp_path_factory):
    file = tmp_path_factory.mktemp("info") / "object_info.json"
    file.write_text(json.dumps(get(server, "/object_info")))
    return file


def validate(file, object_info):
    """`comfy workflow validate` without a process of its own."""
    validate_api_workflow(str(file), where="local", input_path=str(object_info))


@pytest.mark.parametrize("title", TITLES)
def test_comfy_cli_finds_a_template_valid(object_info, title):
    validate(WORKFLOWS / f"{title}.json", object_info)


def test_comfy_cli_would_find_a_fault(comfy, object_info, tmp_path):
    prompt = load_prompt(WORKFLOWS / "api" / "weather.json")
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(patched(prompt, {"Sampler.numerics": "guessed"})))
    done = comfy("workflow", "validate", "--workflow", broken, "--input", object_info)
    assert done.returncode == 1 and "numerics" in done.stdout
    with pytest.raises(typer.Exit) as end:
        validate(broken, object_info)
    assert end.value.exit_code == 1


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("api/edit-only-a-region.json", "edit-only-a-region"),
        ("api/advanced-any-sampler-and-sigmas.json", "advanced-any-sampler-and-sigmas"),
        ("Edit weather - sunny to cloudy - InstructPix2Pix.json", "weather-sunny-to-cloudy"),
    ],
)
def test_comfy_cli_runs_a_workflow(comfy, server, file, name, tmp_path):
    there = ("--host", "127.0.0.1", "--port", str(server.port))
    before = set(server.output.rglob(f"{name}*.png"))  # of other tests on the same server
    done = comfy("run", "--workflow", quick(WORKFLOWS / file, tmp_path), "--wait", *there)
    assert done.returncode == 0, done.stdout
    made = list(set(server.output.rglob(f"{name}*.png")) - before)
    assert made, f"nothing came of it:\n{done.stdout}"
    assert all(Image.open(file).size == (512, 512) for file in made)


def quick(file, folder):
    """A copy of a workflow, of either format, with two steps."""
    workflow = json.loads(file.read_text(encoding="utf-8"))
    if "nodes" in workflow:
        (sampler,) = (node for node in workflow["nodes"] if node["type"] == "IP2PKSampler")
        values, place = sampler["widgets_values"], 2  # behind the seed and what becomes of it
    else:
        (values,) = (node["inputs"] for node in workflow.values() if "steps" in node["inputs"])
        place = "steps"
    assert values[place] > 2
    values[place] = 2
    copy = folder / "quick.json"
    copy.write_text(json.dumps(workflow), encoding="utf-8")
    return copy


def test_no_template_is_called_like_one_of_the_editors_own(server):
    index = get(server, "/templates/index.json")
    taken = {
        template.get(key, "").casefold()
        for module in index
        for template in module["templates"]
        for key in ("name", "title")
    }
    assert len(taken) > 100
    assert not taken & {title.casefold() for title in TITLES}


def test_lora_and_controlnet_in_the_graph_act_on_the_edit(server, tmp_path):
    """Each changes it; without both it is the plain edit, to the bit."""
    both = load_prompt(WORKFLOWS / "api" / "with-lora-and-controlnet.json")
    plain = load_prompt(WORKFLOWS / "api" / "your-photo-your-checkpoint.json")
    same = {"Source.image": both["2"], "Instruction.instruction": both["4"]}
    plain = patched(plain, {name: n["inputs"][name.split(".")[1]] for name, n in same.items()})
    no_lora = {"LoRA.strength_model": 0.0, "LoRA.strength_clip": 0.0}
    no_control = {"Apply ControlNet.strength": 0.0}
    prompts = [
        both,
        patched(both, no_lora),
        patched(both, no_control),
        patched(both, no_lora | no_control),
        plain,
    ]

    async def edits():
        async with Client(server.url) as client:
            await client.ready()
            for number, prompt in enumerate(prompts):
                done = await client.run(patched(prompt, {"Sampler.steps": 6}))
                (result,) = (made.file for made in done.outputs if made.title == "Result")
                await client.save(result, tmp_path / f"{number}.png")

    asyncio.run(edits())
    full, without_lora, without_control, neither, wanted = (
        np.asarray(Image.open(tmp_path / f"{number}.png")).astype(int)
        for number in range(len(prompts))
    )
    assert np.array_equal(neither, wanted)
    for other in (without_lora, without_control, neither):
        assert np.abs(full - other).mean() > 1  # grey levels


def test_the_blueprint_is_served_to_the_editor(server):
    offered = get(server, "/global_subgraphs")
    (key,) = (key for key, found in offered.items() if found["name"] == BLUEPRINT.stem)
    served = json.loads(get(server, f"/global_subgraphs/{key}")["data"])
    assert served == json.loads(BLUEPRINT.read_text(encoding="utf-8"))


def test_the_blueprint_is_whole(server):
    """One box; inside, nodes that exist with their widgets, and links that both ends know."""
    saved = json.loads(BLUEPRINT.read_text(encoding="utf-8"))
    (box,), (inside,) = saved["nodes"], saved["definitions"]["subgraphs"]
    assert box["type"] == inside["id"]
    for ours, theirs in (("inputs", "inputs"), ("outputs", "outputs")):
        names = [(slot["name"], slot["type"]) for slot in inside[theirs]]
        assert [(slot["name"], slot["type"]) for slot in box[ours]] == names

    inputs = {(inside["inputNode"]["id"], i): s for i, s in enumerate(inside["inputs"])}
    outputs = {(inside["outputNode"]["id"], i): s for i, s in enumerate(inside["outputs"])}
    for node in inside["nodes"]:
        info = get(server, f"/object_info/{node['type']}")[node["type"]]
        wanted = [*info["input"]["required"], *info["input"].get("optional", {})]
        assert sorted(slot["name"] for slot in node["inputs"]) == sorted(wanted)
        assert [slot["type"] for slot in node["outputs"]] == info["output"]
        inputs |= {(node["id"], i): slot for i, slot in enumerate(node["outputs"])}
        outputs |= {(node["id"], i): slot for i, slot in enumerate(node["inputs"])}
        if node["type"] in SCHEMAS:
            assert len(node.get("widgets_values", [])) == sum(
                map(widgets_of, SCHEMAS[node["type"]].inputs)
            )
    for link in inside["links"]:
        start = inputs[link["origin_id"], link["origin_slot"]]
        end = outputs[link["target_id"], link["target_slot"]]
        assert link["id"] in start.get("links", start.get("linkIds"))
        assert link["id"] in end.get("linkIds", [end.get("link")])
        assert start["type"] == end["type"] == link["type"]
    ends = [slot["link"] for node in inside["nodes"] for slot in node["inputs"] if slot["link"]]
    assert len(ends) + len(inside["outputs"]) == len(inside["links"])


def widgets_of(slot):
    """How many values the editor keeps for an input: a seed's is followed by what becomes of it."""
    if not isinstance(slot, io.WidgetInput):
        return 0
    return 2 if getattr(slot, "control_after_generate", False) else 1
