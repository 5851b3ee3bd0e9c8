"""Rules of the cookies an upstream sets: their Domain and Path may be changed, and nothing else of them is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.cookies import Cookies
from tests.core.samples import answered, fields, lines, response

CHANGES = Cookies(
    {b"api.example": b"localhost", b"gone.example": b""},
    {b"/": b"/api/", b"/old": b"/new"},
)


@pytest.mark.parametrize(
    ("received", "changed"),
    [
        (b"a=1; Domain=api.example; Path=/old", b"a=1; Domain=localhost; Path=/new"),
        (b"a=1;domain=.API.example;PATH=/", b"a=1;domain=localhost;PATH=/api/"),
        (b"a=1; Domain = api.example ; Secure", b"a=1; Domain =localhost; Secure"),
        (b"a=1; Domain=gone.example; HttpOnly", b"a=1; HttpOnly"),
        (b"a=1; Domain=x.api.example; Path=/old/", b"a=1; Domain=x.api.example; Path=/old/"),
        (b"a=1", b"a=1"),
        (b"a=api.example; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure", None),
        (b"Domain=api.example; Path=/x", None),
        (b"__Host-a=1; Path=/; Secure", None),
        (b" __Host-a=1; Domain=api.example; Path=/; Secure", None),
        (b"__Secure-a=1; Domain=api.example; Secure", b"__Secure-a=1; Domain=localhost; Secure"),
        (b"a=1; Domain; Path", None),
        (b"", None),
    ],
)
def test_only_a_domain_or_path_that_matches_as_a_whole_changes(received: bytes, changed: bytes | None) -> None:
    """SHOULD. H24."""
    assert CHANGES.apply(fields(b"Set-Cookie: " + received)) == fields(
        b"Set-Cookie: " + (received if changed is None else changed)
    )


def test_each_line_is_a_cookie_and_other_fields_are_none() -> None:
    """MUST. H11: lines are never merged or reordered."""
    head = response(
        b"HTTP/1.1 200 OK",
        b"Set-Cookie: a=1; Path=/",
        b"X: Path=/",
        b"set-cookie: b=2; Path=/old",
        b"Content-Length: 0",
    )
    assert lines(answered(head, cookies=CHANGES).fields) == [
        *(b"Set-Cookie: a=1; Path=/api/", b"X: Path=/", b"set-cookie: b=2; Path=/new", b"Content-Length: 0")
    ]


@given(st.binary(max_size=60))
def test_a_cookie_without_our_values_stays_to_the_byte(cookie: bytes) -> None:
    """SHOULD. H24."""
    received = [(b"set-cookie", b"Set-Cookie", cookie)]
    assert (
        Cookies(
            {b"no.such.domain.anywhere": b"x"}, {b"/no/such/path/anywhere/at/all/in/sixty/bytes/of/it/ever": b"/"}
        ).apply(received)
        == received
    )
