"""Writing instructions against a real server: dialects, failures, and what a kill leaves."""

import asyncio
import json

import aiohttp
import pytest
from instruct_pix2pix.pairs.captions import (
    ATTEMPTS,
    DIALECTS,
    Endpoint,
    ModelAway,
    ModelError,
    Unreadable,
    Writer,
    as_text,
    read_answer,
)
from instruct_pix2pix.pairs.rules import Rules
from instruct_pix2pix.pairs.triples import Triple, TripleLedger, TriplesError, examples

from .language_server import LanguageServer

CAPTIONS = [f"a photo of lake number {number}" for number in range(6)]


def triple_of(caption):
    """What the server proposes."""
    return Triple(caption, f"snow on {caption}", f"{caption} in snow")


def written(server, path, captions=CAPTIONS[:1], at_once=4, **options):
    """Run the writer against the server; its ledger and counts."""

    async def run():
        ledger = TripleLedger(path)
        try:
            async with server.running() as url, aiohttp.ClientSession() as session:
                settings = {"pause": 0.001, "patience": 0.5, "edits": 1} | options
                endpoint = Endpoint(url, "tiny", **settings)
                writer = Writer(session, endpoint, Rules(), ledger, examples())
                await writer.write(captions, at_once)
                return ledger, writer
        finally:
            ledger.close()

    return asyncio.run(run())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_triples(dialect, tmp_path) -> None:
    server = LanguageServer(dialect)
    ledger, writer = written(server, tmp_path / "ledger", CAPTIONS)
    assert sorted(ledger.triples()) == [triple_of(caption) for caption in CAPTIONS]
    assert writer.dialect == dialect
    forms = [body.get("response_format", {}).get("type", "text") for body, *_ in server.requests]
    assert forms.count(dialect) == len(CAPTIONS)
    # What the server has refused once it is not asked again, but for requests under way.
    assert all(forms.count(other) <= 4 for other in DIALECTS if other != dialect)


def test_a_request_shows_examples_and_the_schema(tmp_path) -> None:
    server = LanguageServer()
    written(server, tmp_path / "ledger", edits=3)
    body = server.requests[0][0]
    assert body["model"] == "tiny"
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["edits"]
    assert body["messages"][0]["role"] == "system" and '{"edits"' in body["messages"][0]["content"]
    assert len(body["messages"]) == 1 + 2 * 8 + 1
    assert body["messages"][-1]["content"] == f"3 edits of: {CAPTIONS[0]}"


def test_the_text_form_is_the_authors_and_asks_for_one_edit_at_a_time(tmp_path) -> None:
    server = LanguageServer("text")
    written(server, tmp_path / "ledger", edits=3)
    asked = [body for body, *_ in server.requests if "response_format" not in body]
    assert len(asked) == 3 and len({body["seed"] for body in asked}) == 3
    assert asked[0]["stop"] == ["\nEND"]
    assert asked[0]["messages"][-1]["content"] == f"{CAPTIONS[0]}\n##\n"
    answer = asked[0]["messages"][2]["content"]
    assert answer.count("\n%%\n") == 1 and answer.endswith("\nEND")
    assert as_text(Triple("a", "b", "c")) == "b\n%%\nc\nEND"


def test_each_caption_has_a_seed_of_its_own_and_the_same_one_again(tmp_path) -> None:
    def seeds(folder: str, **settings) -> dict[str, int]:
        server = LanguageServer()
        written(server, tmp_path / folder, CAPTIONS, edits=3, **settings)
        return {body["messages"][-1]["content"]: body["seed"] for body, *_ in server.requests}

    first = seeds("first")
    assert len({*first.values()}) == len(CAPTIONS) and seeds("again") == first
    assert not {*first.values()} & {*seeds("other", seed=1).values()}


@pytest.mark.parametrize("dialect", ["json_schema", "text"])
@pytest.mark.parametrize("failure", [429, 500, "stall", "cut connection", "cut"])
def test_a_passing_failure_costs_a_try_and_no_triple(dialect, failure, tmp_path) -> None:
    server = LanguageServer(dialect, [failure])
    ledger, writer = written(server, tmp_path / "ledger")
    assert list(ledger.triples()) == [triple_of(CAPTIONS[0])]
    assert writer.counts["failed"] == 0


def test_json_is_found_in_what_a_model_says_around_it(tmp_path) -> None:
    server = LanguageServer(failures=["around"])
    assert list(written(server, tmp_path / "ledger")[0].triples()) == [triple_of(CAPTIONS[0])]
    assert len(server.requests) == 1


def test_entries_of_wrong_types_are_counted(tmp_path) -> None:
    ledger, _ = written(LanguageServer(failures=["wrong types"]), tmp_path / "ledger")
    assert list(ledger.triples()) == [] and ledger.refused() == {"wrong types": 2}


@pytest.mark.parametrize("failure", [429, 500, "stall"])
def test_a_server_that_stays_away_ends_the_run_and_keeps_what_there_is(failure, tmp_path) -> None:
    server = LanguageServer(failures=[None] + [failure] * ATTEMPTS)
    with pytest.raises(ModelAway, match=f"{ATTEMPTS} times"):
        written(server, tmp_path / "ledger", CAPTIONS[:2], at_once=1, patience=0.1)
    ledger, _ = written(LanguageServer(), tmp_path / "ledger", CAPTIONS[:2])
    assert [triple.input for triple in ledger.triples()] == CAPTIONS[:2]


def test_a_caption_that_never_gets_a_readable_answer_is_failed_and_asked_again(tmp_path) -> None:
    server = LanguageServer(failures=["cut"] * ATTEMPTS)
    ledger, writer = written(server, tmp_path / "ledger", CAPTIONS[:2], at_once=1)
    assert writer.counts["failed"] == 1 and writer.counts["answered"] == 1
    second = LanguageServer()
    ledger, _ = written(second, tmp_path / "ledger", CAPTIONS[:2])
    assert len(second.requests) == 1
    assert sorted(t.input for t in ledger.triples()) == CAPTIONS[:2]


@pytest.mark.parametrize(
    ("failure", "message"),
    [(401, "key is missing or wrong"), (404, "right up to /v1"), (307, "status 307")],
)
def test_what_no_try_can_mend_ends_the_run_at_once(failure, message, tmp_path) -> None:
    server = LanguageServer(failures=[failure])
    with pytest.raises(ModelError, match=message):
        written(server, tmp_path / "ledger")
    assert len(server.requests) == 1


def test_a_server_that_refuses_every_form_is_quoted(tmp_path) -> None:
    with pytest.raises(ModelError, match="refuses the request: .*not now"):
        written(LanguageServer("text", failures=[400]), tmp_path / "ledger")


def test_the_key_goes_to_the_server_and_nowhere_else(tmp_path) -> None:
    server = LanguageServer(key="s3cret")
    written(server, tmp_path / "ledger", key="s3cret")
    assert server.requests[0][1]["Authorization"] == "Bearer s3cret"
    assert b"s3cret" not in (tmp_path / "ledger").read_bytes()
    assert "s3cret" not in repr(Endpoint("u", "m", key="s3cret"))
    redirecting = LanguageServer(failures=[307], key="s3cret")
    with pytest.raises(ModelError) as error:
        written(redirecting, tmp_path / "other", key="s3cret")
    assert "s3cret" not in str(error.value)
    assert [path for *_, path in redirecting.requests] == ["/v1/chat/completions"]


def test_no_more_requests_at_once_than_allowed(tmp_path) -> None:
    server = LanguageServer()
    written(server, tmp_path / "ledger", [f"{c} b" for c in CAPTIONS] + CAPTIONS, at_once=3)
    assert server.most_at_once == 3


def test_a_resumed_run_asks_only_for_what_is_missing(tmp_path) -> None:
    written(LanguageServer(), tmp_path / "ledger", CAPTIONS[:3])
    server = LanguageServer()
    ledger, writer = written(server, tmp_path / "ledger", CAPTIONS[:5])
    assert len(server.requests) == 2
    assert sorted(t.input for t in ledger.triples()) == CAPTIONS[:5]
    assert writer.counts["answered"] == 5


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_that_a_kill_left_half_written_is_asked_again_and_not_doubled(cut, tmp_path) -> None:
    path = tmp_path / "ledger"
    written(LanguageServer(), path, CAPTIONS[:3], at_once=1)
    path.write_bytes(path.read_bytes()[:-cut])
    server = LanguageServer()
    ledger, _ = written(server, path, CAPTIONS[:3])
    assert len(server.requests) == 1
    assert sorted(t.input for t in ledger.triples()) == CAPTIONS[:3]
    lines = [json.loads(line)["caption"] for line in path.read_text().splitlines()]
    assert sorted(lines) == CAPTIONS[:3]


def test_another_file_is_not_taken_for_a_ledger(tmp_path) -> None:
    path = tmp_path / "ledger"
    path.write_text("my notes\n")
    with pytest.raises(TriplesError, match="is not the ledger"):
        TripleLedger(path)
    assert path.read_text() == "my notes\n"


def test_answers_are_read_whatever_stands_around_them() -> None:
    good = '{"edits": [{"instruction": "a b", "edited_caption": "c"}]}'
    for text in (good, f"Sure: {good} bye", f"{{no}} {good}", f'{{"edits": []}} then {good}'):
        assert read_answer(text).edits == [("a b", "c")]
    assert read_answer("a b\n%%\nc\nEND\nmore\n%%\n").edits == [("a b", "c")]
    for text in ("", "nothing", good[:-3], "a\n%%\nb\n%%\nc", "\n%%\n", "{" * 5000):
        with pytest.raises(Unreadable):
            read_answer(text)
