"""The pack in a real ComfyUI, through its real queue, with checkpoints as people have them."""

import asyncio
import contextlib
import itertools
import pickle

import aiohttp
import numpy as np
import pytest
import torch
from instruct_pix2pix.edits.prompt import edit_prompt
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import ExecutionFailed, Interrupted
from instruct_pix2pix.headless.messages import Event, Preview
from PIL import Image

from .texts import schemas

SEEDS = itertools.count(100)


class Payload:
    """A pickle that leaves a file behind when it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def models(comfyui):
    """Its checkpoints: a good one, a text-to-image one, a hostile, a truncated, an empty."""
    folder = comfyui.log.parent
    whole = (folder / "tiny.safetensors").read_bytes()
    bad = {
        "hostile.ckpt": pickle.dumps(Payload(folder / "executed")),
        "truncated.safetensors": whole[: len(whole) // 2],
        "empty.safetensors": b"",
    }
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    yield folder
    for name in (*bad, "executed"):
        (folder / name).unlink(missing_ok=True)


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
    """An edit with a seed of its own, so that the server has not made it before."""
    parameters = {"checkpoint": "tiny.safetensors", "steps": 3, "seed": next(SEEDS)} | parameters
    run(
        server,
        lambda client: client.edit(photo, "make it snow", output, listener=listener, **parameters),
    )
    return np.asarray(Image.open(output))


def test_the_editor_is_offered_every_node(comfyui):
    info = run(comfyui, lambda client: client.server.object_info())
    ours = {name: node for name, node in info.items() if node["category"] == "InstructPix2Pix"}
    assert set(ours) == set(schemas())
    for name, node in ours.items():
        for kind in ("required", "optional"):
            for slot, (_, options) in node["input"].get(kind, {}).items():
                assert options.get("tooltip"), f"{name}.{slot} has no tooltip"
        assert all(node["output_tooltips"]), f"{name} has an output without tooltip"
        assert node["description"], f"{name} has no description"


def test_an_edit_comes_back_in_the_photos_own_size_and_outside_the_mask_untouched(
    comfyui, photo, tmp_path
):
    edited = edit(comfyui, photo, tmp_path / "out.png", mask=photo.with_name("mask.png"))
    original = np.asarray(Image.open(photo))
    assert edited.shape == original.shape
    assert np.array_equal(edited[60:], original[60:])
    assert np.abs(edited[:60].astype(int) - original[:60]).mean() > 5


def test_the_same_prompt_twice_gives_the_same_bytes(comfyui, photo, tmp_path):
    first, other = (edit(comfyui, photo, tmp_path / f"{seed}.png", seed=seed) for seed in (7, 8))
    heard = []  # the server has dropped what it made first, and samples it anew
    again = edit(comfyui, photo, tmp_path / "again.png", heard.append, seed=7)
    assert any(isinstance(message, Event) and message.type == "progress" for message in heard)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_progress_and_previews_arrive_while_it_samples(comfyui, photo, tmp_path):
    heard = []
    edit(comfyui, photo, tmp_path / "out.png", listener=heard.append, steps=12)
    progress = [
        message.data
        for message in heard
        if isinstance(message, Event) and message.type == "progress"
    ]
    assert progress[-1]["value"] == progress[-1]["max"] == 12
    previews = [message.image for message in heard if isinstance(message, Preview)]
    assert previews and previews[0][:2] == b"\xff\xd8", "no JPEG preview came"


def test_a_long_run_stops_when_it_is_interrupted_and_the_next_one_works(comfyui, photo, tmp_path):
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
            await session.post(f"{comfyui.url}/interrupt", json={})
        with pytest.raises(Interrupted):
            await asyncio.wait_for(job, 30)

    run(comfyui, interrupt_soon)
    edit(comfyui, photo, tmp_path / "out.png")


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
    comfyui, models, photo, tmp_path, checkpoint, words
):
    with pytest.raises(Exception, match=words) as refusal:
        edit(comfyui, photo, tmp_path / "out.png", checkpoint=checkpoint)
    assert not isinstance(refusal.value, ExecutionFailed) or refusal.value.kind != "KeyError"
    assert not (models / "executed").exists()
    edit(comfyui, photo, tmp_path / "after.png")


def test_torch_is_asked_for_no_pickles(models):
    """The hostile file would execute under a plain load: the check above is not an empty one."""
    with contextlib.suppress(Exception):
        torch.load(models / "hostile.ckpt", weights_only=False)
    assert (models / "executed").exists()
