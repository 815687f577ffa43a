"""Batches on places that fail in every way, without a server: every row once, and nothing hangs."""

import asyncio
import random
import tracemalloc
from contextlib import asynccontextmanager

import pytest
from instruct_pix2pix.headless.batch import Batch, reconcile
from instruct_pix2pix.headless.choice import Choice
from instruct_pix2pix.headless.errors import InputError, OutputError, ServerUnavailable
from instruct_pix2pix.headless.ledger import Ledger
from instruct_pix2pix.headless.manifest import Row, read_rows
from instruct_pix2pix.headless.outcome import Result


class Shaky:
    """Copies the picture; now and then it dies, and it may come back late or never."""

    def __init__(self, url, dies=0.0, revives=0.0, starts=0.0, raises=None):
        self.url, self.dies, self.revives, self.starts = url, dies, revives, starts
        self.raises, self.open, self.random = raises, False, random.Random(url)

    @asynccontextmanager
    async def editor(self):
        self.open = True
        try:
            await asyncio.sleep(self.starts)
            yield self
        finally:
            self.open = False

    async def edit(self, image, instruction, output, **options):
        await asyncio.sleep(0.001)
        if self.raises:
            raise self.raises
        if self.random.random() < self.dies:
            raise ServerUnavailable(f"{self.url} died")
        output.write_bytes(image.data)
        return Result("job", (), 0.001)

    async def checkpoint(self, name=None):
        return Choice(name or "usual.safetensors")

    async def check(self, settings, **parameters):
        pass

    async def revive(self):
        await asyncio.sleep(abs(self.revives))
        if self.revives < 0:
            raise ServerUnavailable(f"{self.url} stays dead")


def run(tmp_path, picture, *places, rows=20):
    with Ledger(tmp_path / "results" / "ledger.sqlite") as ledger:
        plan = (Row(n, str(picture), f"make it {n}", f"{n}.png") for n in range(rows))
        ledger.begin_plan(plan)
        work = Batch(ledger, tmp_path / "results", places)
        try:
            counts = asyncio.run(asyncio.wait_for(work.run(), 60))
        finally:
            assert not any(place.open for place in places)
            assert not ledger.counts().get("running")
        repeated = ledger.db.execute("SELECT SUM(completions != 1) FROM rows").fetchone()[0]
    return counts, repeated


@pytest.mark.parametrize(
    "places",
    [
        [Shaky("a", dies=0.1), Shaky("b", dies=0.1)],
        [Shaky("a"), Shaky("gone", dies=1, revives=-0.01)],
        [Shaky("a"), Shaky("comes back too late", dies=1, revives=1000)],
        [Shaky("a"), Shaky("starts too late", starts=1000)],
    ],
    ids=lambda places: places[-1].url,
)
def test_every_row_is_done_once_and_nobody_is_waited_for_in_vain(tmp_path, picture, places, caplog):
    assert run(tmp_path, picture, *places) == ({"done": 20}, 0)
    assert "never retrieved" not in caplog.text


def test_rows_wait_when_the_last_place_is_gone(tmp_path, picture):
    with pytest.raises(ServerUnavailable, match="stays dead"):
        run(tmp_path, picture, *(Shaky(name, dies=1, revives=-0.01) for name in "ab"))


def test_what_meets_every_row_stops_all(tmp_path, picture):
    with pytest.raises(OutputError, match="disk"):
        run(tmp_path, picture, Shaky("a"), Shaky("b", raises=OutputError("disk full")), rows=500)


def test_a_rows_own_fault_fails_that_row_alone(tmp_path, picture):
    counts, _ = run(tmp_path, picture, Shaky("a", raises=InputError("bad")))
    assert counts == {"failed": 20}


@pytest.mark.parametrize(
    ("raises", "change", "retry", "tried"),
    [
        (InputError("bad"), False, False, False),
        (InputError("bad"), True, False, True),
        (InputError("bad"), False, True, True),
        (ServerUnavailable("gone"), False, False, True),
    ],
    ids=["its own fault", "its picture has changed", "--retry", "the server's fault"],
)
def test_a_failed_row_is_tried_again_only_when_it_can_succeed(
    tmp_path, picture, raises, change, retry, tried
):
    folder = tmp_path / "results"

    def again(place):
        with Ledger(folder / "ledger.sqlite") as ledger:
            ledger.begin_plan([Row(1, str(picture), "make it snow", "a.png")])
            reconcile(ledger, folder, retry)
            return asyncio.run(Batch(ledger, folder, [place]).run())

    assert again(Shaky("a", raises=raises)) == {"failed": 1}
    if change:
        picture.write_bytes(picture.read_bytes() + b"more")
    assert again(Shaky("b")) == ({"done": 1} if tried else {"failed": 1})


def test_a_plan_takes_no_more_memory_for_more_rows(tmp_path):
    def largest(rows):
        manifest = tmp_path / f"{rows}.csv"
        lines = (f"photos/{n}.jpg,make it snow,{n}\n" for n in range(rows))
        manifest.write_text("image,instruction,seed\n" + "".join(lines))
        tracemalloc.start()
        with Ledger(tmp_path / f"{rows}" / "ledger.sqlite") as ledger:
            assert ledger.begin_plan(read_rows(manifest)) == (rows, 0)
            reconcile(ledger, tmp_path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    largest(10)  # what is loaded once
    # Python's table of interned names, which paths fill, grows by megabytes at one moment or other.
    assert min(largest(4000), largest(4001)) < largest(500) + 100_000
