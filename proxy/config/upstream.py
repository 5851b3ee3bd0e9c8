"""Where requests go, and how several upstreams share them."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.addresses import HostName, UpstreamUrl, UrlPath, parse_header_name
from proxy.config.section import AlsoAs, Section
from proxy.config.values import Count, Flag, Interval, Text, Timeout, wrong


class Upstream(Section):
    """One server that requests are sent to."""

    place: ClassVar[str] = "routes[].upstream[]."

    url: UpstreamUrl = Field(
        description="Where requests go: http:// or https://, a host, and optionally a port, a path that is put before "
        "the request's and a query that is added to it. No user info, no fragment."
    )
    weight: Count = Field(
        default=1, description="This upstream's share of the requests, relative to the others' weights."
    )


def _listed(value: object) -> object:
    entries = value if isinstance(value, list | tuple) else [value]
    for index, entry in enumerate(entries):
        if not isinstance(entry, str | dict | Upstream):
            at = (index,) if entries is value else ()
            raise wrong("a URL such as http://127.0.0.1:3000, or {url: URL, weight: 2}", at=at)
    return [{"url": entry} if isinstance(entry, str) else entry for entry in entries]


def _once_each(upstreams: tuple[Upstream, ...]) -> tuple[Upstream, ...]:
    for index, upstream in enumerate(upstreams):
        if any(upstream.url == earlier.url for earlier in upstreams[:index]):
            raise wrong("each upstream once (`weight` gives one a larger share)", at=(index,))
    return upstreams


Upstreams = Annotated[
    tuple[Annotated[Upstream, AlsoAs({"type": "string"})], ...],
    BeforeValidator(_listed),
    AfterValidator(_once_each),
    AlsoAs({"type": "string"}),
]
"""One URL, or a list of URLs and `{url, weight}` maps."""


class UpstreamTls(Section):
    """TLS towards the upstream."""

    place: ClassVar[str] = "routes[].tls."

    verify: Flag = Field(
        default=True,
        description="Whether the upstream's certificate is checked. `false` lets anybody in between read and change "
        "everything.",
    )
    ca: Text | None = Field(
        default=None, description="File with the CA certificates to trust (PEM). `null`: those of the system."
    )
    cert: Text | None = Field(default=None, description="File with the client certificate to show (PEM). `null`: none.")
    key: Text | None = Field(
        default=None, description="File with the key of `cert` (PEM). `null`: it is in the `cert` file."
    )
    server_name: HostName | None = Field(
        default=None, description="Name for SNI and the certificate check. `null`: the host of the upstream URL."
    )


@dataclass(frozen=True, slots=True)
class HashBalance:
    """Requests with equal values of this request header go to the same upstream."""

    header: str


def _balance(value: object) -> str | HashBalance:
    if value in ("round_robin", "least_streams"):
        return str(value)
    if isinstance(value, dict) and set(value) == {"hash"}:
        try:
            return HashBalance(parse_header_name(value["hash"]))
        except ValueError:
            raise wrong("a header name", at=("hash",)) from None
    raise wrong("round_robin, least_streams or {hash: header-name}")


def _write_balance(value: str | HashBalance) -> Any:
    return {"hash": value.header} if isinstance(value, HashBalance) else value


Balance = Annotated[
    Literal["round_robin", "least_streams"] | HashBalance,
    PlainValidator(_balance),
    PlainSerializer(_write_balance, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["round_robin", "least_streams"]},
                {
                    "type": "object",
                    "properties": {"hash": {"type": "string"}},
                    "required": ["hash"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""How requests are shared among several upstreams."""


class Health(Section):
    """Which of several upstreams get requests; docs/upstreams.md has all of it."""

    place: ClassVar[str] = "routes[].health."

    path: UrlPath | None = Field(
        default=None,
        description="Path that each upstream is asked with GET, not below the path of its URL; a 2xx or 3xx answer is "
        "good. `null`: only real requests are watched.",
    )
    every: Interval = Field(default=10.0, description="How often an upstream is asked, by each worker.")
    timeout: Interval = Field(default=2.0, description="How long it may take to answer, connecting included.")
    healthy_after: Count = Field(default=2, description="Good answers in a row after which an upstream is used again.")
    unhealthy_after: Count = Field(
        default=2,
        description="Bad answers in a row after which an upstream is not used. As many failed requests within some ten "
        "seconds, if at least half of them failed, leave it out for `eject`.",
    )
    eject: Timeout = Field(
        default=30.0,
        description="How long an upstream that failed real requests is left out; one request then tries it. `off`: it "
        "never is. The only upstream of a route never is either.",
    )


RETRIABLE = ("connect", 429, 502, 503, 504, 529)


def _reason(value: object) -> str | int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if number not in RETRIABLE or isinstance(number, bool) or not isinstance(number, str | int):
        raise wrong("connect, 429, 502, 503, 504 or 529")
    return str(number) if isinstance(number, str) else number


Reason = Annotated[
    Literal["connect", 429, 502, 503, 504, 529], PlainValidator(_reason), WithJsonSchema({"enum": list(RETRIABLE)})
]
"""What a request may be tried again after."""


class Retry(Section):
    """When a request is tried on another upstream. Never after a byte of the answer reached the client.

    Only where its body was not sent yet, or was whole, and no more than 64 KiB, when it was sent.
    """

    place: ClassVar[str] = "routes[].retry."

    attempts: Count = Field(
        default=1,
        description="How many upstreams a request is tried on at most, each once, all within `timeouts.head`. 1: no "
        "failover.",
    )
    on: tuple[Reason, ...] = Field(
        default=("connect",),
        description="After what: `connect` (no connection) or a status out of 429, 502, 503, 504, 529. Naming a status "
        "says that requests, POSTs too, may be sent twice.",
    )
