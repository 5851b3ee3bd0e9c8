"""The addresses of a name, from the system's resolver.

A loop gives all its lookups to a few threads, and a resolver that does not answer holds each of them for as long as it
pleases: some names that nobody answers for, and no other is looked up any more. So a name has a thread of its own for
as long as its lookup takes, and whoever asks for it meanwhile waits for the same answer: there are never more threads
than names, however many requests wait for them.
"""

import asyncio
import socket
from typing import cast

from proxy.core.errors import DnsError
from proxy.threads import in_thread

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

_Name = tuple[asyncio.AbstractEventLoop, str, int]
_Found = list[AddressInfo] | Exception

_under_way: dict[_Name, asyncio.Future[_Found]] = {}


async def addresses_of(host: str, port: int) -> list[AddressInfo]:
    """At least one address for TCP. Errors: DnsError; none for slowness, which the caller has to bound."""
    name = asyncio.get_running_loop(), host, port
    answer = _under_way.get(name)
    if answer is None:
        try:
            answer = in_thread("resolver", _ask, name)
        except RuntimeError as error:  # the system has no thread for us
            raise DnsError from error
        _under_way[name] = answer
        answer.add_done_callback(lambda _: _under_way.pop(name))
    found = await asyncio.shield(answer)  # whoever gives up does so alone
    if isinstance(found, Exception):
        raise DnsError from found
    if not found:
        raise DnsError
    return found


def _ask(name: _Name) -> _Found:
    """Waits for the resolver, in a thread."""
    loop, host, port = name
    try:
        # typeshed allows for addresses in bytes, which SOCK_STREAM never gives
        return cast(list[AddressInfo], socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        return error.with_traceback(None)
    finally:
        if loop.is_closed():  # and with it whoever asked
            _under_way.pop(name, None)
