"""Rules of the addresses that are never dialled unless somebody says so."""

import pytest

from proxy.core.destinations import is_prohibited, resolved_name


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("app.localhost", "localhost"),
        ("A.B.LOCALHOST.", "localhost"),
        ("localhost", "localhost"),
        ("localhost.", "localhost"),
        ("localhost.example", "localhost.example"),
        ("notlocalhost", "notlocalhost"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_names_below_localhost_are_asked_of_nobody(host: str, asked: str) -> None:
    """MUST. RFC 6761 section 6.3."""
    assert resolved_name(host) == asked


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.0",
        "169.254.255.255",
        "fe80::1",
        "fe80::1%eth0",
        "febf::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    ],
)
def test_link_local_addresses_and_metadata_services_are_prohibited(address: str) -> None:
    """MUST. RFC 9209 section 2.3.5: in whatever clothes they come."""
    assert is_prohibited(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "fd12:3456::1", "1.1.1.1", "2606:4700::1111"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "169.253.255.255", "169.255.0.0", "fec0::1", "100.100.100.201"),
    ],
)
def test_private_and_public_addresses_are_what_a_proxy_is_for(address: str) -> None:
    """MUST. The other side of the table."""
    assert not is_prohibited(address)
