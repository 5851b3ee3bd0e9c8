"""Rules of the types that name places and fields."""

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.config.addresses import (
    NOT_FOR_RULES,
    Address,
    Addresses,
    HeaderValue,
    HostName,
    Method,
    Network,
    Origin,
    RuleName,
    UpstreamUrl,
    UrlPath,
    is_loopback,
)


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


def refused(kind: Any, value: object) -> bool:
    try:
        read(kind, value)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1:8787", Address("127.0.0.1", 8787)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:8787", Address("::1", 8787)),
        ("[fe80::1%eth0]:80", Address("fe80::1%eth0", 80)),
        ("unix:/run/proxy.sock", Address(path="/run/proxy.sock")),
    ],
)
def test_a_listen_address_is_host_and_port_or_a_socket(written: str, address: Address) -> None:
    assert read(Addresses, written) == (address,)
    assert str(address) == written
    assert TypeAdapter(Addresses).dump_python((address,), mode="json") == written


def test_several_listen_addresses_are_a_list() -> None:
    assert read(Addresses, ["a:1", "unix:/s"]) == (Address("a", 1), Address(path="/s"))


@pytest.mark.parametrize(
    "written",
    [
        *("8787", ":8787", "*:8787", "host", "host:", "host:65536", "host:-1", "::1:80", "[::1]", "[host]:80"),
        *("999.0.0.1:80", "a b:80", "unix:relative", "unix:", "http://host:80", "", "[fe80::1%ü]:80", "[::1%\n]:80"),
        *(8787, None, [], ["a:1", "a:1"], [["a:1"]]),
    ],
)
def test_anything_else_is_no_listen_address(written: object) -> None:
    assert refused(Addresses, written)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
    ],
)
def test_loopback_is_what_is_this_machine_for_certain(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    assert Address(host, 80).is_local is loopback


def test_a_socket_is_local_and_only_unspecified_addresses_are_wildcards() -> None:
    assert Address(path="/s").is_local
    assert [Address(host, 1).is_wildcard for host in ("0.0.0.0", "::", "127.0.0.1", "x")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("written", "host"), [("A.Example.", "a.example"), ("[::1]", "::1"), ("10.0.0.1", "10.0.0.1"), ("a_b", "a_b")]
)
def test_a_host_is_kept_lower_case_without_brackets_and_final_dot(written: str, host: str) -> None:
    assert read(HostName, written) == host


@pytest.mark.parametrize(
    "written", ["*", "*.a", ".a", "a:80", "a/b", "ä", "", "a b", True, None, "1.2.3", "fe80::1%ü", "::1%a b"]
)
def test_a_host_is_one_exact_name_without_port(written: object) -> None:
    assert refused(HostName, written)


@pytest.mark.parametrize(
    ("written", "network"),
    [("10.0.0.0/8", ip_network("10.0.0.0/8")), ("::1", ip_network("::1/128")), ("unix", "unix")],
)
def test_a_trusted_proxy_is_a_network_an_address_or_unix(written: str, network: object) -> None:
    assert read(Network, written) == network


@pytest.mark.parametrize("written", ["10.0.0.1/8", "localhost", "10.0.0.0/33", "", 10, None])
def test_anything_else_is_no_trusted_proxy(written: object) -> None:
    assert refused(Network, written)


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("http://localhost:5173", "http://localhost:5173"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("http://localhost:*", "http://localhost:*"),
        ("http://127.0.0.1:*", "http://127.0.0.1:*"),
        ("https://*.App.Example", "https://*.app.example"),
        ("https://*.app.example:443", "https://*.app.example"),
        ("http://*.app.example:8080", "http://*.app.example:8080"),
        ("http://*.localhost:*", "http://*.localhost:*"),
        ("vscode-webview://abc", "vscode-webview://abc"),
        ("*", "*"),
        ("null", "null"),
        (None, "null"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(written: object, origin: str) -> None:
    assert read(Origin, written) == origin


@pytest.mark.parametrize(
    "written",
    [
        *(
            "localhost:5173",
            "http://",
            "http://a/",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://*.a",
            "http://a:",
        ),
        *(
            "https://*.com",
            "https://*",
            "https://*.",
            "https://a.*.example",
            "https://*.*.example",
            "https://*app.example",
        ),
        *("https://*.10.0.0.1", "https://*.[::1]", "https://*.app.example:*", "https://*.app.example/x"),
        *("http://a:*", "http://a:0", "http://a:99999", "http://[::1", "//a", "", 5173, True),
    ],
)
def test_an_origin_has_no_path_and_one_host_or_all_below_a_name(written: object) -> None:
    assert refused(Origin, written)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://a",
            "https://a.example:8443/v1",
            "http://[::1]:11434",
            "https://a/x?api-version=1",
            "https://a/%2F//",
        ),
        "HTTP://A.example",
    ],
)
def test_an_upstream_url_is_kept_as_written(url: str) -> None:
    assert read(UpstreamUrl, url) == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "a.example",
            "ftp://a",
            "//a",
            "http://",
            "http:///x",
            "http://u:p@a",
            "http://a#f",
            "http://a#",
            "http://a:",
        ),
        *(
            "http://a:0",
            "http://a:99999",
            "http://a:x",
            "http://a b",
            "http://ä",
            "http://a\n",
            "http://a\\b",
            "http://[::1",
        ),
        *("http://1.2.3", "", None, 80),
    ],
)
def test_an_upstream_url_has_a_host_and_neither_user_info_nor_fragment(url: object) -> None:
    assert refused(UpstreamUrl, url)


@given(st.text())
def test_no_text_breaks_a_type(text: str) -> None:
    for kind in (Addresses, HostName, Network, Origin, UpstreamUrl, RuleName, HeaderValue, Method, UrlPath):
        refused(kind, text)


@pytest.mark.parametrize("name", sorted(NOT_FOR_RULES))
def test_rules_may_not_name_framing_connection_or_host(name: str) -> None:
    assert refused(RuleName, name)
    assert refused(RuleName, name.title())


@pytest.mark.parametrize("name", ["", "a b", "a:", "ä", "a\n", 3, None])
def test_a_header_name_is_a_token(name: object) -> None:
    assert refused(RuleName, name)
    assert not refused(RuleName, "X-Custom_1")


@pytest.mark.parametrize(("written", "value"), [("a b", "a b"), ("", ""), ("a\tb", "a\tb"), ("ü", "ü"), (3, "3")])
def test_a_header_value_is_text_or_a_whole_number(written: object, value: str) -> None:
    assert read(HeaderValue, written) == value


@pytest.mark.parametrize("written", ["a\nb", "a\r", "\x00", " a", "a ", "\ta", "\x7f", True, None, 1.5, []])
def test_a_header_value_has_no_control_characters_and_no_blanks_around_it(written: object) -> None:
    assert refused(HeaderValue, written)


def test_a_method_is_a_token_in_capitals_that_is_ever_forwarded() -> None:
    assert read(Method, "post") == "POST"
    assert all(refused(Method, method) for method in ("CONNECT", "trace", "Track", "A B", "", None))


@pytest.mark.parametrize("path", ["api", "", "/a b", "/a?b", "/a#b", "/ä", "/a\\b", "/\n", None])
def test_a_path_begins_with_a_slash_and_stands_as_in_a_request(path: object) -> None:
    assert refused(UrlPath, path)
    assert not refused(UrlPath, "/a/%20/")
