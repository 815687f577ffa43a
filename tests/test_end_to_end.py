"""The pack in a real ComfyUI, through its real queue, with checkpoints as people have them."""

import asyncio
import contextlib
import json
import pickle
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import safetensors.torch
import torch
from instruct_pix2pix.edits.prompt import edit_prompt
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import ExecutionFailed, Interrupted
from instruct_pix2pix.headless.messages import Event, Preview
from PIL import Image

from .checkpoints.factory import ldm_state_dict, tiny_checkpoint, tiny_pipeline
from .serving import serving
from .texts import schemas

WORKFLOWS = Path(__file__).parents[1] / "workflows" / "api"


class Payload:
    """A pickle that leaves a file behind when it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A checkpoints folder: a good one, a text-to-image one, a hostile, a truncated, an empty."""
    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_checkpoint(folder, "mini.safetensors")  # which works at 128 pixels
    text_to_image = ldm_state_dict(tiny_pipeline(in_channels=4))
    safetensors.torch.save_file(text_to_image, folder / "text-to-image.safetensors")
    (folder / "hostile.ckpt").write_bytes(pickle.dumps(Payload(folder / "executed")))
    whole = (folder / "tiny.safetensors").read_bytes()
    (folder / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.safetensors").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    with serving(models, tmp_path_factory.mktemp("config") / "paths.json") as server:
        yield server


@pytest.fixture
def photo(tmp_path):
    """A portrait picture of 83 x 131 pixels, and a mask of its upper half."""
    generator = np.random.default_rng(0)
    colours = generator.integers(0, 256, (9, 6, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((83, 131), Image.Resampling.BICUBIC).save(tmp_path / "p.png")
    mask = np.zeros((131, 83), np.uint8)
    mask[:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "p.png"


def run(server, work):
    """Run `work(client)` on the server."""

    async def session():
        async with Client(server.url) as client:
            await client.ready()
            return await work(client)

    return asyncio.run(session())


def edit(server, photo, output, listener=None, **parameters):
    parameters = {"checkpoint": "tiny.safetensors", "steps": 3} | parameters
    run(
        server,
        lambda client: client.edit(photo, "make it snow", output, listener=listener, **parameters),
    )
    return np.asarray(Image.open(output))


def test_the_editor_is_offered_every_node(server):
    info = run(server, lambda client: client.server.object_info())
    ours = {name: node for name, node in info.items() if node["category"] == "InstructPix2Pix"}
    assert set(ours) == set(schemas())
    for name, node in ours.items():
        for kind in ("required", "optional"):
            for slot, (_, options) in node["input"].get(kind, {}).items():
                assert options.get("tooltip"), f"{name}.{slot} has no tooltip"
        assert all(node["output_tooltips"]), f"{name} has an output without tooltip"
        assert node["description"], f"{name} has no description"


def test_an_edit_comes_back_in_the_photos_own_size_and_outside_the_mask_untouched(
    server, photo, tmp_path
):
    edited = edit(server, photo, tmp_path / "out.png", mask=photo.with_name("mask.png"))
    original = np.asarray(Image.open(photo))
    assert edited.shape == original.shape
    assert np.array_equal(edited[60:], original[60:])
    assert np.abs(edited[:60].astype(int) - original[:60]).mean() > 5


def test_the_same_prompt_twice_gives_the_same_bytes(server, photo, tmp_path):
    first = edit(server, photo, tmp_path / "a.png", seed=7)
    assert np.array_equal(first, edit(server, photo, tmp_path / "b.png", seed=7))
    assert not np.array_equal(first, edit(server, photo, tmp_path / "c.png", seed=8))


def test_progress_and_previews_arrive_while_it_samples(server, photo, tmp_path):
    heard = []
    edit(server, photo, tmp_path / "out.png", listener=heard.append, steps=12)
    progress = [
        message.data
        for message in heard
        if isinstance(message, Event) and message.type == "progress"
    ]
    assert progress[-1]["value"] == progress[-1]["max"] == 12
    previews = [message.image for message in heard if isinstance(message, Preview)]
    assert previews and previews[0][:2] == b"\xff\xd8", "no JPEG preview came"


def test_a_long_run_stops_when_it_is_interrupted_and_the_next_one_works(server, photo, tmp_path):
    async def interrupt_soon(client):
        started = asyncio.Event()

        def listener(message):
            if isinstance(message, Event) and message.type == "progress":
                started.set()

        source = await client.upload(photo)
        prompt = edit_prompt(
            source.annotated, "make it snow", checkpoint="tiny.safetensors", steps=10000
        )
        job = asyncio.create_task(client.run(prompt, listener=listener))
        await asyncio.wait_for(started.wait(), 60)
        async with aiohttp.ClientSession() as session:
            await session.post(f"{server.url}/interrupt", json={})
        with pytest.raises(Interrupted):
            await asyncio.wait_for(job, 30)

    run(server, interrupt_soon)
    edit(server, photo, tmp_path / "out.png")


@pytest.mark.parametrize(
    "checkpoint, words",
    [
        ("text-to-image.safetensors", "text-to-image"),
        ("hostile.ckpt", "hostile.ckpt"),
        ("truncated.safetensors", "truncated.safetensors"),
        ("empty.safetensors", "empty.safetensors"),
        ("../../etc/passwd", "etc/passwd"),
    ],
)
def test_a_file_that_is_no_ip2p_checkpoint_is_refused_by_name_and_the_server_lives_on(
    server, models, photo, tmp_path, checkpoint, words
):
    with pytest.raises(Exception, match=words) as refusal:
        edit(server, photo, tmp_path / "out.png", checkpoint=checkpoint)
    assert not isinstance(refusal.value, ExecutionFailed) or refusal.value.kind != "KeyError"
    assert not (models / "executed").exists()
    edit(server, photo, tmp_path / "after.png")


@pytest.mark.parametrize("slug", ["hair-color", "virtual-try-on", "weather"])
def test_the_shipped_workflows_run_as_they_are(server, slug, tmp_path):
    prompt = json.loads((WORKFLOWS / f"{slug}.json").read_text())

    async def run_and_save(client):
        result = await client.run(prompt)
        await client.save(result.outputs[0].file, tmp_path / "out.png")

    run(server, run_and_save)
    assert Image.open(tmp_path / "out.png").size == (512, 512)


def test_torch_is_asked_for_no_pickles(models):
    """The hostile file would execute under a plain load: the check above is not an empty one."""
    with contextlib.suppress(Exception):
        torch.load(models / "hostile.ckpt", weights_only=False)
    assert (models / "executed").exists()
