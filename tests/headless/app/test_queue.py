"""Whoever has queued how much: a turn for each person."""

import asyncio

from instruct_pix2pix.headless.app.queue import Queue
from instruct_pix2pix.headless.app.session import CANCELLED, Job, Session


def test_people_take_turns():
    async def use():
        queue, many, few = Queue(), Session(), Session()
        await queue.add(many, [Job("t", "s", f"many {n}", {}) for n in range(3)])
        await queue.add(few, [Job("t", "s", "few", {})])
        ahead = {job.instruction: queue.positions()[job.id] for job in many.jobs + few.jobs}
        order = [(await queue._next())[1].instruction]
        assert sorted(queue.positions().values()) == [1, 2, 3]  # behind the one that runs
        order += [(await queue._next())[1].instruction for _ in range(3)]
        many.close()
        few.close()
        return ahead, order

    ahead, order = asyncio.run(use())
    assert order == ["many 0", "few", "many 1", "many 2"]
    assert sorted(ahead, key=ahead.__getitem__) == order


def test_a_closed_session_leaves_no_file_and_no_work():
    session = Session()
    kept = session.keep("photo.png", ".png", b"bytes")
    session.jobs.append(Job("t", kept.id, "x", {}))
    folder = session.folder
    session.close()
    assert not folder.exists() and session.jobs[0].state == CANCELLED
