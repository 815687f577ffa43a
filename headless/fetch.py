"""Pictures that a manifest names by URL."""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import aiohttp
from yarl import URL

from .errors import InputError
from .picture import MAX_PICTURE, PICTURES


@asynccontextmanager
async def fetched(url: str, allow_hosts: Collection[str]) -> AsyncIterator[Path]:
    """The file behind a URL, for as long as the context lasts.

    A manifest is not trusted, so only this machine is asked, and the hosts that the user allows by
    name. Redirects are not followed. Raises InputError.
    """
    try:
        address = URL(url)
    except ValueError as error:
        raise InputError(f"{url[:200]!r}: {error}") from None
    host = address.host or ""
    if host not in allow_hosts and not is_this_machine(host):
        raise InputError(f"{url[:200]!r}: pictures are not fetched from {host}; allow it by name")
    suffix = PurePosixPath(address.path).suffix.lower()
    if suffix not in PICTURES:
        suffix = ".png"
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        try:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(address, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise InputError(f"{url[:200]!r}: the server answers HTTP {answer.status}")
                size = 0
                async for chunk in answer.content.iter_chunked(2**16):
                    size += len(chunk)
                    if size > MAX_PICTURE:
                        raise InputError(f"{url[:200]!r}: larger than 1 GiB")
                    file.write(chunk)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise InputError(f"{url[:200]!r}: {error or type(error).__name__}") from None
        file.flush()
        yield Path(file.name)


def is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
