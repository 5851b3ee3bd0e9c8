"""Asks an upstream how it is: a GET on a connection of its own, by the same rules of TLS and addresses as requests.

It carries no key, follows nothing, and no request ever waits for it.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from random import random

from proxy.core.errors import ProxyError
from proxy.core.group import Group
from proxy.core.health import Event, is_up, next_check_s
from proxy.core.message import field, request_lines
from proxy.core.routes import Origin, Upstream
from proxy.net.upstream.dial import dial

HEAD_BYTES = 64 * 1024

Tell = Callable[[Group, int, Event | None, str], None]


async def check_all(group: Group, number: int, context: ssl.SSLContext | None, tell: Tell) -> None:
    """Asks one upstream of a group again and again; runs until cancelled."""
    policy, upstream = group.sharing.health, group.sharing.upstreams[number]
    asked = request_head(upstream, policy.path or b"/")
    wait_s = next_check_s(policy, random(), first=True)
    while True:
        await asyncio.sleep(wait_s)
        began = time.monotonic()
        good, why = await check(upstream.origin, asked, policy.timeout, context)
        tell(group, number, group.checked(number, good), why)
        wait_s = max(next_check_s(policy, random(), first=False) - (time.monotonic() - began), 0.0)


def request_head(upstream: Upstream, path: bytes) -> bytes:
    """What an upstream is asked with."""
    fields = [
        field(b"Host", upstream.authority),
        field(b"User-Agent", b"streamsafe"),
        field(b"Accept", b"*/*"),
        field(b"Connection", b"close"),
    ]
    return request_lines(b"GET", path, fields) + b"\r\n"


async def check(origin: Origin, asked: bytes, timeout_s: float, context: ssl.SSLContext | None) -> tuple[bool, str]:
    """Whether the origin gives a good answer within that time, and what it gave."""
    try:
        async with asyncio.timeout(timeout_s):
            connection = await dial(origin, None, context)
            try:
                connection.begin(b"GET", HEAD_BYTES)
                connection.write(asked)
                connection.request_sent = True
                status = (await connection.head()).status
            finally:
                connection.close()
    except TimeoutError:
        return False, "no answer in time"
    except ProxyError as error:
        return False, error.token
    return is_up(status), str(status)
