"""Rules of secrets in request targets that people or machines will read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.redact import target


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
