"""`ip2p pairs write` as a process of its own, against a real server and after a kill."""

import asyncio
import contextlib
import json
import signal
import threading
import time

import pytest
from instruct_pix2pix.pairs.triples import Triple, examples

from ..pairs.language_model import learnt_by_heart
from ..pairs.language_server import LanguageServer
from .command import finished, in_process, ip2p

CAPTIONS = [f"a photo of lake number {number}" for number in range(12)]


@contextlib.contextmanager
def served(server):
    """The server's address, while it runs in a thread of its own."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []

    async def run():
        async with server.running() as url:
            address.append(url)
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait()
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(CAPTIONS) + f"\n\n{CAPTIONS[0]}\n")
    return path


def triples(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_write_makes_triples_and_says_what_was_refused(captions, tmp_path) -> None:
    def edits(caption):
        good = (f"snow on {caption}", f"{caption} in snow")
        return [good, ("snow", caption), (f"no change of {caption}", caption)]

    out = tmp_path / "triples.jsonl"
    with served(LanguageServer(edits=edits)) as url:
        code, told = finished(ip2p("pairs", "write", captions, "--llm", url, "-o", out))
    assert code == 0, told
    assert f"12 triples of 12 captions: {out}" in told
    assert "refused  12  nothing changed" in told
    assert sorted(triple["input"] for triple in triples(out)) == sorted(CAPTIONS)
    assert set(triples(out)[0]) == {"input", "edit", "output"}


def test_a_killed_run_goes_on_and_writes_nothing_twice(captions, tmp_path) -> None:
    out = tmp_path / "triples.jsonl"
    server = LanguageServer()
    server.pause = 0.3
    with served(server) as url:
        command = ("pairs", "write", captions, "--llm", url, "-o", out, "--at-once", "2")
        first = ip2p(*command)
        while len(server.requests) < 5:
            assert first.poll() is None, finished(first)
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        finished(first)
        before, server.pause = len(server.requests), 0.0
        code, told = in_process(*command)
    assert code == 0, told
    assert sorted(triple["input"] for triple in triples(out)) == sorted(CAPTIONS)
    # Of those asked before, at most the two under way are asked again.
    assert len(server.requests) - before <= len(CAPTIONS) - (before - 2)


def test_each_mistake_has_its_sentence_and_its_code(captions, tmp_path) -> None:
    def run(*arguments):
        return in_process("pairs", "write", *arguments, "-o", tmp_path / "t.jsonl")

    code, told = run(tmp_path / "none.txt", "--llm", "http://127.0.0.1:9/v1")
    assert code == 3 and "none.txt cannot be read (No such file or directory)" in told
    code, told = run(captions, "--llm", "nowhere")
    assert code == 4 and "is not an address; give http://host:port/v1" in told
    with served(LanguageServer(key="right")) as url:
        code, told = run(captions, "--llm", url)
    assert code == 4 and "the key is missing or wrong" in told


def test_a_folder_is_served_and_a_model_of_the_authors_form_writes_its_triples(tmp_path) -> None:
    known = examples()[:6]
    folder = learnt_by_heart(tmp_path / "model", known)
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(triple.input for triple in known))
    out = tmp_path / "triples.jsonl"
    arguments = ("--edits", "1", "--temperature", "0")
    code, told = finished(ip2p("pairs", "write", captions, "--llm", folder, "-o", out, *arguments))
    assert code == 0, told
    assert [Triple(**row) for row in triples(out)] == known


def test_a_folder_without_a_model_says_so(captions, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    write = ip2p("pairs", "write", captions, "--llm", tmp_path / "empty", cwd=tmp_path)
    code, told = finished(write)
    assert code == 4
    assert "empty holds no language model" in told and "did not load" in told
