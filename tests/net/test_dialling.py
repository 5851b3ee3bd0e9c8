"""What opening a connection fails with: errors of the system and of names become ours, each its own."""

import errno

import pytest

from proxy.net.upstream import dial

from .conftest import MakeProxy
from .test_failures import fails_with


@pytest.mark.parametrize(
    ("number", "status", "code", "outcome"),
    [
        (errno.ETIMEDOUT, 504, "connection_timeout", "upstream_timeout"),
        (errno.EHOSTUNREACH, 502, "destination_ip_unroutable", "upstream_aborted"),
        (errno.ENETUNREACH, 502, "destination_ip_unroutable", "upstream_aborted"),
    ],
)
async def test_what_the_system_says_has_its_own_code(
    proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, number: int, status: int, code: str, outcome: str
):
    """MUST. A4. The kernel gives up by itself too, before any of our deadlines."""

    async def refuse(*given: object, **options: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(dial.aiohappyeyeballs, "start_connection", refuse)
    await fails_with(await proxy(1), status, code, outcome)


async def test_a_name_that_cannot_be_one_is_dns_error(proxy: MakeProxy):
    """MUST. A4. A label has 63 bytes at most: RFC 1035 section 2.3.4."""
    await fails_with(await proxy(80, host="a" * 64 + ".example"), 502, "dns_error", "upstream_aborted")
