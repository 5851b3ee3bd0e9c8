"""Rules of secrets in what people or machines will read."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.redact import Redactor, redacted, target


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("/", "/", id="no query"),
        pytest.param("/key=secret", "/key=secret", id="a path is no query"),
        pytest.param("/?key=secret", "/?key=…", id="key"),
        pytest.param("/?KEY=secret", "/?KEY=…", id="letter case"),
        pytest.param("/?a=b&api_key=secret&c=d", "/?a=b&api_key=…&c=d", id="between others"),
        pytest.param("/?api-key=secret", "/?api-key=…", id="api-key"),
        pytest.param("/?access_token=secret", "/?access_token=…", id="access_token"),
        pytest.param("/?client_secret=s=e=c", "/?client_secret=…", id="equals signs inside"),
        pytest.param("/?auth=secret", "/?auth=…", id="auth"),
        pytest.param("/?X-Amz-Signature=secret", "/?X-Amz-Signature=…", id="signature"),
        pytest.param("/?password=secret", "/?password=…", id="password"),
        pytest.param("/?a=b;key=secret;c=d", "/?a=b;key=…;c=d", id="between semicolons"),
        pytest.param("/?a=b;key=secret&c=d", "/?a=b;key=…&c=d", id="between both"),
        pytest.param("/?key=sk-…abcd", "/?key=sk-…abcd", id="hidden already"),
        pytest.param("/?key=one&key=two", "/?key=…&key=…", id="twice"),
        pytest.param("/?key=a?b/c", "/?key=…", id="question marks inside"),
        pytest.param("/?key=", "/?key=", id="empty"),
        pytest.param("/?key", "/?key", id="no value"),
        pytest.param("/?alt=sse&model=x", "/?alt=sse&model=x", id="nothing secret"),
        pytest.param("/?q=key", "/?q=key", id="a value is no name"),
        pytest.param("http://user:secret@a.example/x", "http://…@a.example/x", id="user information"),
        pytest.param("http://secret@a.example/?key=secret", "http://…@a.example/?key=…", id="user information and key"),
        pytest.param("//secret@a.example/", "//…@a.example/", id="user information without scheme"),
        pytest.param("/users/a@b.example?c=d@e", "/users/a@b.example?c=d@e", id="a sign in path and query"),
        pytest.param("http://a.example/?token=secret", "http://a.example/?token=…", id="absolute"),
    ],
)
def test_values_of_secret_like_names_are_not_shown(text: str, shown: str) -> None:
    """MUST. O8."""
    assert target(text) == shown


names = st.sampled_from(["key", "Api-Key", "access_token", "client_secret", "authorization", "x-signature", "password"])


@given(names, st.text(alphabet="abc123%-_.~=?/:;+", min_size=1).map(lambda text: "S3CR3T" + text), st.booleans())
def test_a_secret_is_never_shown_wherever_it_stands(name: str, secret: str, last: bool) -> None:
    """MUST. O8."""
    pair = f"{name}={secret}"
    shown = target(f"/v1?a=b&{pair}" if last else f"/v1?{pair}&a=b")
    assert "S3CR3T" not in shown
    assert "a=b" in shown


SECRET = 'sk-canary+0123/"456"=789abcdef'


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(f"Bearer {SECRET}", id="behind a scheme"),
        pytest.param(json.dumps({"key": SECRET}), id="JSON"),
        pytest.param(quote(SECRET), id="percent-encoded"),
        pytest.param(quote(SECRET, safe=""), id="percent-encoded, slashes too"),
        pytest.param(quote(SECRET, safe="").lower(), id="percent-encoded in lower case"),
        *(
            pytest.param(
                base64.b64encode(f"{user}{SECRET}{more}".encode()).decode(),
                id=f"base64 behind {user!r} before {more!r}",
            )
            for user in ("", "u:", "us:", "use:")
            for more in ("", "x", "xy")
        ),
        pytest.param(base64.urlsafe_b64encode(f"u:{SECRET}".encode()).decode(), id="base64 for URLs"),
    ],
)
def test_a_known_secret_is_found_in_every_form(written: str) -> None:
    """MUST. O8."""
    hidden = Redactor([SECRET]).text(f"before {written} behind")
    assert "sk-…cdef" in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(" behind")
    for part in ("canary", "0123", "456", base64.b64encode(SECRET.encode()).decode()[4:20]):
        assert part not in hidden


def test_a_secret_that_is_a_part_of_another_leaves_nothing_of_it() -> None:
    """MUST. O8."""
    short, long = "sk-0123456789abcdef", "sk-0123456789abcdef-and-more-of-it"
    assert Redactor([short, long]).text(f"{long} {short}") == f"{redacted(long)} {redacted(short)}"


def test_what_is_too_short_to_be_a_secret_makes_no_holes() -> None:
    """MUST. O8."""
    assert Redactor(["abc", ""]).text("abc abcd") == "abc abcd"
    assert Redactor(["abcd"]).text("abc abcd") == "abc …"


def test_text_for_logs_stays_plain() -> None:
    """MUST. O9: a terminal or a stream that knows only ASCII loses no line."""
    assert Redactor([SECRET], plain=True).text(f"a {SECRET}") == "a sk-\\u2026cdef"


def test_the_scheme_before_a_secret_stays() -> None:
    """MUST. O8: it is no secret, and says which kind of one follows."""
    assert redacted("Bearer sk-0123456789abcdef") == "Bearer sk-…cdef"


@given(st.text(max_size=50), st.text(max_size=50))
def test_text_without_a_secret_is_left_alone(before: str, behind: str) -> None:
    """MUST. O8."""
    assert Redactor(["sk-canary-that-is-not-there-0123"]).text(before + behind) == before + behind


def test_the_forms_that_are_looked_for_can_be_had_the_longest_first() -> None:
    forms = Redactor(["secret/0123456789"]).forms
    assert {"secret/0123456789", "secret%2F0123456789", "secret%2f0123456789"} <= set(forms)
    assert [len(form) for form in forms] == sorted(map(len, forms), reverse=True)
    assert Redactor(["abc"]).forms == [], "too short to be looked for"
