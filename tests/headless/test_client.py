"""The client against a real ComfyUI."""

import asyncio
import uuid

import numpy as np
import pytest
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import (
    ExecutionFailed,
    InputError,
    Interrupted,
    JobTimeout,
    NodesMissing,
    ServerUnavailable,
    WorkflowRefused,
)
from instruct_pix2pix.headless.messages import Event
from PIL import Image

from .graphs import colour, invert, slow


def with_client(server, use, **options):
    async def once():
        async with Client(server.url, **options) as client:
            return await use(client)

    return asyncio.run(once())


async def ran_to_its_end(client, prompt_id):
    """Whether that job did. A job behind it waits for whatever still runs."""
    await client.run(colour(1, "after"))
    history = await client.server._json("GET", "history")
    return prompt_id in history and history[prompt_id]["status"]["completed"]


def test_uploads_runs_and_saves(comfyui, picture, tmp_path):
    """A picture goes through the server's queue and comes back with the right pixels."""
    events = []

    async def use(client):
        source = await client.upload(picture)
        result = await client.run(invert(source.annotated), listener=events.append)
        await client.save(result.outputs[0].file, tmp_path / "out.png")
        return result

    result = with_client(comfyui, use)
    assert [o.title for o in result.outputs] == ["Result"]
    before, after = (np.asarray(Image.open(p)) for p in (picture, tmp_path / "out.png"))
    # SaveImage truncates, so a grey level can be lost.
    np.testing.assert_allclose(after.astype(int), 255 - before, atol=1)
    heard = [e for e in events if isinstance(e, Event)]
    assert heard[0].type == "execution_start"
    # The end is told by no node; a busy server tells of its progress once more after that.
    assert any(e.type == "executing" and e.data["node"] is None for e in heard)
    assert "class_type" in Image.open(tmp_path / "out.png").text["prompt"]


def test_the_same_picture_is_kept_once(comfyui, picture):
    async def use(client):
        first = await client.upload(picture)
        client._uploads.clear()
        return first, await client.upload(picture)

    first, second = with_client(comfyui, use)
    assert first == second


def test_a_cached_run_has_its_outputs(comfyui):
    """The second run executes nothing, and still ends with the same file."""

    async def use(client):
        return [await client.run(colour(7, "cached")) for _ in range(2)]

    first, second = with_client(comfyui, use)
    assert first.outputs == second.outputs and first.prompt_id != second.prompt_id


def test_an_unknown_node_is_named(comfyui):
    prompt = {"1": {"class_type": "NoSuchNode", "inputs": {}, "_meta": {"title": "Mystery"}}}
    with pytest.raises(NodesMissing, match="NoSuchNode"):
        with_client(comfyui, lambda client: client.run(prompt))


def test_a_wrong_value_is_named_by_title(comfyui):
    prompt = colour()
    prompt["1"]["inputs"]["width"] = -1
    with pytest.raises(WorkflowRefused, match=r"Colour\.width: got -1; give ") as caught:
        with_client(comfyui, lambda client: client.run(prompt))
    assert caught.value.problems[0].kind == "value_smaller_than_min"


def test_a_prompt_that_is_valid_in_part_is_refused_and_not_left_running(comfyui):
    """ComfyUI answers 200 and queues the valid part; we refuse all of it."""
    prompt, prompt_id = slow(1), str(uuid.uuid4())
    prompt["bad"] = {"class_type": "PreviewImage", "inputs": {}}

    async def use(client):
        with pytest.raises(WorkflowRefused, match=r"PreviewImage\.images: nothing is given"):
            await client.run(prompt, prompt_id=prompt_id)
        return await ran_to_its_end(client, prompt_id)

    assert not with_client(comfyui, use)


def test_a_failing_node_is_named_with_its_message(comfyui):
    """A picture cannot be scaled to no pixels; the node's own words reach the caller."""
    prompt = colour(1)
    prompt["5"] = {
        "class_type": "ImageScaleBy",
        "inputs": {"image": ["1", 0], "upscale_method": "lanczos", "scale_by": 0.01},
        "_meta": {"title": "Shrink"},
    }
    prompt["2"]["inputs"]["images"] = ["5", 0]
    with pytest.raises(ExecutionFailed, match="Shrink: height and width must be > 0") as caught:
        with_client(comfyui, lambda client: client.run(prompt))
    assert caught.value.traceback


def test_an_interrupt_on_the_server_is_told(comfyui):
    async def use(client):
        def stop(event):
            if isinstance(event, Event) and event.type == "executing":
                tasks.append(asyncio.create_task(client.server._send("interrupt", {})))

        tasks = []
        with pytest.raises(Interrupted):
            await client.run(slow(2), listener=stop)

    with_client(comfyui, use)


def test_a_timeout_takes_the_job_off_the_server(comfyui):
    prompt_id = str(uuid.uuid4())

    async def use(client):
        with pytest.raises(JobTimeout):
            await client.run(slow(3), prompt_id=prompt_id)
        client.timeout = None
        return await ran_to_its_end(client, prompt_id)

    assert not with_client(comfyui, use, timeout=0.5)


def test_cancelling_is_local_while_waiting(comfyui):
    """With one slot a second job is not on the server; cancelling it sends nothing there."""

    async def use(client):
        started = asyncio.Event()
        first = asyncio.create_task(client.run(slow(4), listener=lambda event: started.set()))
        await started.wait()
        never = str(uuid.uuid4())
        second = asyncio.create_task(client.run(colour(4, "never"), prompt_id=never))
        for _ in range(3):  # round trips, in which it would be sent
            queue = await client.server._json("GET", "queue")
            assert len(queue["queue_running"] + queue["queue_pending"]) == 1
        second.cancel()
        await client.server._send("interrupt", {})  # rather than to wait for its end
        with pytest.raises(Interrupted):
            await first
        assert not await ran_to_its_end(client, never)

    with_client(comfyui, use, max_queued=1)


def test_a_job_queued_before_is_taken_up_and_not_queued_again(comfyui):
    """After a crash of the client: the same id waits for, or collects, the job that is there."""
    prompt_id = str(uuid.uuid4())

    async def use(client):
        await client.server.post_prompt(colour(5, "before"), prompt_id, str(uuid.uuid4()))
        first = await client.run(colour(5, "before"), prompt_id=prompt_id)
        second = await client.run(colour(5, "before"), prompt_id=prompt_id)
        history = await client.server._json("GET", "history")
        return first, second, [k for k in history if k == prompt_id]

    first, second, entries = with_client(comfyui, use)
    assert first.outputs == second.outputs and len(entries) == 1


def test_a_broken_picture_is_refused_before_it_is_sent(comfyui, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    with pytest.raises(InputError, match="bad.jpg"):
        with_client(comfyui, lambda client: client.upload(bad))


def test_no_server_is_said_within_the_patience():
    class Nowhere:
        url = "http://127.0.0.1:9"

    with pytest.raises(ServerUnavailable, match="127.0.0.1:9"):
        with_client(Nowhere, lambda client: client.run(colour()), patience=1.0)
