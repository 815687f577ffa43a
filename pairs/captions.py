"""Instructions from captions, by a language model behind an OpenAI-compatible address.

llama.cpp, Ollama, vLLM, LM Studio and the clouds speak it. They differ in how the form of an
answer can be asked for, so we ask for a JSON schema, then for a JSON object, then for the authors'
own text form, and go on with the first that the server takes.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import aiohttp

from .rules import Rules
from .triples import Answered, Triple, TripleLedger

Dialect = Literal["json_schema", "json_object", "text"]
DIALECTS: tuple[Dialect, ...] = ("json_schema", "json_object", "text")
ATTEMPTS = 5
SHOWN = 8  # examples in a request
MOST_ANSWER = 1 << 20  # bytes
SYSTEM = (
    "You invent edits of pictures. Given the caption of a picture, write instructions that a "
    "person could give to change it (an object, a color, a material, the weather, the season, a "
    "style, clothes, hair), and for each the caption of the picture after the edit. Change as few "
    "words of the caption as the edit needs. Do not move the camera or the things in the picture."
)
SHAPE = 'Answer with JSON alone: {"edits": [{"instruction": "...", "edited_caption": "..."}]}'
SCHEMA = {
    "type": "object",
    "properties": {
        "edits": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "instruction": {"type": "string"},
                    "edited_caption": {"type": "string"},
                },
                "required": ["instruction", "edited_caption"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["edits"],
    "additionalProperties": False,
}
SEPARATOR, MIDDLE, END = "\n##\n", "\n%%\n", "\nEND"  # of the authors' text form


class ModelError(Exception):
    """The language model cannot be used, whatever the caption; the message says what to do."""


class ModelAway(ModelError):
    """Nothing answers, or not in time: start the server, or run the command again later."""


class Unreadable(Exception):
    """One answer that holds no triple; the next may."""


class Refused(Exception):
    """The server does not take a request of this dialect."""


@dataclass(frozen=True)
class Endpoint:
    """Where the language model is, and how to ask it.

    url      up to and with /v1
    key      sent as a bearer token; "" for none. It is kept in memory alone
    edits    how many edits to ask for, of each caption
    seed     decides, with the caption, which examples are shown and what seed the server gets
    patience seconds that one answer may take
    pause    seconds to wait before the second try; each further one waits twice as long
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    edits: int = 3
    temperature: float = 0.7
    seed: int = 0
    patience: float = 120.0
    pause: float = 1.0


class Writer:
    """Asks for the captions of one run, several at a time, and writes the answers down.

    async with aiohttp.ClientSession() as session:
        await Writer(session, endpoint, rules, ledger, examples).write(captions)
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        rules: Rules,
        ledger: TripleLedger,
        examples: Sequence[Triple],
        report: Callable[[Counter[str]], None] = lambda counts: None,
    ) -> None:
        self.session, self.endpoint, self.rules = session, endpoint, rules
        self.ledger, self.examples, self.report = ledger, examples, report
        self.dialect: Dialect = DIALECTS[0]
        self.counts: Counter[str] = Counter()
        self.started = time.monotonic()
        for triple in ledger.triples():
            rules.keep(triple.edit)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    async def write(self, captions: Sequence[str], at_once: int = 4) -> None:
        """Ask for every caption that the ledger does not have, or has as failed.

        Raises ModelError, ModelAway, or TriplesError when the disk is full; what was answered until
        then is in the ledger, and the same call goes on from there.
        """
        known = self.ledger.answers
        waiting = [
            c for c in captions if known.get(Answered(c).key, Answered(c, failed="-")).failed
        ]
        self.counts["captions"] = len(captions)
        self.counts["answered"] = len(captions) - len(waiting)
        remaining = iter(waiting)

        async def work() -> None:
            for caption in remaining:
                answered = await self._answer(caption)
                self.ledger.add(answered)
                self.counts["failed" if answered.failed else "answered"] += 1
                self.counts["triples"] += len(answered.triples)
                self.report(self.counts)

        tasks = [asyncio.create_task(work()) for _ in range(at_once)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, caption: str) -> Answered:
        """What the model makes of a caption, by the rules."""
        answered, refused = Answered(caption), Counter[str]()
        try:
            proposals = await self._proposals(caption)
        except Unreadable as error:
            answered.failed = str(error)
            return answered
        for instruction, edited in proposals.edits:
            instruction, edited = instruction.strip(), edited.strip()
            kept = [triple.edit for triple in answered.triples]
            if reason := self.rules.refusal(caption, instruction, edited, kept):
                refused[reason] += 1
            else:
                self.rules.keep(instruction)
                answered.triples.append(Triple(caption, instruction, edited))
        refused["wrong types"] += proposals.wrong
        answered.refused = dict(+refused)
        return answered

    async def _proposals(self, caption: str) -> Proposals:
        """What the model proposes; Unreadable where not one answer could be read."""
        found, number = Proposals([], 0), 0
        while number < self.endpoint.edits:
            try:
                part = await self._tried(caption, number)
            except Unreadable:
                if not found.edits:
                    raise
                break
            found = Proposals(found.edits + part.edits, found.wrong + part.wrong)
            # An answer in the text form is one edit, the others are all.
            number += 1 if self.dialect == "text" else self.endpoint.edits
        return found

    async def _tried(self, caption: str, number: int) -> Proposals:
        """Ask until an answer can be read, in the next dialect where the server refuses one."""
        for attempt in range(ATTEMPTS):
            dialect = self.dialect
            try:
                content = await self._ask(caption, dialect, number + attempt * self.endpoint.edits)
                return read_answer(content)
            except Refused as error:
                if dialect == "text":
                    raise ModelError(f"{self.endpoint.url}: {error}") from None
                if self.dialect == dialect:  # unless another caption has found out meanwhile
                    self.dialect = DIALECTS[DIALECTS.index(dialect) + 1]
            except (Unreadable, Busy) as error:
                if attempt == ATTEMPTS - 1:
                    if isinstance(error, Unreadable):
                        raise
                    raise ModelAway(
                        f"{self.endpoint.url}: {error}, {ATTEMPTS} times. What was answered is "
                        "kept; run the command again when the server is well."
                    ) from None
                if isinstance(error, Busy):
                    await asyncio.sleep(max(error.wait, self.endpoint.pause * 2**attempt))
        raise Unreadable("no answer that could be read")

    async def _ask(self, caption: str, dialect: Dialect, number: int) -> str:
        """One request; the text of its answer. Raises ModelError, Refused, Busy or Unreadable."""
        headers = {"Authorization": f"Bearer {self.endpoint.key}"} if self.endpoint.key else {}
        patience = aiohttp.ClientTimeout(total=self.endpoint.patience)
        try:
            async with self.session.post(
                f"{self.endpoint.url.rstrip('/')}/chat/completions",
                json=self._body(caption, dialect, number),
                headers=headers,
                timeout=patience,
                allow_redirects=False,  # the key goes nowhere else
            ) as answer:
                raw = await answer.content.read(MOST_ANSWER)
                self._check(answer, raw)
        except asyncio.TimeoutError:
            raise Busy(f"no answer within {self.endpoint.patience:g} seconds") from None
        except aiohttp.InvalidURL:
            raise ModelError(
                f"{self.endpoint.url} is not an address; give http://host:port/v1"
            ) from None
        except aiohttp.ClientError as error:
            raise Busy(f"{type(error).__name__}: {error}") from None
        try:
            return str(json.loads(raw)["choices"][0]["message"]["content"])
        except (ValueError, KeyError, IndexError, TypeError):
            raise Unreadable("the server's answer is not a chat completion") from None

    def _check(self, answer: aiohttp.ClientResponse, raw: bytes) -> None:
        """Say what an answer's status means."""
        told = " ".join(raw[:300].decode("utf-8", "replace").split())
        url, status = self.endpoint.url, answer.status
        if status == 200:
            return
        if status in (400, 422):
            raise Refused(f"the server refuses the request: {told}")
        if status in (401, 403):
            raise ModelError(f"{url}: the key is missing or wrong (status {status}): {told}")
        if status == 429 or status >= 500:
            seconds = answer.headers.get("Retry-After", "")
            raise Busy(f"status {status}: {told}", float(seconds) if seconds.isdigit() else 0.0)
        raise ModelError(
            f"{url}: status {status}; is the address right up to /v1, and {self.endpoint.model!r} "
            f"a model of this server? {told}"
        )

    def _body(self, caption: str, dialect: Dialect, number: int) -> dict[str, Any]:
        endpoint = self.endpoint
        # Of the caption too: small models write the same edit of every caption for the same seed.
        rng = random.Random(f"{endpoint.seed} {number} {caption}")
        shown = rng.sample(self.examples, min(SHOWN, len(self.examples)))
        body: dict[str, Any] = {
            "model": endpoint.model,
            "temperature": endpoint.temperature,
            "max_tokens": 256 if dialect == "text" else 128 * (endpoint.edits + 1),
            "seed": rng.getrandbits(31),
            "messages": [{"role": "system", "content": SYSTEM}],
        }
        if dialect == "text":
            body["stop"] = [END]
            for triple in shown:
                body["messages"] += turns(triple.input + SEPARATOR, as_text(triple))
            body["messages"].append({"role": "user", "content": caption + SEPARATOR})
            return body
        body["messages"][0]["content"] += f" {SHAPE}"  # some servers do not show it the schema
        for triple in shown:
            edit = {"instruction": triple.edit, "edited_caption": triple.output}
            body["messages"] += turns(asked(triple.input, 1), json.dumps({"edits": [edit]}))
        body["messages"].append({"role": "user", "content": asked(caption, endpoint.edits)})
        form: dict[str, Any] = {"type": dialect}
        if dialect == "json_schema":
            form["json_schema"] = {"name": "edits", "strict": True, "schema": SCHEMA}
        return body | {"response_format": form}


class Busy(Exception):
    """The server did not answer this time."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Proposals(NamedTuple):
    """Instructions with their edited captions, and how many entries were of wrong types."""

    edits: list[tuple[str, str]]
    wrong: int


def asked(caption: str, edits: int) -> str:
    return f"{edits} edit{'s' if edits > 1 else ''} of: {caption}"


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def as_text(triple: Triple) -> str:
    """The completion on which the authors fine-tuned their language model."""
    return f"{triple.edit}{MIDDLE}{triple.output}{END}"


def read_answer(content: str) -> Proposals:
    """The edits in an answer: of its last JSON object that has any, else in the text form.

    Models that think aloud write before and after it. Raises Unreadable where there is none.
    """
    for value in reversed(json_objects(content)):
        if isinstance(value.get("edits"), list):
            edits = [edit if isinstance(edit, dict) else {} for edit in value["edits"]]
            texts = [(edit.get("instruction"), edit.get("edited_caption")) for edit in edits]
            good = [(a, b) for a, b in texts if isinstance(a, str) and isinstance(b, str)]
            return Proposals(good, len(texts) - len(good))
    # As the authors read it: exactly two parts.
    parts = [part.strip() for part in content.split(END)[0].split(MIDDLE.strip())]
    if len(parts) == 2 and all(parts):
        return Proposals([(parts[0], parts[1])], 0)
    raise Unreadable("the answer holds no edits that could be read")


def json_objects(text: str) -> list[dict[str, Any]]:
    """Every JSON object that begins somewhere in a text and is not part of the one before."""
    decoder, found, place = json.JSONDecoder(), [], 0
    while (start := re.compile(r"\{").search(text, place)) is not None:
        try:
            value, place = decoder.raw_decode(text, start.start())
            found.append(value)
        except (ValueError, RecursionError):
            place = start.end()
    return found
