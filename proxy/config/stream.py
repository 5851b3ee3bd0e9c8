"""What is done for streams."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from proxy.config.section import AlsoAs, OrOff, Section
from proxy.config.values import DURATION_SCHEMA, Choice, Flag, Interval, MediaType, is_off


class Heartbeat(Section):
    """Signs of life while the upstream is silent. `heartbeat: 15s` is short for `{every: 15s}`."""

    place: ClassVar[str] = "routes[].stream.heartbeat."

    every: Interval = Field(description="After how much silence a heartbeat is sent, and how often then.")
    form: Choice[Literal["auto", "block", "line"]] = Field(
        default="auto",
        description="How a comment heartbeat looks: `block` ends with a blank line, `line` does not, `auto` sends "
        "blocks until the stream shows an `id:` field, then lines.",
    )
    early: Flag = Field(
        default=False,
        description="Whether heartbeats may begin before the upstream has answered, for requests that ask for a "
        "stream. The first one brings a 200 with it: a failure after that can only be an event. Needs a preset.",
    )


def short_heartbeat(value: object) -> object:
    """The long form of `heartbeat: 15s`."""
    return {"every": value} if isinstance(value, str | int | float) and not is_off(value) else value


class Stream(Section):
    """How answers that are streams are treated. `stream: always` is short for `{classify: always}`."""

    place: ClassVar[str] = "routes[].stream."

    classify: Choice[Literal["auto", "always", "never"]] = Field(
        default="auto",
        description="Which answers are streams: `auto` goes by the Content-Type of the answer and the Accept of the "
        "request, `always` and `never` decide for the whole route. Every answer is relayed as it arrives; being a "
        "stream adds hints against buffering, live decompression and stream log fields.",
    )
    deliver: Choice[Literal["bytes", "events"]] = Field(
        default="bytes",
        description="`bytes`: whatever arrived leaves at once. `events`: only whole events, or lines of JSON, leave, "
        "each in a write of its own, for clients that parse chunk by chunk. Bytes and their order stay.",
    )
    heartbeat: OrOff[Annotated[Heartbeat, BeforeValidator(short_heartbeat), AlsoAs(DURATION_SCHEMA)]] = Field(
        default=None,
        description="Comments sent while an event stream is silent, so that nothing between proxy and client gives up. "
        "A duration, or a map; `off`: none.",
    )
    on_refuse: Choice[Literal["answer", "close"]] = Field(
        default="answer",
        description="What the client gets when the upstream cannot be reached: `answer` is an error answer, `close` "
        "closes the connection without one, so that an EventSource reconnects by itself.",
    )
    on_break: Choice[Literal["abort", "error-event"]] = Field(
        default="abort",
        description="What the client gets when the upstream breaks off: `abort` cuts the connection so that the answer "
        "is visibly incomplete, `error-event` first sends an error event in the format of the preset.",
    )
    on_client_gone: Choice[Literal["cancel", "drain", "keep"]] = Field(
        default="cancel",
        description="What happens upstream when the client leaves: `cancel` ends the request at once, `drain` reads on "
        "for a while so that token usage is seen, `keep` finishes the stream for a client that comes back.",
    )
    convert: Choice[Literal["none", "ndjson-to-sse"]] = Field(
        default="none",
        description="Turns one stream format into another: `ndjson-to-sse` makes one event of every line of JSON.",
    )
    content_type: MediaType | None = Field(
        default=None,
        description="Replaces the Content-Type of successful answers, as for events sent as `text/plain`. `null`: the "
        "upstream's passes.",
    )


def short_stream(value: object) -> object:
    """The long form of `stream: always`."""
    return {"classify": value} if isinstance(value, str) else value


StreamOrShort = Annotated[Stream, BeforeValidator(short_stream), AlsoAs({"enum": ["auto", "always", "never"]})]
"""The map, or only what `classify` would be."""
