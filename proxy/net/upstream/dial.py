"""Opens connections: name, TCP, TLS, all within one deadline. Errors of the system and of OpenSSL become ours here.

Source: RFC 8305 for trying several addresses; RFC 9209 section 2.3 for what the failures are called.
"""

import asyncio
import errno
import os
import re
import socket
import ssl
from ipaddress import ip_address
from typing import Any, cast

import aiohappyeyeballs

from proxy.core.destinations import is_prohibited, resolved_name
from proxy.core.errors import (
    ConfigurationError,
    ConnectionRefused,
    ConnectTimeout,
    DestinationProhibited,
    DestinationUnroutable,
    DnsTimeout,
    NoConnection,
    ProxyError,
    TlsAlertReceived,
    TlsCertificateError,
    TlsProtocolError,
)
from proxy.core.routes import Origin
from proxy.net.sockets import tune
from proxy.net.upstream.buffer import IntoBuffer
from proxy.net.upstream.connection import Connection
from proxy.net.upstream.resolve import AddressInfo, addresses_of

# RFC 8305 section 5 recommends 250 ms before the next address is tried beside the first.
NEXT_ADDRESS_AFTER_S = 0.25
_UNROUTABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN, errno.ENETDOWN})
_NUMBERS = re.compile(r"\[Errno (\d+)\]")
# A closing upstream may never answer our TLS close; a connection is not worth waiting for.
_TLS_SHUTDOWN_S = 1.0


async def dial(origin: Origin, timeout_s: float | None, context: ssl.SSLContext | None = None) -> Connection:
    """A fresh connection to the origin, over TLS with that `context` if its settings say so.

    Errors: UpstreamError of the kind that happened.
    """
    loop = asyncio.get_running_loop()
    addresses = None
    try:
        async with asyncio.timeout(timeout_s):
            addresses = _permitted(await _resolve(origin), origin)
            return await _connect(loop, origin, addresses, context)
    except TimeoutError as error:
        raise (ConnectTimeout if addresses else DnsTimeout)() from error
    except OSError as error:
        raise _mapped(error) from error
    except ValueError as error:  # OpenSSL and the idna codec, of a server_name that no name can be
        raise ConfigurationError from error


class _Connecting:
    """The loop as aiohappyeyeballs uses it; connecting is ours, as uvloop's asks the resolver's threads for addresses
    too, and waits for one of them behind all the names that nobody answers for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def sock_connect(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        """Connects a socket that does not block. Errors: OSError."""
        error = sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            writable = self._loop.create_future()
            self._loop.add_writer(sock, _wake, writable)
            try:
                await writable
            finally:
                self._loop.remove_writer(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"connecting to {address} failed: {os.strerror(error)}")


def _wake(writable: asyncio.Future[None]) -> None:
    if not writable.done():
        writable.set_result(None)


async def _connect(
    loop: asyncio.AbstractEventLoop, origin: Origin, addresses: list[AddressInfo], context: ssl.SSLContext | None
) -> Connection:
    connected = await aiohappyeyeballs.start_connection(
        addresses,
        happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S,
        interleave=1,
        loop=cast(asyncio.AbstractEventLoop, _Connecting(loop)),
    )
    try:
        tune(connected)
    except OSError:
        connected.close()
        raise
    # From here on the loop owns the socket and closes it, whatever happens: closing it ourselves would free its number
    # under a transport that still uses it, and the next connection would get that number.
    if origin.tls is None:
        _, connection = await loop.create_connection(lambda: Connection(loop), sock=connected)
        return connection
    _, protocol = await loop.create_connection(
        lambda: IntoBuffer(Connection(loop), tls=True),
        sock=connected,
        ssl=context,
        server_hostname=origin.tls.server_name or origin.host,
        ssl_shutdown_timeout=_TLS_SHUTDOWN_S,
    )
    return protocol.connection


async def _resolve(origin: Origin) -> list[AddressInfo]:
    """The addresses of the origin; a literal one needs no resolver and no thread."""
    try:
        literal = ip_address(origin.host)
    except ValueError:
        pass
    else:
        family = socket.AF_INET6 if literal.version == 6 else socket.AF_INET
        where = (origin.host, origin.port, 0, 0) if literal.version == 6 else (origin.host, origin.port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]
    return await addresses_of(resolved_name(origin.host), origin.port)


def _permitted(found: list[AddressInfo], origin: Origin) -> list[AddressInfo]:
    """The addresses that may be dialled; looked at here, so that a name cannot come to mean another one in between.

    Errors: DestinationProhibited where none is left.
    """
    permitted = found if origin.link_local else [entry for entry in found if not is_prohibited(entry[4][0])]
    if not permitted:
        raise DestinationProhibited
    return permitted


def _mapped(error: OSError) -> ProxyError:
    """Ours for theirs, the most specific first."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsCertificateError()
    if isinstance(error, ssl.SSLError):
        return TlsAlertReceived() if "ALERT" in (error.reason or "") else TlsProtocolError()
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return TlsProtocolError()  # after connect and before the first byte of HTTP, only a handshake can be cut
    # Where several addresses failed in different ways, only the text has their numbers.
    numbers = set(map(int, _NUMBERS.findall(str(error)))) if error.errno is None else {error.errno}
    if errno.ECONNREFUSED in numbers:
        return ConnectionRefused()
    return DestinationUnroutable() if numbers and numbers <= _UNROUTABLE else NoConnection()
