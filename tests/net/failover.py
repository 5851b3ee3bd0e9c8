"""What the tests of several upstreams share: who refuses, who serves, and a proxy in front of them."""

from typing import Any

from proxy.config.addresses import Address

from .conftest import MakeProxy
from .harness import Proxied, shared
from .origin import Origin, Script, whole_request
from .responses import OK, counted

STATUSES = frozenset({429, 502, 503, 504, 529})
RETRY = {"attempts": 2, "statuses": STATUSES}
NO_EJECTION = {"eject": None}


def refusal(status: int = 503, *lines: bytes, body: bytes = b"busy") -> bytes:
    return counted(body, *lines, status=b"%d Busy" % status)


REFUSES: Script = [whole_request, refusal()] * 5
SERVES: Script = [whole_request, OK] * 5


def upstream(one: Origin | int) -> str:
    return f"http://127.0.0.1:{one if isinstance(one, int) else one.port}"


def asked(one: Origin) -> int:
    return sum(len(connection.requests) for connection in one.connections)


async def behind(proxy: MakeProxy, *origins: Origin | int, **overrides: Any) -> Proxied:
    """A proxy in front of several upstreams, the first of which has the first turn."""
    ports = [one if isinstance(one, int) else one.port for one in origins]
    return await proxy(shared(*ports, **{"retry": RETRY, **overrides}))


def listening(proxied: Proxied) -> tuple[Address, ...]:
    """Where it listens, for settings that leave it there."""
    return tuple(site.where for site in proxied.running._settings.sites)
