"""The admin listener in a configuration: on loopback by default, guarded by Host there and by a token elsewhere."""

import pytest

from proxy.config.addresses import Address
from proxy.config.compile import Admin, compiled
from proxy.config.load import ConfigError, load_text
from proxy.config.warnings import warnings

TOKEN = "0123456789abcdef0123"
ROUTES = "routes: [{upstream: 'http://a'}]"


def admin(text: str) -> Admin | None:
    return compiled(load_text(f"{text}\n{ROUTES}", "f", {"TOKEN": TOKEN})).admin


def test_the_default_is_loopback_with_the_host_check() -> None:
    """DEF-13."""
    made = admin("")
    assert made is not None
    assert made.where == Address("127.0.0.1", 8788)
    assert made.token is None
    assert made.hosts is not None
    assert made.hosts.allow(b"localhost:8788")
    assert not made.hosts.allow(b"evil.example")


@pytest.mark.parametrize("written", ["off", "'off'", "false"])
def test_off_is_none(written: str) -> None:
    assert admin(f"admin: {written}") is None


@pytest.mark.parametrize("where", ["0.0.0.0:8788", "'[::]:8788'", "192.0.2.1:8788", "host.example:8788"])
def test_beyond_loopback_it_needs_a_token_which_is_then_the_guard(where: str) -> None:
    """DEF-13, SEC-42."""
    with pytest.raises(ConfigError, match="admin: expected a loopback address, or admin_token"):
        admin(f"admin: {where}")
    made = admin(f"admin: {where}\nadmin_token: ${{TOKEN}}\nallowed_hosts: [a.example]")
    assert made is not None
    assert (made.hosts, made.token) == (None, TOKEN)
    assert TOKEN not in repr(made)
    found = warnings(load_text(f"admin: {where}\nadmin_token: ${{TOKEN}}\n{ROUTES}", "f", {"TOKEN": TOKEN}))
    assert [warning.startswith("security: the admin listener is on") for warning in found] == [True]


def test_a_token_may_guard_loopback_too() -> None:
    made = admin("admin_token: ${TOKEN}")
    assert made is not None
    assert made.token == TOKEN
    assert made.hosts is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("admin_token: 0123456789abcdef0123", "admin_token: expected"),
        ("listen: [127.0.0.1:1, 127.0.0.1:8788]", "admin: expected an address of its own, found 127.0.0.1:8788"),
        ("listen: 127.0.0.1:9\nadmin: 127.0.0.1:9", "admin: expected an address of its own, found 127.0.0.1:9"),
    ],
)
def test_what_cannot_be_is_said(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        admin(text)
    assert any(said in str(message) for message in caught.value.messages)


@pytest.mark.parametrize("upstream", ["http://127.0.0.1:8788", "http://localhost:8788/x", "http://[::1]:8788"])
def test_no_route_leads_to_it(upstream: str) -> None:
    """SEC-19."""
    with pytest.raises(ConfigError, match="found this proxy's own admin listener"):
        load_text(f"routes: [{{upstream: '{upstream}'}}]", "f", {})
    load_text(f"admin: off\nroutes: [{{upstream: '{upstream}'}}]", "f", {})


def test_two_on_free_ports_are_no_clash() -> None:
    assert admin("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0") is not None
