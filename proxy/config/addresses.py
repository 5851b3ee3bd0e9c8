"""The types that name places and fields: listen addresses, hosts, origins, upstream URLs, header names and values.

Each checks its grammar when the configuration is read, so that nobody after it has to. Nothing here resolves a name.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.presets import CREDENTIAL_QUERY
from proxy.config.secrets import Expanded, shown
from proxy.config.values import has_control, wrong
from proxy.core import redact, target

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}

# Written for each side by the proxy itself; a rule that sets one could split messages or break them. RFC 9110 section
# 7.6.1.
NOT_FOR_RULES = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: either `host` and `port` (0: the system picks one) or the `path` of a Unix socket."""

    host: str | None = None
    port: int | None = None
    path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: a loopback address or name, or a Unix socket."""
        return self.path is not None or is_loopback(self.host or "")

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of the machine."""
        ip = _ip(self.host or "")
        return ip is not None and ip.is_unspecified

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in (self.host or "") else f"{self.host}:{self.port}"


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(host)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def is_address(host: str) -> bool:
    """Whether a host, without brackets, is an IP address and not a name."""
    return _ip(host) is not None


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is this machine for certain: localhost, *.localhost or a loopback address."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    ip = _ip(host)
    return ip is not None and ip.is_loopback


def _is_host(host: str) -> bool:
    # Python takes anything for a zone, also what could not be written into a header.
    if _ip(host) is not None and re.fullmatch(r"[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?", host):
        return True
    # Four numbers that are no address are a typing error, not a name.
    return ":" not in host and not re.fullmatch(r"[0-9.]+", host) and _HOST_NAME.fullmatch(host) is not None


def parse_address(value: object) -> Address:
    """One listen address. Errors: PydanticCustomError for anything else."""
    problem = wrong("HOST:PORT, [v6]:PORT or unix:/path")
    if not isinstance(value, str) or has_control(value):
        raise problem
    if value.startswith("unix:"):
        if not value.startswith("unix:/"):
            raise wrong("unix: and an absolute path")
        return Address(path=str(value)[5:])
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise problem
    if host.startswith("[") and host.endswith("]") and ":" in host and _is_host(host[1:-1]):
        return Address(host[1:-1], int(port))
    if ":" in host or not _is_host(host):
        raise problem
    return Address(str(host), int(port))


def _addresses(value: object) -> tuple[Address, ...]:
    if not isinstance(value, list | tuple):
        return (parse_address(value),)
    if not value:
        raise wrong("at least one address")
    found: list[Address] = []
    for index, entry in enumerate(value):
        try:
            address = parse_address(entry)
        except ValueError:
            raise wrong("HOST:PORT, [v6]:PORT or unix:/path", at=(index,)) from None
        if address in found and address.port != 0:
            raise wrong("each address once", at=(index,))
        found.append(address)
    return tuple(found)


def _write_addresses(addresses: tuple[Address, ...]) -> str | list[str]:
    written = [str(address) for address in addresses]
    return written[0] if len(written) == 1 else written


def _host(value: object) -> str:
    if not isinstance(value, str):
        raise wrong("a host name or address, without a port")
    name = value[1:-1] if value.startswith("[") and value.endswith("]") else str(value)
    if not _is_host(name):
        raise wrong("one exact host name or address, without a port or wildcard")
    return str(name).lower().rstrip(".")


def _network(value: object) -> IPv4Network | IPv6Network | Literal["unix"]:
    if value == "unix":
        return "unix"
    if not isinstance(value, str):
        raise wrong("a network such as 10.0.0.0/8, an address, or unix")
    try:
        return ip_network(value)
    except ValueError:
        pass
    try:
        meant = ip_network(value, strict=False)
    except ValueError:
        raise wrong("a network such as 10.0.0.0/8, an address, or unix") from None
    raise wrong(f"a network ({meant} or a single address)")


def _origin(value: object) -> str:
    """An origin as browsers send it: lower-case, without the scheme's default port."""
    if value is None:
        # An unquoted null in YAML.
        return "null"
    if not isinstance(value, str):
        raise wrong("an origin such as http://localhost:5173")
    if value in ("*", "null"):
        return str(value)
    scheme, separator, authority = value.lower().partition("://")
    if not separator or not _SCHEME.fullmatch(scheme) or not authority:
        raise wrong("an origin such as http://localhost:5173, or *")
    if any(char in authority for char in "/?#@"):
        raise wrong("an origin without path, query or user info", found=_without_user_info(value))
    below = authority.startswith("*.")
    host, port = _host_and_port(authority.removeprefix("*."))
    if host is None or not _is_host(host) or (below and not _may_stand_for_all_below(host)):
        raise wrong("an origin such as http://localhost:5173, or https://*.example.com for all below a name of yours")
    if port == "*":
        if not is_loopback(host):
            raise wrong("a port (:* is for loopback hosts only)")
    elif port is not None and (not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536):
        raise wrong("an origin with a port from 1 to 65535")
    if port is not None and port.isdigit() and int(port) == _DEFAULT_PORTS.get(scheme):
        port = None
    name = f"[{host}]" if ":" in host else f"*.{host}" if below else host
    return f"{scheme}://{name}" + ("" if port is None else f":{port if port == '*' else int(port)}")


def _may_stand_for_all_below(host: str) -> bool:
    """Whether a name may follow `*.`: no address, and no top-level domain, below which everybody has names."""
    return _ip(host) is None and ("." in host.rstrip(".") or host == "localhost")


def _host_and_port(authority: str) -> tuple[str | None, str | None]:
    """The parts of `host[:port]`, brackets taken off; no host where the brackets do not match."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::(.*))?", authority)
    return (match[1] or match[2], match[3]) if match else (None, None)


def _without_user_info(url: str) -> str | None:
    """What to say instead of quoting a URL that has a password in it; None where there is none."""
    return "user info" if "@" in url else None


def _url(value: object) -> str:
    """An upstream URL, kept as it was written."""
    problem = wrong("an http:// or https:// URL with a host", found=_without_user_info(str(value)))
    if not isinstance(value, str):
        raise problem
    if not value.isascii() or has_control(value) or any(char in value for char in ' \\"<>^`{|}'):
        raise wrong(
            "a URL of plain ASCII, anything else percent-encoded",
            found=_without_user_info(value),
        )
    try:
        parts = urlsplit(str(value))
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not _is_host(parts.hostname) or port == 0:
        raise problem
    _refuse_extras(value, parts)
    return value


def _refuse_extras(url: str, parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise wrong("a URL without user info (use api_key or a header rule)", found="user info")
    if "#" in url:
        raise wrong("a URL without a fragment")
    if parts.netloc.endswith(":"):
        raise wrong("a port after the colon")
    written = url.source if isinstance(url, Expanded) else url
    for pair in re.split("[&;]", written.partition("?")[2]):
        name, _, value = pair.partition("=")
        if value and "${" not in value and target.decoded(name.encode()).lower() in CREDENTIAL_QUERY:
            raise wrong(
                "${NAME} or ${file:/path} for a key in a URL (api_key sends it in a header)",
                found="a literal: secrets do not belong in a configuration file or on a command line",
            )


def shown_url(url: str) -> str:
    """An upstream URL as it may be shown, to people and in logs."""
    return redact.target(shown(url))


def parse_header_name(value: object) -> str:
    """A header field name, a token. Errors: PydanticCustomError for anything else."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise wrong("a header name (letters, digits and !#$%&'*+-.^_`|~)")
    return str(value)


def _rule_name(value: object) -> str:
    name = parse_header_name(value)
    if name.lower() in NOT_FOR_RULES:
        hint = "preserve_host decides about Host" if name.lower() == "host" else "the proxy writes it itself"
        raise wrong(f"a header that rules may change ({name} is not one: {hint})")
    return name


def _header_value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise wrong("text (quote true, false, null and dates)")
    if has_control(value.replace("\t", " ")):
        raise wrong("a header value without control characters", found="one")
    if value != value.strip(" \t"):
        raise wrong("a header value without blanks around it", found="some")
    return value


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise wrong("a path that begins with /")
    if not value.isascii() or has_control(value) or any(char in value for char in " ?#\\"):
        raise wrong("a path of plain ASCII without blank, ?, # and backslash, anything else percent-encoded")
    return str(value)


def _method(value: object) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise wrong("a method such as GET or POST")
    method = str(value).upper()
    if method in ("CONNECT", "TRACE", "TRACK"):
        raise wrong("a method that is forwarded (CONNECT, TRACE and TRACK never are)")
    return method


_SHOWN = PlainSerializer(shown, when_used="json")
_STRING = WithJsonSchema({"type": "string", "minLength": 1})

Addresses = Annotated[
    tuple[Address, ...],
    PlainValidator(_addresses),
    PlainSerializer(_write_addresses, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""Listen addresses, one or a list."""

ListenAddress = Annotated[Address, PlainValidator(parse_address), PlainSerializer(str, when_used="json"), _STRING]
"""One listen address."""

HostName = Annotated[str, PlainValidator(_host), _STRING]
"""An exact host, lower-case, without port, brackets and final dot."""

Network = Annotated[
    IPv4Network | IPv6Network | Literal["unix"],
    PlainValidator(_network),
    PlainSerializer(str, when_used="json"),
    _STRING,
]
"""A network, or `unix` for peers on a Unix socket."""

Origin = Annotated[str, PlainValidator(_origin), WithJsonSchema({"type": ["string", "null"]})]
"""An origin as browsers send it, `*`, `null`, one with `*.` for all below a name, or `:*` for any loopback port."""

UpstreamUrl = Annotated[str, PlainValidator(_url), PlainSerializer(shown_url, when_used="json"), _STRING]
"""An http or https URL with a host; no user info, no fragment."""

UrlPath = Annotated[str, PlainValidator(_path), WithJsonSchema({"type": "string", "pattern": "^/"})]
"""A path as it stands in a request, percent-encoded."""

HeaderName = Annotated[str, PlainValidator(parse_header_name), _STRING]
"""A header field name, in the letter case in which it was written."""

RuleName = Annotated[str, PlainValidator(_rule_name), _STRING]
"""A header field name that a rule may change."""

HeaderValue = Annotated[str, PlainValidator(_header_value), _SHOWN, WithJsonSchema({"type": ["string", "integer"]})]
"""A header field value; may be empty."""

Method = Annotated[str, PlainValidator(_method), _STRING]
"""A request method, upper-case."""
