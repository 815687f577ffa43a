"""Sessions take turns, however much one of them has queued."""

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
    job = Job("t", kept.id, "x", {})
    session.jobs.append(job)
    folder = session.folder
    session.close()
    assert not folder.exists() and job.state == CANCELLED and not session.pictures


def test_a_page_that_does_not_listen_reads_all_of_it_anew():
    async def use():
        session, news = Session(), asyncio.Queue(2)
        session.listeners.add(news)
        for kind in ("state", "preview", "step"):  # the third finds no room
            session.tell(kind)
        return [news.get_nowait() for _ in range(news.qsize())]

    assert asyncio.run(use()) == [("state", None)]
