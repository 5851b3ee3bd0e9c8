"""Rules of request targets: their forms, and how base path, rest and query are put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ClientError, ConfigurationError
from proxy.core.target import Target, checked, join, join_query, parse


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        pytest.param(b"/", Target(b"/", b""), id="root"),
        pytest.param(b"/a/b", Target(b"/a/b", b""), id="path"),
        pytest.param(b"/a?b=c&d", Target(b"/a", b"?b=c&d"), id="query"),
        pytest.param(b"/a?", Target(b"/a", b"?"), id="a lone question mark stays"),
        pytest.param(b"/a?b?c", Target(b"/a", b"?b?c"), id="the first question mark counts"),
        pytest.param(b"/?/../a", Target(b"/", b"?/../a"), id="a path inside the query"),
        pytest.param(b"/%2F//%zz/./x", Target(b"/%2F//%zz/./x", b""), id="nothing is decoded or normalised"),
        pytest.param(b"/https://a.example/", Target(b"/https://a.example/", b""), id="an embedded URL"),
        pytest.param(b"//a.example/x", Target(b"//a.example/x", b""), id="two slashes name no authority"),
        pytest.param(rb"/!$&'()*+,;=:@-._~\^`{|}[]<>\"", Target(rb"/!$&'()*+,;=:@-._~\^`{|}[]<>\"", b""), id="signs"),
        pytest.param(b"http://a.example/b?c", Target(b"/b", b"?c", b"a.example"), id="absolute"),
        pytest.param(
            b"HTTPS://A.example:8443/b", Target(b"/b", b"", b"A.example:8443"), id="absolute, any case and port"
        ),
        pytest.param(b"http://a.example", Target(b"/", b"", b"a.example"), id="absolute without a path"),
        pytest.param(b"http://a.example?b", Target(b"/", b"?b", b"a.example"), id="absolute with only a query"),
        pytest.param(b"http://[::1]:80/b", Target(b"/b", b"", b"[::1]:80"), id="absolute, IPv6"),
        pytest.param(b"http://a.example//b", Target(b"//b", b"", b"a.example"), id="absolute with two slashes"),
    ],
)
def test_a_target_is_taken_apart_as_received(raw: bytes, parts: Target) -> None:
    """MUST. RFC 9112 section 3.2; P1, P5, P9."""
    assert parse(raw) == parts


@pytest.mark.parametrize("place", [b"/a%bb", b"/a?b%bc", b"%b/a", b"http://a.example/%b"], ids=bytes.decode)
def test_a_blank_hash_control_or_non_ascii_byte_is_refused_anywhere(place: bytes) -> None:
    """MUST, stricter than RFC 9112 section 3.2; P6."""
    for code in (*range(0x21), 0x23, *range(0x7F, 0x100)):
        with pytest.raises(ClientError):
            parse(place % bytes([code]))


def test_a_line_end_at_the_end_of_a_target_is_refused() -> None:
    """MUST. P6: what `$` in a pattern would let pass."""
    with pytest.raises(ClientError):
        parse(b"/a\n")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"a", b"*", b"?a", b"a.example:443", b"ftp://a.example/", b"xhttp://a/", b"\\a", b"%2Fa"),
        *(
            b"http:/a",
            b"http:a",
            b"http:///a",
            b"http://",
            b"http://?a",
        ),  # without an authority: RFC 9110 section 4.2.1
    ],
    ids=bytes.decode,
)
def test_any_other_form_is_refused(raw: bytes) -> None:
    """MUST. RFC 9112 section 3.2; F11."""
    with pytest.raises(ClientError):
        parse(raw)


visible = st.binary(max_size=30).map(lambda data: bytes(0x21 + byte % 0x5E for byte in data).replace(b"#", b"~"))


@given(visible)
def test_path_and_query_together_are_the_bytes_received(rest: bytes) -> None:
    """MUST. RFC 9110 section 7.7; P1, P5."""
    raw = b"/" + rest
    asked = parse(raw)
    assert asked.path + asked.query == raw
    assert b"?" not in asked.path
    assert parse(b"http://a.example" + raw) == Target(asked.path, asked.query, b"a.example")


@pytest.mark.parametrize(
    ("base", "rest", "joined"),
    [
        pytest.param(b"/v1", b"/chat", b"/v1/chat", id="slash on the right"),
        pytest.param(b"/v1/", b"chat", b"/v1/chat", id="slash on the left"),
        pytest.param(b"/v1/", b"/chat", b"/v1/chat", id="slash on both"),
        pytest.param(b"/v1", b"chat", b"/v1/chat", id="slash on none"),
        pytest.param(b"", b"/chat", b"/chat", id="no base"),
        pytest.param(b"/", b"/chat", b"/chat", id="base of the root"),
        pytest.param(b"", b"", b"/", id="nothing at all"),
        pytest.param(b"/v1", b"/", b"/v1/", id="rest of the root"),
        pytest.param(b"/v1", b"", b"/v1/", id="no rest"),
        pytest.param(b"/v1", b"//chat", b"/v1//chat", id="two slashes are two"),
        pytest.param(b"", b"//chat", b"//chat", id="two slashes without base"),
        pytest.param(b"/a%2Fb//c", b"/%2Fd/https://x", b"/a%2Fb//c/%2Fd/https://x", id="encoded and embedded"),
    ],
)
def test_base_path_and_rest_meet_at_one_slash(base: bytes, rest: bytes, joined: bytes) -> None:
    """MUST. P2, P3."""
    assert join(base, rest) == joined


@pytest.mark.parametrize(
    ("base", "received", "joined"),
    [
        pytest.param(b"", b"", b"", id="none"),
        pytest.param(b"", b"?a=b", b"?a=b", id="only the client's"),
        pytest.param(b"", b"?", b"?", id="a lone question mark stays"),
        pytest.param(b"v=1", b"", b"?v=1", id="only the upstream's"),
        pytest.param(b"v=1", b"?", b"?v=1", id="a lone question mark beside the upstream's"),
        pytest.param(b"v=1", b"?a=b", b"?v=1&a=b", id="both"),
        pytest.param(b"v=1", b"?v=2&v=3;%zz", b"?v=1&v=2&v=3;%zz", id="repeated keys and broken escapes"),
        pytest.param(b"v=1", b"?&", b"?v=1&&", id="empty pairs"),
    ],
)
def test_both_queries_are_kept(base: bytes, received: bytes, joined: bytes) -> None:
    """MUST. P4, P5."""
    assert join_query(base, received) == joined


@pytest.mark.parametrize("path", [b"/", b"/a", b"//a", b"/a%20b", b"/a;b"], ids=bytes.decode)
def test_a_rewritten_path_that_can_be_sent_is_sent(path: bytes) -> None:
    """MUST. P12."""
    assert checked(path) == path


@pytest.mark.parametrize(
    "path", [b"", b"a", b"/a b", b"/a\n", b"/a\tb", b"/a#b", b"/a?b", b"/\xff", b"http://evil.example/"], ids=repr
)
def test_a_rewrite_that_gives_no_path_is_the_configurations_fault(path: bytes) -> None:
    """MUST. P12."""
    with pytest.raises(ConfigurationError) as found:
        checked(path)
    assert found.value.status == 500
