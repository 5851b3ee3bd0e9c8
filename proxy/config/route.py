"""A route: which requests it takes, where they go, and everything else decided for them.

A field's description is what the documentation and the JSON Schema say about it: keep it true and short. Checks that
need more than one route, or a route and a listener, are in checks.py.
"""

import re
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator, model_validator

from proxy.config.addresses import HostName, Method, UrlPath
from proxy.config.cors import ANYONE, Cors
from proxy.config.headers import Headers
from proxy.config.presets import PRESETS
from proxy.config.section import OrOff, Section
from proxy.config.stream import Stream, StreamOrShort
from proxy.config.upstream import Balance, Health, Retry, Upstream, Upstreams, UpstreamTls
from proxy.config.values import Choice, CountLimit, Flag, SecretText, Size, SizeLimit, Text, Timeout, wrong


def _compile(pattern: str) -> re.Pattern[bytes]:
    # Paths are matched as the raw bytes of the request, so a pattern has to be valid for bytes.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return re.compile(pattern.encode("ascii"))


def _regex(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise wrong("a regular expression")
    try:
        _compile(value)
    except UnicodeEncodeError:
        raise wrong("a regular expression of plain ASCII, as paths are percent-encoded") from None
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise wrong(f"a regular expression ({error})") from None
    return str(value)


Regex = Annotated[str, PlainValidator(_regex), WithJsonSchema({"type": "string", "format": "regex"})]
"""A regular expression in Python's syntax that is valid for bytes."""


class Rewrite(Section):
    """Another path by regular expression."""

    place: ClassVar[str] = "routes[].rewrite."

    from_: Regex = Field(
        alias="from", description="Regular expression that is looked for in the raw path, query excluded."
    )
    to: Text = Field(description="What replaces it; `\\1` is the first group. The whole result has to begin with `/`.")

    @field_validator("to")
    @classmethod
    def _fits(cls, to: str, info: ValidationInfo) -> str:
        if not to.isascii() or any(char in to for char in " ?#"):
            raise wrong("a replacement of plain ASCII without blank, ? and #")
        if "from_" in info.data:
            try:
                _compile(info.data["from_"]).sub(to.encode("ascii"), b"")
            except (re.error, IndexError) as error:
                raise wrong(f"a replacement for this expression ({error})") from None
        return to


class Forwarding(Section):
    """What the upstream is told about the client."""

    place: ClassVar[str] = "routes[].forwarding."

    x_forwarded: Flag = Field(default=True, description="Whether X-Forwarded-For, -Host and -Proto are set.")
    forwarded: Flag = Field(default=False, description="Whether the standard header Forwarded is set.")
    x_real_ip: Flag = Field(default=True, description="Whether X-Real-IP is set.")
    via: Flag = Field(
        default=True,
        description="Whether Via is set. nginx as an upstream does not compress by default for requests that have it.",
    )


def _cookie_value(value: object) -> str:
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not value.isprintable()
        or ";" in value
        or value != value.strip()
    ):
        raise wrong("the value of a cookie's attribute, without `;` and blanks around it")
    return value


CookieValue = Annotated[str, PlainValidator(_cookie_value), WithJsonSchema({"type": "string"})]
"""What may stand behind `Domain=` or `Path=`; may be empty."""


class Cookies(Section):
    """Changes to Set-Cookie on its way to the client."""

    place: ClassVar[str] = "routes[].cookies."

    domain: dict[CookieValue, CookieValue] = Field(
        default={},
        description="Domains to exchange: the upstream's to ours. The whole domain has to match, letter case and a "
        "leading dot aside; an empty new one removes it. Cookies named `__Host-` never get one.",
    )
    path: dict[CookieValue, CookieValue] = Field(
        default={}, description="Paths to exchange: the upstream's to ours. The whole path has to match."
    )


class Timeouts(Section):
    """How long things may take; `off`: for ever.

    Before the answer has begun, the client gets an error (408 for its own body, 504 otherwise); later, it is cut off.
    """

    place: ClassVar[str] = "routes[].timeouts."

    connect: Timeout = Field(default=10.0, description="To connect to the upstream, name lookup and TLS included.")
    head: Timeout = Field(default=600.0, description="From the last byte of the request to the head of the answer.")
    first_byte: Timeout = Field(
        default=None, description="From the head of the answer to its first body byte. `off`: `idle` covers it."
    )
    idle: Timeout = Field(default=300.0, description="The longest silence of the upstream inside a body.")
    total: Timeout = Field(
        default=None, description="The whole exchange, however lively. `off`: streams may run for ever."
    )
    client_write: Timeout = Field(
        default=60.0, description="How long a client may take nothing of what is ready for it."
    )
    client_body: Timeout = Field(default=60.0, description="The longest silence of the client inside a request body.")
    tunnel_idle: Timeout = Field(
        default=None, description="How long a WebSocket tunnel may be silent in both directions."
    )


class Limits(Section):
    """How big things may be."""

    place: ClassVar[str] = "routes[].limits."

    request_body: SizeLimit = Field(
        default=None,
        description="The largest request body; a larger one is answered 413. `off`: bodies are piped through and never "
        "held.",
    )
    concurrent: CountLimit = Field(
        default=None,
        description="Exchanges open at once on this route, streams and tunnels included; one more is answered 503 with "
        "`Retry-After`. Each worker counts its own.",
    )
    request_head: Size = Field(default=32 * 1024, description="The largest request head; a larger one is answered 431.")
    response_head: Size = Field(
        default=64 * 1024, description="The largest head of an answer; a larger one becomes a 502."
    )
    event: Size = Field(
        default=1024 * 1024,
        description="The largest event that is held (`deliver: events`, `convert`); a larger one passes as it is. One "
        "that is only looked at may have 256KiB.",
    )


class RouteMatch(Section):
    """Which requests a route takes."""

    place: ClassVar[str] = "routes[]."

    path: UrlPath | None = Field(
        default=None,
        description="Path prefix, compared by whole segments: `/api` takes `/api` and `/api/x`, not `/apix`. `/` where "
        "there is no `path_regex` either.",
    )
    path_regex: Regex | None = Field(
        default=None,
        description="Regular expression that is looked for in the raw path, instead of `path`. `null`: none.",
    )
    host: HostName | None = Field(
        default=None, description="Host the request must be for, exactly, without port. `null`: any."
    )
    methods: tuple[Method, ...] = Field(default=(), description="Methods the request may have. `[]`: any.")
    name: Text = Field(
        default="",
        validate_default=True,
        description="What logs, metrics and messages call this route. By default its path; unique.",
    )

    @model_validator(mode="before")
    @classmethod
    def _whole_site(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("path") is None and values.get("path_regex") is None:
            return {**values, "path": "/"}
        return values

    @field_validator("path_regex")
    @classmethod
    def _instead_of_path(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        if pattern is not None and info.data.get("path") is not None:
            raise wrong("either path or path_regex", found="both")
        return pattern

    @field_validator("name", mode="before")
    @classmethod
    def _named_by_path(cls, name: Any, info: ValidationInfo) -> Any:
        if name is None or name == "":
            # "?" only where path is wrong itself, which is error enough.
            return info.data.get("path") or info.data.get("path_regex") or "?"
        return name


def _preset(value: object) -> str:
    if not isinstance(value, str) or value not in PRESETS:
        *names, last = PRESETS
        raise wrong(f"{', '.join(names)} or {last}")
    return str(value)


PresetName = Annotated[str, PlainValidator(_preset), WithJsonSchema({"enum": list(PRESETS)})]
"""The name of a preset."""


class RouteSettings(Section):
    """Everything about a route that may also stand in `defaults`."""

    place: ClassVar[str] = "routes[]."

    strip_prefix: Flag = Field(
        default=False,
        description="Whether `path` is taken off before the request goes upstream: `/api/x` becomes `/x`.",
    )
    rewrite: OrOff[Rewrite] = Field(
        default=None, description="Changes the path by regular expression, instead of `strip_prefix`. `off`: not."
    )
    preset: PresetName | None = Field(
        default=None,
        description="The provider behind this route: where it is if `upstream` is not given, how the key is sent, "
        "which stream format it speaks. `null`: nothing special; a key goes out as `Authorization: Bearer`.",
    )
    api_key: SecretText | None = Field(
        default=None,
        description="The secret to send to the upstream in place of whatever credentials the client sent: `${NAME}` "
        "from the environment or `${file:/path}`, never the key itself. `null`: the client's credentials pass.",
    )
    cors: OrOff[Cors] = Field(
        default=None,
        description="Which pages of other origins may use this route. `off`: none is allowed by the proxy.",
    )
    headers: Headers = Field(default=Headers(), description="Your own changes to headers.")
    preserve_host: Flag = Field(
        default=False,
        description="Whether the upstream gets the Host the client sent. `false`: it gets its own, as most need.",
    )
    forwarding: Forwarding = Field(default=Forwarding(), description="What the upstream is told about the client.")
    cookies: Cookies = Field(
        default=Cookies(), description="Changes to the Domain and Path of cookies the upstream sets."
    )
    redirects: Choice[Literal["rewrite", "pass"]] = Field(
        default="rewrite",
        description="`rewrite`: a Location that points at the upstream is turned back to the proxy. `pass`: it stays. "
        "Redirects are never followed.",
    )
    websocket: Flag = Field(
        default=True, description="Whether WebSocket handshakes are tunnelled. `false`: they are answered 403."
    )
    compression: Choice[Literal["auto", "pass"]] = Field(
        default="auto",
        description="`auto`: upstreams are asked not to compress what may be a stream, and compressed event streams "
        "are decompressed as they flow. `pass`: neither.",
    )
    stream: StreamOrShort = Field(
        default=Stream(), description="How streams are treated; a map, or just what `classify` would be."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long things may take.")
    tls: UpstreamTls = Field(default=UpstreamTls(), description="TLS towards an https:// upstream.")
    allow_link_local_upstream: Flag = Field(
        default=False,
        description="Whether the upstream may be at a link-local address (169.254.0.0/16, fe80::/10) or a cloud's "
        "metadata service. `false`: a name that leads there is answered 502.",
    )
    balance: Balance = Field(
        default="round_robin",
        description="How several upstreams share requests, by their weights: `round_robin`; `least_streams`, to the "
        "one with the fewest open exchanges; `{hash: header-name}`, equal values of that header to the same one.",
    )
    health: Health = Field(
        default=Health(), description="Which of several upstreams get requests. Each worker sees for itself."
    )
    retry: Retry = Field(default=Retry(), description="When a request is tried on another upstream.")
    limits: Limits = Field(default=Limits(), description="How big things may be.")

    @field_validator("strip_prefix")
    @classmethod
    def _has_prefix(cls, strip: bool, info: ValidationInfo) -> bool:
        if strip and info.data.get("path_regex") is not None:
            raise wrong("false with path_regex, which has no prefix (use rewrite)")
        return strip

    @field_validator("rewrite")
    @classmethod
    def _instead_of_stripping(cls, rewrite: Rewrite | None, info: ValidationInfo) -> Rewrite | None:
        if rewrite is not None and info.data.get("strip_prefix"):
            raise wrong("either strip_prefix or rewrite", found="both")
        return rewrite

    @field_validator("cors")
    @classmethod
    def _keeps_secret(cls, cors: Cors | None, info: ValidationInfo) -> Cors | None:
        """A page that anyone can make must not spend the key."""
        if cors is not None and info.data.get("api_key") is not None:
            for index, origin in enumerate(cors.origins):
                if origin in ANYONE:
                    title = f"route {info.data['name']}" if "name" in info.data else "this route"
                    raise wrong(f"exact origins, as {title} injects a secret (api_key)", at=("origins", index))
        return cors


class Route(RouteSettings, RouteMatch):
    """One route: the most specific path wins, then the earlier in the file."""

    upstream: Upstreams = Field(
        default=(),
        validate_default=True,
        description="Where requests go: a URL, or a list of URLs or `{url, weight}`. May be left out with a preset "
        "that knows its provider's address.",
    )

    @field_validator("stream")
    @classmethod
    def _heard_early(cls, stream: Stream, info: ValidationInfo) -> Stream:
        preset = info.data.get("preset")
        if stream.heartbeat and stream.heartbeat.early and preset in (None, "gemini"):
            raise wrong(
                "false, as early heartbeats need a `preset` whose clients understand them",
                found="true" if preset is None else "true with the preset gemini, whose clients bear no comments",
                at=("heartbeat", "early"),
            )
        return stream

    @field_validator("upstream")
    @classmethod
    def _by_preset(cls, upstream: tuple[Upstream, ...], info: ValidationInfo) -> tuple[Upstream, ...]:
        if upstream or "preset" not in info.data:
            return upstream
        preset = PRESETS.get(info.data["preset"] or "")
        if preset is None:
            raise wrong("a URL (or a preset that knows one)", found="nothing")
        if preset.base_url is None:
            raise wrong(f"a URL: everybody has their own with preset {preset.name}", found="nothing")
        return (Upstream(url=preset.base_url),)
