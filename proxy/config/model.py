"""The configuration as a whole: what may be written, with defaults and descriptions.

`load` makes one, and only `load` has checked what spans several keys. Attribute names are the keys of the file.
Durations are seconds, sizes are bytes, None is off.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, field_validator

from proxy.config.addresses import Address, Addresses, HostName, ListenAddress, Network
from proxy.config.route import Route, RouteMatch, RouteSettings
from proxy.config.secrets import Secret
from proxy.config.section import OrOff, Section
from proxy.config.values import (
    REFERENCE_PATTERN,
    Choice,
    Duration,
    Flag,
    Interval,
    SecretText,
    Size,
    Text,
    parse_count,
    parse_instance,
    wrong,
)

__all__ = ["Clients", "Config", "Inspector", "ListenerTls", "Log", "Route", "RouteMatch", "RouteSettings", "resolved"]


def _workers(value: object) -> int | Literal["auto"]:
    return "auto" if value == "auto" else parse_count(value, "a whole number from 1, or auto")


Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(_workers),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"const": "auto"},
                {"type": "string", "pattern": REFERENCE_PATTERN},
            ]
        }
    ),
]
"""A number of processes, or `auto`."""

InstanceName = Annotated[str, PlainValidator(parse_instance), WithJsonSchema({"type": "string", "minLength": 1})]
"""A name that can stand in Via."""


# 128 random bits have 22 characters in base64 and 32 in hex.
_SHORTEST_TOKEN = 20


class Clients(Section):
    """Who may use the proxy."""

    place: ClassVar[str] = "clients."

    tokens: tuple[SecretText, ...] = Field(
        default=(),
        description="Tokens of which a client has to send one, as `Authorization: Bearer`, as `x-proxy-token`, or in "
        "the header in which the preset's provider takes a key: a list of `${NAME}` or `${file:/path}`, several for "
        "a change of tokens. Others are answered 401; upstreams never see a token. `[]`: anyone who reaches it.",
    )

    @field_validator("tokens")
    @classmethod
    def _cannot_be_guessed(cls, tokens: tuple[Secret, ...]) -> tuple[Secret, ...]:
        for index, token in enumerate(tokens):
            if len(token.reveal()) < _SHORTEST_TOKEN:
                raise wrong(
                    f"a token of at least {_SHORTEST_TOKEN} characters (`openssl rand -hex 16` makes one)",
                    found="a shorter one",
                    at=(index,),
                )
        return tokens


class ListenerTls(Section):
    """TLS towards the client."""

    place: ClassVar[str] = "tls."

    cert: Text = Field(description="File with the certificate chain to show (PEM).")
    key: Text = Field(description="File with its key (PEM).")


class Inspector(Section):
    """The page that shows exchanges as they happen."""

    place: ClassVar[str] = "inspector."

    capture: Size = Field(
        default=64 * 1024 * 1024,
        description="How much of heads and bodies is kept in memory, in all: workers share it equally. Nothing of "
        "them while no page is open.",
    )


class Log(Section):
    """What is written to stderr."""

    place: ClassVar[str] = "log."

    format: Choice[Literal["text", "json"]] = Field(
        default="text", description="`text`: key=value for people. `json`: one object a line."
    )
    level: Choice[Literal["debug", "info", "warning", "error"]] = Field(
        default="info", description="The least serious level that is written."
    )


class Config(Section):
    """A whole configuration. `defaults` is merged into `routes` already when it was loaded."""

    name: InstanceName | None = Field(
        default=None,
        description="What this instance calls itself in Via and Proxy-Status. `null`: streamsafe- and six random hex "
        "digits.",
    )
    listen: Addresses = Field(
        default=(Address("127.0.0.1", 8787),),
        description="Where clients connect: HOST:PORT, [v6]:PORT, unix:/path, or a list. Port 0: the system picks a "
        "free one.",
    )
    admin: OrOff[ListenAddress] = Field(
        default=Address("127.0.0.1", 8788),
        description="Where the inspector (`/`), /healthz, /readyz, /metrics and /status are served: HOST:PORT or "
        "unix:/path. Port 0: the system picks a free one. `off`: nowhere.",
    )
    admin_token: SecretText | None = Field(
        default=None,
        description="Token needed for the inspector, /metrics and /status (`Authorization: Bearer`), `${NAME}` or "
        "`${file:/path}`; required if `admin` is not on loopback.",
    )
    workers: Workers = Field(default=1, description="Processes that share the listeners. `auto`: one for each core.")
    allowed_hosts: tuple[HostName, ...] = Field(
        default=(),
        description="Names, besides localhost, loopback addresses and the host in `listen`, that requests may be for. "
        "A request for another host is answered 421, which stops DNS rebinding. Exact names, no wildcards.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        description="Networks (10.0.0.0/8), addresses and `unix` whose X-Forwarded-* and Forwarded are believed. `[]`: "
        "nobody's.",
    )
    clients: Clients = Field(default=Clients(), description="Who may use the proxy.")
    allow_unauthenticated: Flag = Field(
        default=False,
        description="Whether a route with a secret may be served beyond loopback without client tokens. `true`: anyone "
        "who reaches the listener can spend the key; list `allowed_hosts`, or pages that rebind DNS can too.",
    )
    tls: OrOff[ListenerTls] = Field(default=None, description="TLS towards the client. `off`: plain HTTP.")
    drain: Duration = Field(
        default=30.0, description="How long a stop waits for open streams. 0: they are cut at once."
    )
    keep_alive: Interval = Field(
        default=75.0, description="How long an idle client connection stays open, and how long a request head may take."
    )
    inspector: OrOff[Inspector] = Field(
        default=Inspector(),
        description="Shows exchanges as they happen, at `/` on `admin`. `off`: nothing is kept.",
    )
    log: Log = Field(
        default=Log(),
        description="What is written to stderr: one line for each exchange, and what happens at start and stop.",
    )
    defaults: RouteSettings = Field(
        default=RouteSettings(),
        description="Route keys for all routes; a route's own key wins, maps are merged key by key. Not here: name, "
        "path, path_regex, host, methods, upstream.",
    )
    routes: tuple[Route, ...] = Field(
        min_length=1, description="What goes where. The most specific path wins, then the earlier route."
    )


def resolved(config: Config) -> dict[str, Any]:
    """What is in force, defaults merged and secrets redacted: plain values, written as one would write them."""
    return config.model_dump(mode="json", by_alias=True, exclude={"defaults"})
