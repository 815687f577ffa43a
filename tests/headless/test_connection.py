"""The connection: what is sent, over TLS and through proxies, and what a broken one costs."""

import asyncio
import ssl
import subprocess
import uuid

import pytest
from instruct_pix2pix.headless.errors import (
    AccessDenied,
    ExecutionFailed,
    InputError,
    JobLost,
    OutOfMemory,
)
from instruct_pix2pix.headless.messages import FileRef

from .graphs import colour
from .stand_in import StandIn, serve


def run(client):
    return client.run(colour())


def test_the_socket_is_open_before_a_job_with_a_canonical_id_is_posted(hostile):
    hostile(run)
    asked = [path for path, _ in hostile.state.asked]
    assert asked.index("ws") < asked.index("prompt")
    (prompt_id,) = hostile.state.prompts
    assert str(uuid.UUID(prompt_id)) == prompt_id


def test_every_request_has_the_users_headers(hostile, picture, tmp_path):
    async def use(client):
        await client.upload(picture)
        await client.run(colour())
        await client.server.cancel("x")
        with pytest.raises(JobLost):
            await client.save(FileRef("a.png"), tmp_path / "a.png")

    hostile.state.secret = "Bearer of good news"
    hostile.state.answers["upload"] = (200, b'{"name": "a.png", "subfolder": "ip2p"}')
    hostile(use, headers={"Authorization": hostile.state.secret})
    asked = {path for path, _ in hostile.state.asked}
    assert {"ws", "upload", "prompt", "history", "queue", "view"} <= asked
    with pytest.raises(AccessDenied, match="credentials"):
        hostile(run)
    with pytest.raises(AccessDenied, match="credentials"):
        hostile(run, headers={"Authorization": "Bearer of bad news"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", key, "-out", file)
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return file, key


@pytest.fixture
def secure(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    call, end = serve(StandIn(), context)
    yield call
    end()


def test_a_certificate_is_checked_unless_it_need_not_be(secure, certificate, tmp_path):
    with pytest.raises(AccessDenied, match="certificate is not trusted"):
        secure(run)
    assert not secure.state.asked
    secure(run, verify=str(certificate[0]))
    secure(run, verify=False)
    assert [path for path, _ in secure.state.asked].count("ws") == 2
    for ca in (tmp_path / "missing.pem", certificate[1]):
        with pytest.raises(InputError, match="CA file"):
            secure(run, verify=str(ca))


def test_a_socket_that_breaks_again_and_again_costs_nothing(hostile):
    hostile.state.cut, hostile.state.takes = 0.05, 1.2
    result = hostile(run)
    assert hostile.state.prompts == [result.prompt_id]
    assert [path for path, _ in hostile.state.asked].count("ws") > 2


def test_a_job_that_the_server_lost_is_queued_again(hostile):
    """As after a restart: neither its queue nor its history has it."""
    hostile.state.forgets = 2
    result = hostile(run)
    assert hostile.state.prompts == [result.prompt_id] * 3


def test_a_server_that_loses_every_job_is_given_up(hostile):
    hostile.state.forgets = 1000
    with pytest.raises(JobLost, match="restarted"):
        hostile(run)
    assert len(hostile.state.prompts) == 5


def test_no_more_jobs_are_queued_than_was_asked_for(hostile):
    async def many(client):
        return await asyncio.gather(*(run(client) for _ in range(20)))

    hostile.state.takes = 0.05
    results = hostile(many, max_queued=3)
    assert len({result.prompt_id for result in results}) == 20
    assert hostile.state.most == 3


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (
            {"messages": [["execution_error", {"exception_type": "torch.OutOfMemoryError"}]]},
            OutOfMemory,
            "OutOfMemoryError",
        ),
        ({"status_str": "error"}, ExecutionFailed, "no reason"),
    ],
)
def test_what_the_history_says_went_wrong_is_raised(hostile, status, error, words):
    hostile.state.status = status
    with pytest.raises(error, match=words):
        hostile(run)
