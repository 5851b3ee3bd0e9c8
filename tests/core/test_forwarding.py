"""Rules of what an upstream is told about the client, and of whose word about it is taken."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.forwarding import Forwarding, Trusted, apply, client_ip, has_passed, plain_ip, via
from proxy.core.message import Peer
from tests.core.samples import fields, lines, request

NOBODY = Trusted()
TEN = Trusted((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
UNIX = Trusted(unix=True)
BOTH = Trusted(TEN.networks, unix=True)
ALL = Forwarding(forwarded=True)
NONE = Forwarding(x_forwarded=False, forwarded=False, x_real_ip=False, via=False)


def told(
    *received: bytes,
    ip: str = "10.0.0.1",
    secure: bool = False,
    forwarding: Forwarding = ALL,
    trusted: Trusted = NOBODY,
    host: bytes | None = b"a.example",
) -> list[bytes]:
    head = request(b"GET / HTTP/1.1", *received, host=host, peer=Peer(ip, secure))
    return lines(apply(fields(*received), head, forwarding, trusted))


@pytest.mark.parametrize(
    ("trusted", "ip", "believed"),
    [
        pytest.param(NOBODY, "127.0.0.1", False, id="nobody by default"),
        pytest.param(NOBODY, "", False, id="no Unix socket by default"),
        pytest.param(TEN, "10.255.0.1", True, id="inside"),
        pytest.param(TEN, "11.0.0.1", False, id="outside"),
        pytest.param(TEN, "fd00::1", True, id="inside, IPv6"),
        pytest.param(TEN, "fe80::1", False, id="outside, IPv6"),
        pytest.param(TEN, "fd00::1%eth0", True, id="inside, with a zone"),
        pytest.param(TEN, "", False, id="networks are no Unix socket"),
        pytest.param(UNIX, "", True, id="Unix socket"),
        pytest.param(UNIX, "10.0.0.1", False, id="a Unix socket is no network"),
        pytest.param(Trusted((ip_network("0.0.0.0/0"),)), "::1", False, id="all of IPv4 is nothing of IPv6"),
        pytest.param(Trusted((ip_network("192.0.2.7/32"),)), "192.0.2.7", True, id="one address"),
    ],
)
def test_a_peer_is_believed_if_it_is_in_a_trusted_network(trusted: Trusted, ip: str, believed: bool) -> None:
    """MUST. F4."""
    assert trusted.believes(ip) is believed


@pytest.mark.parametrize(
    ("ip", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_an_address_is_shown_in_its_plain_form(ip: str, plain: str) -> None:
    """MUST. F5: without a zone, IPv4-mapped as IPv4."""
    assert plain_ip(ip) == plain


def test_by_default_the_upstream_is_told_address_host_and_scheme() -> None:
    """MUST. F1: Forwarded is opt-in."""
    assert told(b"A: 1", ip="192.0.2.1", forwarding=Forwarding()) == [
        b"A: 1",
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-Host: a.example",
        b"X-Forwarded-Proto: http",
        b"X-Real-IP: 192.0.2.1",
    ]


@pytest.mark.parametrize(
    ("forwarding", "names"),
    [
        pytest.param(NONE, [], id="none"),
        pytest.param(
            Forwarding(x_real_ip=False),
            [b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"],
            id="without X-Real-IP",
        ),
        pytest.param(Forwarding(x_forwarded=False), [b"x-real-ip"], id="without X-Forwarded"),
        pytest.param(
            Forwarding(x_forwarded=False, x_real_ip=False, forwarded=True), [b"forwarded"], id="only Forwarded"
        ),
    ],
)
def test_each_field_can_be_switched_off(forwarding: Forwarding, names: list[bytes]) -> None:
    """MUST. F1."""
    assert [line.partition(b":")[0].lower() for line in told(forwarding=forwarding)] == names


INBOUND = [
    b"Forwarded: for=1.2.3.4",
    b"X-Forwarded-For: 1.2.3.4",
    b"x-FORWARDED-host: evil.example",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Anything: 1",
    b"X-Real-IP: 1.2.3.4",
]


def test_what_a_peer_that_is_not_trusted_says_is_dropped_before_ours_is_set() -> None:
    """MUST. F2: replaced, not extended."""
    assert told(*INBOUND, b"A: 1", trusted=TEN, ip="192.0.2.1") == [
        b"A: 1",
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-Host: a.example",
        b"X-Forwarded-Proto: http",
        b"X-Real-IP: 192.0.2.1",
        b'Forwarded: for=192.0.2.1;proto=http;host="a.example"',
    ]


def test_it_is_dropped_as_well_where_ours_is_switched_off() -> None:
    """MUST. F2."""
    assert told(*INBOUND, b"A: 1", forwarding=NONE) == [b"A: 1"]


@pytest.mark.parametrize("name", [b"X_Forwarded_For", b"x-forwarded_proto", b"X_Real-IP", b"X_FORWARDED_X"])
def test_a_name_that_a_cgi_back_end_takes_for_one_is_dropped_too(name: bytes) -> None:
    """MUST. F2: there `_` and `-` are the same; from a trusted peer it passes like any other field."""
    assert told(name + b": 6.6.6.6", forwarding=NONE) == []
    assert told(name + b": 6.6.6.6", forwarding=NONE, trusted=TEN, ip="10.0.0.1") == [name + b": 6.6.6.6"]


def test_names_that_only_resemble_forwarding_fields_pass() -> None:
    """MUST. H13."""
    received = [b"X-Forwarded: 1", b"X-Real-IPs: 1", b"Forwarded-For: 1", b"X_Forwarde: 1"]
    assert told(*received, forwarding=NONE) == received


@pytest.mark.parametrize(
    ("received", "extended"),
    [
        pytest.param(
            [],
            [
                b"X-Forwarded-For: 10.0.0.1",
                b"X-Forwarded-Host: a.example",
                b"X-Forwarded-Proto: http",
                b"X-Real-IP: 10.0.0.1",
            ],
            id="nothing said",
        ),
        pytest.param(
            [b"X-Forwarded-For: 1.2.3.4"],
            [
                b"X-Forwarded-For: 1.2.3.4, 10.0.0.1",
                b"X-Forwarded-Host: a.example",
                b"X-Forwarded-Proto: http",
                b"X-Real-IP: 10.0.0.1",
            ],
            id="one address",
        ),
        pytest.param(
            [b"X-Forwarded-For: 1.2.3.4, 5.6.7.8", b"A: 1", b"x-forwarded-for: 9.9.9.9"],
            [
                b"A: 1",
                b"X-Forwarded-For: 1.2.3.4, 5.6.7.8, 9.9.9.9, 10.0.0.1",
                b"X-Forwarded-Host: a.example",
                b"X-Forwarded-Proto: http",
                b"X-Real-IP: 10.0.0.1",
            ],
            id="several lines fold into one",
        ),
        pytest.param(
            [
                b"X-Forwarded-Host: b.example",
                b"X-Forwarded-Proto: https",
                b"X-Real-IP: 1.2.3.4",
                b"X-Forwarded-Port: 443",
            ],
            [
                b"X-Forwarded-Host: b.example",
                b"X-Forwarded-Proto: https",
                b"X-Real-IP: 1.2.3.4",
                b"X-Forwarded-Port: 443",
                b"X-Forwarded-For: 10.0.0.1",
            ],
            id="single values stay",
        ),
    ],
)
def test_what_a_trusted_peer_says_is_kept_and_extended(received: list[bytes], extended: list[bytes]) -> None:
    """MUST. F3."""
    assert told(*received, trusted=TEN, forwarding=Forwarding()) == extended


@pytest.mark.parametrize(
    ("ip", "host", "secure", "element"),
    [
        pytest.param("192.0.2.1", b"a.example", False, b'for=192.0.2.1;proto=http;host="a.example"', id="IPv4"),
        pytest.param("2001:db8::1", b"a.example", True, b'for="[2001:db8::1]";proto=https;host="a.example"', id="IPv6"),
        pytest.param("", b"a.example:80", False, b'for=unknown;proto=http;host="a.example:80"', id="Unix socket"),
        pytest.param("192.0.2.1", None, False, b"for=192.0.2.1;proto=http", id="no host"),
        pytest.param("192.0.2.1", b'a"\\b', False, b'for=192.0.2.1;proto=http;host="a\\"\\\\b"', id="quoting"),
    ],
)
def test_an_element_of_forwarded_is_quoted_where_it_has_to_be(
    ip: str, host: bytes | None, secure: bool, element: bytes
) -> None:
    """MUST. RFC 7239 sections 4 and 6; F5."""
    only = Forwarding(x_forwarded=False, x_real_ip=False, forwarded=True)
    assert told(ip=ip, host=host, secure=secure, forwarding=only) == [b"Forwarded: " + element]


def test_elements_of_a_trusted_peer_come_first() -> None:
    """MUST. RFC 7239 section 4; F3."""
    only = Forwarding(x_forwarded=False, x_real_ip=False, forwarded=True)
    received = [b'Forwarded: for=1.2.3.4;by="x, y"', b"A: 1", b"forwarded: for=_hidden"]
    assert told(*received, trusted=TEN, forwarding=only) == [
        b"A: 1",
        b'Forwarded: for=1.2.3.4;by="x, y", for=_hidden, for=10.0.0.1;proto=http;host="a.example"',
    ]


def test_an_ipv6_address_stands_bare_in_x_forwarded_for() -> None:
    """MUST. F5."""
    told_ipv6 = told(ip="2001:db8::1", forwarding=Forwarding())
    assert b"X-Forwarded-For: 2001:db8::1" in told_ipv6
    assert b"X-Real-IP: 2001:db8::1" in told_ipv6


@pytest.mark.parametrize("trusted", [NOBODY, UNIX], ids=["not trusted", "trusted"])
def test_a_peer_without_address_adds_no_empty_hop(trusted: Trusted) -> None:
    """MUST. F4."""
    assert told(ip="", trusted=trusted, forwarding=Forwarding()) == [
        b"X-Forwarded-Host: a.example",
        b"X-Forwarded-Proto: http",
    ]


def test_a_trusted_peer_without_address_changes_no_list() -> None:
    """MUST. F3, F4."""
    received = [b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-For: 5.6.7.8"]
    assert told(*received, ip="", trusted=UNIX, forwarding=Forwarding())[:2] == received


def test_without_host_there_is_none_to_tell() -> None:
    """MUST. F1: HTTP/1.0 may have none."""
    assert told(host=None, forwarding=Forwarding(x_real_ip=False)) == [
        b"X-Forwarded-For: 10.0.0.1",
        b"X-Forwarded-Proto: http",
    ]


def test_the_scheme_told_is_that_of_the_connection() -> None:
    """MUST. F1."""
    assert b"X-Forwarded-Proto: https" in told(secure=True)
    assert b"X-Forwarded-Proto: http" in told(b"X-Forwarded-Proto: https")


@pytest.mark.parametrize(
    ("trusted", "ip", "lists", "found"),
    [
        pytest.param(NOBODY, "192.0.2.1", [b"1.2.3.4"], "192.0.2.1", id="not trusted: the peer"),
        pytest.param(TEN, "192.0.2.1", [b"1.2.3.4"], "192.0.2.1", id="outside: the peer"),
        pytest.param(TEN, "10.0.0.1", [], "10.0.0.1", id="trusted, nothing said"),
        pytest.param(TEN, "10.0.0.1", [b"1.2.3.4"], "1.2.3.4", id="trusted: what it says"),
        pytest.param(TEN, "10.0.0.1", [b"6.6.6.6, 1.2.3.4"], "1.2.3.4", id="the rightmost, never simply the first"),
        pytest.param(TEN, "10.0.0.1", [b"6.6.6.6, 1.2.3.4, 10.0.0.3, 10.0.0.2"], "1.2.3.4", id="trusted hops between"),
        pytest.param(TEN, "10.0.0.1", [b"6.6.6.6", b"1.2.3.4", b"10.0.0.2"], "1.2.3.4", id="over several lines"),
        pytest.param(TEN, "10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3", id="all trusted: the first"),
        pytest.param(TEN, "10.0.0.1", [b"2001:db8::1"], "2001:db8::1", id="IPv6"),
        pytest.param(TEN, "10.0.0.1", [b"[2001:db8::1]"], "2001:db8::1", id="IPv6 in brackets"),
        pytest.param(TEN, "10.0.0.1", [b"[2001:db8::1]:443"], "2001:db8::1", id="IPv6 and a port"),
        pytest.param(TEN, "10.0.0.1", [b"1.2.3.4:80"], "1.2.3.4", id="IPv4 and a port"),
        pytest.param(TEN, "10.0.0.1", [b"::ffff:1.2.3.4"], "1.2.3.4", id="IPv4-mapped"),
        pytest.param(TEN, "10.0.0.1", [b"1.2.3.4, ::ffff:10.0.0.2"], "1.2.3.4", id="IPv4-mapped and trusted"),
        pytest.param(TEN, "10.0.0.1", [b"", b" , "], "10.0.0.1", id="empty lists"),
        pytest.param(UNIX, "", [b"1.2.3.4"], "1.2.3.4", id="Unix socket"),
        pytest.param(UNIX, "", [], "", id="Unix socket, nothing said"),
        pytest.param(NOBODY, "", [b"1.2.3.4"], "", id="Unix socket that is not trusted"),
        pytest.param(BOTH, "", [b"1.2.3.4, 10.0.0.1"], "1.2.3.4", id="Unix socket, then a trusted hop"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_not_trusted(
    trusted: Trusted, ip: str, lists: list[bytes], found: str
) -> None:
    """MUST. F6."""
    received = [b"X-Forwarded-For: " + each for each in lists]
    assert client_ip(request(b"GET / HTTP/1.1", *received, peer=Peer(ip, secure=False)), trusted) == found


@pytest.mark.parametrize(
    "garbage",
    [
        b"<script>",
        b"unknown",
        b"_hidden",
        b"1.2.3",
        b"1.2.3.4.5",
        b"1.2.3.4:80:80",
        b"localhost:80",
        b"[]",
        b":",
        b"\xff",
        b"a b",
        b"-",
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    ("trusted", "ip", "said", "found"),
    [
        pytest.param(TEN, "10.0.0.1", b"%b", "10.0.0.1", id="alone"),
        pytest.param(TEN, "10.0.0.1", b"1.2.3.4, %b", "10.0.0.1", id="last"),
        pytest.param(TEN, "10.0.0.1", b"%b, 10.0.0.2", "10.0.0.2", id="before a trusted hop"),
        pytest.param(TEN, "10.0.0.1", b"%b, 1.2.3.4", "1.2.3.4", id="behind the client"),
        pytest.param(UNIX, "", b"%b", "", id="from a Unix socket"),
        pytest.param(BOTH, "", b"%b, 10.0.0.2", "10.0.0.2", id="before a trusted hop, from a Unix socket"),
    ],
)
def test_what_is_no_address_is_never_the_client(
    trusted: Trusted, ip: str, said: bytes, found: str, garbage: bytes
) -> None:
    """MUST. F6: the last address that was one counts, as it is the one that said so."""
    head = request(b"GET / HTTP/1.1", b"X-Forwarded-For: " + said % garbage, peer=Peer(ip, secure=False))
    assert client_ip(head, trusted) == found


@given(st.lists(st.ip_addresses(), max_size=5), st.ip_addresses())
def test_a_client_cannot_choose_what_it_is_taken_for(claimed: list[object], real: object) -> None:
    """MUST. F6: whatever it writes itself stands to the left of what the trusted proxy saw."""
    seen = plain_ip(str(real))
    chain = ", ".join([*map(str, claimed), str(real)]).encode()
    if not TEN.believes(seen):
        head = request(b"GET / HTTP/1.1", b"X-Forwarded-For: " + chain, peer=Peer("10.0.0.1", secure=False))
        assert client_ip(head, TEN) == seen


@pytest.mark.parametrize(
    ("received", "after"),
    [
        pytest.param([b"A: 1"], [b"A: 1", b"Via: 1.1 here"], id="first hop"),
        pytest.param([b"Via: 1.0 fred", b"A: 1"], [b"A: 1", b"Via: 1.0 fred, 1.1 here"], id="second hop"),
        pytest.param(
            [b"via: 1.0 fred, 2 b.example", b"VIA: HTTP/1.1 C (x, y)"],
            [b"Via: 1.0 fred, 2 b.example, HTTP/1.1 C (x, y), 1.1 here"],
            id="several lines",
        ),
        pytest.param([b"Via: ", b"Via: 1.0 fred"], [b"Via: 1.0 fred, 1.1 here"], id="an empty line"),
    ],
)
def test_this_instance_is_appended_to_via(received: list[bytes], after: list[bytes]) -> None:
    """MUST. RFC 9110 section 7.6.3; H19."""
    before = fields(*received)
    assert lines(via(before, b"here")) == after
    assert lines(before) == received


@pytest.mark.parametrize(
    ("received", "passed"),
    [
        pytest.param([], False, id="none"),
        pytest.param([b"Via: 1.1 here"], True, id="alone"),
        pytest.param([b"via: 1.0 fred, HTTP/1.1 HERE (comment)"], True, id="last, another letter case, a comment"),
        pytest.param([b"Via: 1.1 fred", b"Via: 1.1 here, 1.1 b"], True, id="on a second line"),
        pytest.param([b"Via: 1.1 there, 1.1 somewhere, 1.1 here-2"], False, id="longer names"),
        pytest.param([b"X-Via: 1.1 here"], False, id="another field"),
        pytest.param([b"Via:"], False, id="empty"),
        pytest.param([b"Via: 1.0 x (not here really)"], False, id="in a comment"),
    ],
)
def test_a_request_that_names_this_instance_has_been_here(received: list[bytes], passed: bool) -> None:
    """MUST. RFC 9110 section 7.6; H20."""
    assert has_passed(request(b"GET / HTTP/1.1", *received), b"Here") is passed
