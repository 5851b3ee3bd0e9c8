"""Asks a running proxy whether it is alive, for the HEALTHCHECK of an image: one GET of /healthz, no shell, no curl."""

import http.client
import socket

from proxy.config.addresses import Address

TIMEOUT_S = 3.0
_OF_WILDCARD = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Unhealthy(Exception):
    """Nobody answers there, or not as it should; the message says which."""


def ask(admin: Address) -> None:
    """Returns if /healthz answers 200. Errors: Unhealthy."""
    connection = _UnixConnection(admin.path) if admin.path is not None else _connection(admin)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"{admin} does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if status != 200:
        raise Unhealthy(f"{admin} answers /healthz with {status}")


def _connection(admin: Address) -> http.client.HTTPConnection:
    host = admin.host or ""
    return http.client.HTTPConnection(_OF_WILDCARD.get(host, host), admin.port, timeout=TIMEOUT_S)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connects to the path."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)
