"""The templates' pictures come into ComfyUI's input folder, and nothing there is touched."""

import asyncio
import importlib.util
import json
import os
from pathlib import Path

import folder_paths
import numpy as np
import pytest
from instruct_pix2pix.nodes.examples import PICTURES, put_examples
from PIL import Image

import nodes as core_nodes

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in PICTURES.glob("*.png"))


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    folder = tmp_path / "input"
    monkeypatch.setattr(folder_paths, "input_directory", str(folder))
    return folder


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_start_of_the_pack_brings_what_is_missing(inputs):
    """Into a folder that is not there yet; the second start writes nothing."""
    spec = importlib.util.spec_from_file_location(
        "instruct_pix2pix", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)
    asyncio.run(entry.comfy_entrypoint())
    assert files_of(inputs) == files_of(PICTURES) and NAMES
    before = {path: path.stat().st_mtime_ns for path in inputs.iterdir()}
    asyncio.run(entry.comfy_entrypoint())
    assert {path: path.stat().st_mtime_ns for path in inputs.iterdir()} == before


def test_a_file_of_the_user_is_never_overwritten(inputs):
    inputs.mkdir()
    (inputs / NAMES[0]).write_bytes(b"mine")
    (inputs / NAMES[1]).mkdir()
    put_examples()
    assert (inputs / NAMES[0]).read_bytes() == b"mine" and (inputs / NAMES[1]).is_dir()
    assert sorted(path.name for path in inputs.iterdir()) == NAMES


def test_a_folder_that_cannot_be_written_to_does_not_stop_the_start(inputs, caplog):
    inputs.write_bytes(b"a file where the folder should be")
    put_examples()
    assert "the pictures of the templates are missing" in caplog.text
    assert inputs.read_bytes() == b"a file where the folder should be"


def test_the_templates_and_their_prompts_name_pictures_that_there_are():
    named = set()
    for path in (ROOT / "workflows" / "api").glob("*.json"):
        prompt = json.loads(path.read_text(encoding="utf-8"))
        for node in prompt.values():
            if node["class_type"] == "LoadImage":
                named.add(node["inputs"]["image"])
    assert named and named <= set(NAMES)
    assert set(NAMES) <= named, "a picture that no template opens with"


@pytest.mark.parametrize("name", NAMES)
def test_core_loads_each_as_a_picture_with_its_mask(inputs, name):
    put_examples()
    image, mask = core_nodes.LoadImage().load_image(name)
    with Image.open(PICTURES / name) as picture:
        masked = "A" in picture.getbands()
        assert image.shape == (1, picture.height, picture.width, 3)
    assert os.path.getsize(PICTURES / name) < 150_000
    # As anybody's photo: without alpha, core gives a black mask.
    assert np.asarray(mask).any() == masked == (name in ("ip2p-wall.png", "ip2p-woman-masked.png"))
