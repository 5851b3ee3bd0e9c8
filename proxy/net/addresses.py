"""The addresses that are listened on, as sockets that are bound.

The names in them are looked up in a thread that ends with the lookup; to let a loop do it would keep its threads.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from proxy.core.destinations import resolved_name
from proxy.threads import in_thread

BACKLOG = 4096
# A name may have addresses that this machine has not: `localhost` is ::1 too where IPv6 is switched off.
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
# What a listener with a full queue answers, and a socket of another kind.
_SOMEBODY = frozenset({errno.EAGAIN, errno.EPROTOTYPE})

_Place = tuple[socket.AddressFamily, Any]


def refuse_taken(path: str) -> None:
    """Who binds there replaces the file of a socket. Errors: OSError where somebody listens, or nobody can tell."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except OSError as error:
            if error.errno not in _SOMEBODY:
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


async def bind(host: str | None, port: int) -> list[socket.socket]:
    """Sockets for one process, that listen on TCP as soon as a loop takes connections from them.

    A `host` of None is all addresses, port 0 any free port. Errors: OSError where an address is taken or not ours.
    """
    places = await in_thread("resolver", _places, host, port)
    return _each(places, lambda family, where: _bound(family, where, alone=True))


def bind_at(path: str) -> socket.socket:
    """A Unix socket that listens there, in place of what nobody listens on. Errors: OSError."""
    refuse_taken(path)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)
    return _bound(socket.AF_UNIX, path, listening=True)


def bind_shared(host: str | None, port: int, path: str | None) -> list[socket.socket]:
    """Sockets that several processes share: each process listens on one of its own, made by `beside`.

    What is bound and does not listen gets no connections, and keeps the port. Errors: OSError where the address is
    taken, also by other processes that share it.
    """
    if path is not None:
        return [bind_at(path)]

    def shared(family: socket.AddressFamily, where: Any) -> socket.socket:
        _bound(family, where, alone=True).close()
        return _bound(family, where)

    return _each(_places(host, port), shared)


def beside(bound: socket.socket) -> socket.socket:
    """A socket for one more process at the address of a bound one. Errors: OSError.

    A Unix socket cannot be bound twice: its processes take connections from one queue.
    """
    if bound.family == socket.AF_UNIX:
        return bound.dup()
    return _bound(bound.family, bound.getsockname())


def _places(host: str | None, port: int) -> list[_Place]:
    """Each address of that name, once. Errors: OSError."""
    name = resolved_name(host) if host is not None else None
    found = socket.getaddrinfo(name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found))


def _each(places: list[_Place], bound: Callable[[socket.AddressFamily, Any], socket.socket]) -> list[socket.socket]:
    """A socket for each place that is here, and one at least. Errors: OSError, and nothing is bound then."""
    made: list[socket.socket] = []
    for family, where in places:
        try:
            made.append(bound(family, where))
        except OSError as error:
            if error.errno in _NOT_HERE and (made or (family, where) != places[-1]):
                continue
            for one in made:
                one.close()
            raise
    return made


def _bound(family: socket.AddressFamily, where: Any, *, alone: bool = False, listening: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not alone:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
        if listening:
            made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
