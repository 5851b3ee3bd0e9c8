"""Rules of who may reach a route: the Host check, the check of Origin and Sec-Fetch-Site, client tokens."""

import pytest

from proxy.core import guard
from proxy.core.cors import Cors
from proxy.core.errors import ClientError, MisdirectedRequest, RequestRefused, Unauthorized
from proxy.core.guard import (
    TOKEN_FIELDS,
    Hosts,
    authority,
    check_host,
    check_origin,
    check_token,
    host_name,
    tokens,
)
from proxy.core.message import Peer
from tests.core.samples import fields, lines, request

HOSTS = Hosts(frozenset({b"llm.example"}))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"a.example", b"a.example"),
        (b"A.Example:80", b"a.example"),
        (b"a.example.", b"a.example"),
        (b"a.example.:80", b"a.example"),
        (b"[::1]", b"::1"),
        (b"[::1]:80", b"::1"),
        (b"[2001:DB8::A]:80", b"2001:db8::a"),
        (b"", b""),
    ],
    ids=lambda value: value.decode(),
)
def test_a_hosts_name_is_without_port_brackets_case_and_final_dot(host: bytes, name: bytes) -> None:
    """MUST. P8."""
    assert host_name(host) == name


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LOCALHOST:9999",
        b"localhost.",
        b"127.0.0.1",
        b"127.0.0.1:8787",
        b"127.9.9.9",
        b"[::1]",
        b"[::1]:8787",
        b"[0:0:0:0:0:0:0:1]",
        b"[::ffff:127.0.0.1]",
        b"llm.example",
        b"LLM.example:443",
        b"llm.example.",
    ],
    ids=bytes.decode,
)
def test_loopback_and_listed_names_are_ours(host: bytes) -> None:
    """MUST. RFC 9110 section 15.5.20; C2."""
    assert HOSTS.allow(host)
    check_host(host, HOSTS)


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8787",
        b"localhost.evil.example",
        b"127.0.0.1.nip.io",
        b"evil-llm.example",
        b"x.llm.example",
        b"llm.example.evil.example",
        b"0.0.0.0",
        b"[::]",
        b"[::ffff:10.0.0.1]",
        b"10.0.0.1",
        b"192.168.0.1:8787",
        b"[fe80::1]",
        b"2130706433",
        b"0x7f.1",
        b"127.1",
        b"::1",
        b"\xff\xfe",
        b"*",
    ],
    ids=repr,
)
def test_any_other_host_is_misdirected(host: bytes) -> None:
    """MUST. RFC 9110 section 15.5.20; C2: what DNS rebinding would send."""
    assert not HOSTS.allow(host)
    with pytest.raises(MisdirectedRequest) as found:
        check_host(host, HOSTS)
    assert found.value.status == 421
    assert host.decode("latin-1") not in str(found.value) or len(host) < 4


def test_a_request_without_host_is_left_to_the_route() -> None:
    """MUST. P10: HTTP/1.0 only, which no browser speaks."""
    check_host(b"", HOSTS)


def test_hosts_of_different_listeners_are_not_mixed_up() -> None:
    """MUST. C2: what one listener remembers is no other's business."""
    other = Hosts()
    assert HOSTS.allow(b"llm.example")
    assert not other.allow(b"llm.example")
    assert Hosts(frozenset({b"llm.example"})) == HOSTS


@pytest.mark.parametrize(
    ("line", "hosts", "absolute", "found"),
    [
        pytest.param(b"GET / HTTP/1.1", [b"a.example"], None, b"a.example", id="Host"),
        pytest.param(b"GET / HTTP/1.1", [b"a.example:80"], None, b"a.example:80", id="with port"),
        pytest.param(b"GET / HTTP/1.1", [b"a.example:"], None, b"a.example:", id="with an empty port"),
        pytest.param(b"GET / HTTP/1.1", [b"[::1]:80"], None, b"[::1]:80", id="IPv6"),
        pytest.param(b"GET / HTTP/1.1", [b"a.example"], b"b.example", b"b.example", id="an absolute form wins"),
        pytest.param(b"GET / HTTP/1.0", [], None, b"", id="1.0 without"),
        pytest.param(b"GET / HTTP/1.0", [b""], None, b"", id="1.0, empty"),
        pytest.param(b"GET / HTTP/1.0", [b"a.example"], None, b"a.example", id="1.0 with"),
        pytest.param(b"GET / HTTP/1.0", [], b"b.example", b"b.example", id="1.0, absolute"),
    ],
)
def test_the_authority_is_that_of_the_target_else_host(
    line: bytes, hosts: list[bytes], absolute: bytes | None, found: bytes
) -> None:
    """MUST. RFC 9112 section 3.2; P9, P10."""
    assert authority(request(line, *(b"Host: " + host for host in hosts), host=None), absolute) == found


@pytest.mark.parametrize(
    ("line", "hosts", "absolute"),
    [
        pytest.param(b"GET / HTTP/1.1", [], None, id="missing"),
        pytest.param(b"GET / HTTP/1.1", [b""], None, id="empty"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost", b"localhost"], None, id="twice the same"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost", b"evil.example"], None, id="two"),
        pytest.param(b"GET / HTTP/1.0", [b"localhost", b"localhost"], None, id="two in 1.0"),
        pytest.param(b"GET / HTTP/1.1", [], b"localhost", id="missing beside an absolute form"),
        pytest.param(b"GET / HTTP/1.1", [b""], b"localhost", id="empty beside an absolute form"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost", b"localhost"], b"localhost", id="two beside an absolute form"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost@evil.example"], None, id="user information"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost"], b"user@localhost", id="user information in the target"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost/x"], None, id="a path"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost:abc"], None, id="a port that is no number"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost:80:90"], None, id="two ports"),
        pytest.param(b"GET / HTTP/1.1", [b"[::1"], None, id="an open bracket"),
        pytest.param(b"GET / HTTP/1.1", [b"[::1]evil.example"], None, id="a name behind a bracket"),
        pytest.param(b"GET / HTTP/1.1", [b"localhost, evil.example"], None, id="a list"),
        pytest.param(b"GET / HTTP/1.1", [b"[1:2]"], None, id="no address in brackets"),
        pytest.param(b"GET / HTTP/1.1", [b"local%zz"], None, id="a broken escape"),
        pytest.param(b"GET / HTTP/1.1", [b'"localhost"'], None, id="quotes"),
        pytest.param(b"GET / HTTP/1.1", [b"user:pw@evil/x"], b"localhost", id="invalid beside an absolute form"),
    ],
)
def test_a_request_without_exactly_one_valid_host_is_malformed(
    line: bytes, hosts: list[bytes], absolute: bytes | None
) -> None:
    """MUST. RFC 9112 section 3.2, RFC 9110 section 4.2.1; P9, P10. Stricter where Host is empty."""
    with pytest.raises(ClientError) as found:
        authority(request(line, *(b"Host: " + host for host in hosts), host=None), absolute)
    assert found.value.status == 400


LISTED = Cors(frozenset({b"http://localhost:5173", b"https://app.example"}))
PLAIN, SECURE = Peer("127.0.0.1", secure=False), Peer("127.0.0.1", secure=True)


def checked(*more: bytes, cors: Cors | None = None, hosts: Hosts | None = HOSTS, peer: Peer = PLAIN) -> None:
    check_origin(request(b"POST / HTTP/1.1", *more, peer=peer), b"localhost:8787", hosts, cors)


@pytest.mark.parametrize(
    ("more", "cors"),
    [
        pytest.param([], None, id="neither field: a program"),
        pytest.param([b"Sec-Fetch-Site: none"], None, id="typed by the user"),
        pytest.param([b"Sec-Fetch-Site: same-origin"], None, id="our own page, a GET"),
        pytest.param([b"Origin: http://localhost:8787"], None, id="our own page without fetch metadata"),
        pytest.param([b"Origin: http://LOCALHOST:8787"], None, id="in another letter case"),
        pytest.param([b"Origin: http://localhost:8787", b"Sec-Fetch-Site: same-origin"], None, id="our own page"),
        pytest.param(
            [b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-origin"],
            None,
            id="behind a dev server of this host",
        ),
        pytest.param([b"Origin: http://llm.example:1", b"Sec-Fetch-Site: same-origin"], None, id="of a listed host"),
        pytest.param([b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-site"], LISTED, id="listed, same site"),
        pytest.param([b"Origin: https://app.example", b"Sec-Fetch-Site: cross-site"], LISTED, id="listed, cross site"),
        pytest.param([b"Origin: https://app.example"], LISTED, id="listed, without fetch metadata"),
    ],
)
def test_programs_own_pages_and_listed_origins_may_spend_the_key(more: list[bytes], cors: Cors | None) -> None:
    """MUST. W3C Fetch Metadata; C9."""
    checked(*more, cors=cors)


@pytest.mark.parametrize(
    ("more", "cors"),
    [
        pytest.param([b"Origin: https://evil.example"], None, id="foreign"),
        pytest.param([b"Origin: https://evil.example", b"Sec-Fetch-Site: cross-site"], None, id="foreign and says so"),
        pytest.param([b"Origin: http://evil.example:5173", b"Sec-Fetch-Site: same-origin"], None, id="rebound"),
        pytest.param([b"Origin: http://evil.example", b"Sec-Fetch-Site: none"], None, id="foreign, of no site"),
        pytest.param([b"Origin: https://evil.example"], LISTED, id="not listed"),
        pytest.param([b"Origin: http://app.example"], LISTED, id="listed with another scheme"),
        pytest.param([b"Origin: https://app.example:444"], LISTED, id="listed with another port"),
        pytest.param([b"Origin: null"], None, id="null"),
        pytest.param([b"Origin: null", b"Sec-Fetch-Site: same-origin"], None, id="null of our own site"),
        pytest.param([b"Origin: null"], LISTED, id="null, others listed"),
        pytest.param([b"Origin:"], None, id="empty"),
        pytest.param([b"Origin: localhost:8787"], None, id="without scheme"),
        pytest.param([b"Origin: http://localhost:5173"], None, id="another port without fetch metadata"),
        pytest.param([b"Origin: https://localhost:8787"], None, id="another scheme without fetch metadata"),
        pytest.param([b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-site"], None, id="another local page"),
        pytest.param([b"Origin: http://localhost:8787", b"Sec-Fetch-Site: cross-site"], None, id="ours across sites"),
        pytest.param([b"Sec-Fetch-Site: cross-site"], None, id="an image or a link"),
        pytest.param([b"Sec-Fetch-Site: same-site"], None, id="an image of another local page"),
        pytest.param([b"Sec-Fetch-Site: cross-site"], LISTED, id="cross site, origins listed"),
        pytest.param([b"Sec-Fetch-Site: something-new"], None, id="a value nobody knows"),
        pytest.param([b"Sec-Fetch-Site:"], None, id="an empty value"),
    ],
)
def test_pages_of_other_sites_may_not_spend_the_key(more: list[bytes], cors: Cors | None) -> None:
    """MUST. W3C Fetch Metadata; C9, C10: whatever the media type; `same-site` counts as foreign."""
    with pytest.raises(RequestRefused) as found:
        checked(*more, cors=cors)
    assert found.value.status == 403
    assert "cors.origins" in str(found.value)


@pytest.mark.parametrize("content_type", [b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"])
def test_the_media_type_plays_no_part(content_type: bytes) -> None:
    """MUST. C10: a form may be sent by a program, and by no foreign page."""
    checked(b"Content-Type: " + content_type)
    with pytest.raises(RequestRefused):
        checked(b"Content-Type: " + content_type, b"Origin: https://evil.example")


@pytest.mark.parametrize(
    ("origin", "passes"), [(b"https://localhost:8787", True), (b"http://localhost:8787", False)], ids=["https", "http"]
)
def test_our_own_scheme_is_that_of_the_connection(origin: bytes, passes: bool) -> None:
    """MUST. C9: without fetch metadata an origin has to be ours to the letter."""
    if passes:
        checked(b"Origin: " + origin, peer=SECURE)
    else:
        with pytest.raises(RequestRefused):
            checked(b"Origin: " + origin, peer=SECURE)


@pytest.mark.parametrize(
    ("more", "passes"),
    [
        pytest.param([b"Origin: http://localhost:8787"], True, id="the Host asked for"),
        pytest.param([b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-origin"], True, id="the name asked for"),
        pytest.param([b"Origin: http://llm.example:8787", b"Sec-Fetch-Site: same-origin"], False, id="another name"),
        pytest.param([b"Origin: http://127.0.0.1:8787", b"Sec-Fetch-Site: same-origin"], False, id="a loopback name"),
        pytest.param([b"Origin: null"], False, id="null"),
    ],
)
def test_without_a_host_check_an_origin_is_held_to_the_host_asked_for(more: list[bytes], passes: bool) -> None:
    """MUST. C9, on a listener that answers for every name."""
    if passes:
        checked(*more, hosts=None)
    else:
        with pytest.raises(RequestRefused):
            checked(*more, hosts=None)


def test_an_origin_without_a_name_is_foreign_whatever_the_host() -> None:
    """MUST. C3, C9: two empty names are not the same name."""
    with pytest.raises(RequestRefused):
        check_origin(request(b"GET / HTTP/1.0", b"Origin: null", b"Sec-Fetch-Site: none", host=None), b"", None, None)


@pytest.mark.parametrize("name", [b"Origin", b"Sec-Fetch-Site"])
def test_two_lines_of_what_a_browser_sends_once_are_refused(name: bytes) -> None:
    """MUST. C9. Whichever of them is judged, something behind us may believe the other."""
    lines = {b"Origin": b"http://localhost:8787", b"Sec-Fetch-Site": b"same-origin"}
    more = [name + b": " + lines[name]] * 2
    with pytest.raises(RequestRefused):
        check_origin(request(b"POST / HTTP/1.1", *more), b"localhost:8787", Hosts(), None)


GOOD, NEXT, WRONG = b"token-0123456789abcdef", b"token-fedcba9876543210", b"token-0123456789abcdeX"
TOKENS = tokens([GOOD, NEXT])
ANTHROPIC = TOKEN_FIELDS | {b"x-api-key"}


@pytest.mark.parametrize(
    ("places", "line"),
    [
        (TOKEN_FIELDS, b"Authorization: Bearer " + GOOD),
        (TOKEN_FIELDS, b"authorization: bearer   " + GOOD),
        (TOKEN_FIELDS, b"Authorization: BEARER " + NEXT),
        (TOKEN_FIELDS, b"X-Proxy-Token: " + GOOD),
        (TOKEN_FIELDS, b"x-proxy-token: " + NEXT),
        (ANTHROPIC, b"x-api-key: " + GOOD),
    ],
    ids=["Bearer", "bearer", "another", "its own field", "its own field, another", "the preset's field"],
)
def test_a_token_is_taken_from_the_fields_that_may_carry_one(places: frozenset[bytes], line: bytes) -> None:
    """MUST. RFC 6750 section 2.1: any of several, so that they can be changed."""
    assert TOKENS is not None
    check_token(request(b"GET / HTTP/1.1", b"A: b", line), TOKENS, places)


@pytest.mark.parametrize(
    "line",
    [
        b"A: b",
        b"Authorization: Bearer " + WRONG,
        b"Authorization: Bearer " + GOOD[:-1],
        b"Authorization: Bearer " + GOOD + b"x",
        b"Authorization: Bearer " + GOOD.upper(),
        b"Authorization: Bearer",
        b"Authorization: " + GOOD,
        b"Authorization: Basic " + GOOD,
        b"Authorization: Bearer\t" + GOOD,
        b"Proxy-Authorization: Bearer " + GOOD,
        b"Cookie: token=" + GOOD,
        b"Cookie: " + GOOD,
        b"X-Proxy-Token: Bearer " + GOOD,
        b"X-Proxy-Token: ",
        b"x-api-key: " + GOOD,
    ],
    ids=bytes.decode,
)
def test_without_a_token_and_with_a_wrong_one_the_answer_is_the_same(line: bytes) -> None:
    """MUST. RFC 9110 section 15.5.2: and nothing that a browser sends by itself is one."""
    assert TOKENS is not None
    with pytest.raises(Unauthorized) as found:
        check_token(request(b"GET / HTTP/1.1", line), TOKENS, TOKEN_FIELDS)
    assert (found.value.status, str(found.value)) == (401, Unauthorized.message)


def test_tokens_are_removed_and_nothing_else_is() -> None:
    """MUST. The upstream never sees a token; the client's own credentials beside it are its business."""
    assert TOKENS is not None
    sent = fields(
        b"Authorization: Bearer " + GOOD, b"A: " + GOOD, b"X-Proxy-Token: " + WRONG, b"x-api-key: sk-own", b"B: c"
    )
    assert lines(TOKENS.without(sent, ANTHROPIC)) == [b"A: " + GOOD, b"x-api-key: sk-own", b"B: c"]
    own = fields(b"Authorization: Bearer sk-own", b"x-api-key: " + NEXT)
    assert lines(TOKENS.without(own, ANTHROPIC)) == [b"Authorization: Bearer sk-own"]


def test_no_tokens_are_none_and_their_repr_shows_nothing() -> None:
    """MUST. O8: only digests are kept."""
    assert tokens([]) is None
    assert GOOD.decode() not in repr(TOKENS)
    assert TOKENS is not None
    assert all(GOOD not in digest for digest in TOKENS.digests)


def test_every_token_is_compared_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. How long it takes tells neither which token is right nor how much of it."""
    compared = []
    monkeypatch.setattr(guard.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or a == b)
    assert TOKENS is not None
    for offered in (GOOD, NEXT, WRONG, b"", b"x" * 10_000):
        compared.clear()
        assert TOKENS.allow(offered) is (offered in (GOOD, NEXT))
        assert compared == [(32, 32)] * 2
