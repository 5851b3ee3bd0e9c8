"""The access log: what a line says, and that writing it costs no exchange anything."""

import asyncio
import io
import json
import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.dialects import Usage
from proxy.core.errors import ClientGone, ClientStalled, ConnectionTerminated, Draining, NoRoute, UpstreamTimeout
from proxy.core.exchange import Exchange, Outcome
from proxy.edge.access_log import AT_ONCE, FLUSH_AFTER_S, FORMATS, MUCH, AccessLog, fields, level

NAMES = (
    "time level route client method target status outcome phase code stream head_ms ttfb_ms duration_ms bytes_in "
    "bytes_out max_gap_ms stalled_on dialect events first_event_ms first_token_ms input_tokens output_tokens "
    "cached_tokens reasoning_tokens tokens_per_s verdict limited heartbeats oversized read_on upstream attempts "
    "request_id"
)


def exchange(**changed: Any) -> Exchange:
    """A whole stream: begun at wall-clock second 0.25, monotonic second 100."""
    whole: dict[str, Any] = {
        "request_id": "0123456789abcdef",
        "wall_time": 0.25,
        "started": 100.0,
        "method": "POST",
        "target": "/v1/chat/completions",
        "client": "192.0.2.7",
        "route": "openai",
        "upstream": "https://api.openai.com:443",
        "attempts": 1,
        "status": 200,
        "stream": "type",
        "head_at": 100.5,
        "first_byte_at": 100.75,
        "last_byte_at": 102.0,
        "ended": 102.125,
        "bytes_in": 11,
        "bytes_out": 2222,
        "max_gap": 0.0625,
        "dialect": "openai-chat",
        "events": 12,
        "first_event_at": 100.75,
        "first_token_at": 101.0,
        "usage": Usage(input=5, output=20),
        "verdict": "complete",
    }
    return Exchange(**{**whole, **changed})


def refused() -> Exchange:
    """What never got as far as a route."""
    made = Exchange("0123456789abcdef", 0.25, 100.0, method="GET", target="/", ended=100.0005)
    made.failed(NoRoute())
    made.status = 404
    return made


class Stream(io.StringIO):
    """A stream that remembers its writes, and may be broken."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.flushed = asyncio.Event()
        self.error = error

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        self.writes.append(text)
        return len(text)

    def flush(self) -> None:
        self.flushed.set()

    async def wait_flushed(self) -> None:
        await asyncio.wait_for(self.flushed.wait(), 5)
        self.flushed.clear()


def test_a_line_has_its_fields_in_order_with_times_in_milliseconds() -> None:
    assert fields(exchange()) == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "route": "openai",
        "client": "192.0.2.7",
        "method": "POST",
        "target": "/v1/chat/completions",
        "status": 200,
        "outcome": "complete",
        "phase": None,
        "code": None,
        "stream": "type",
        "head_ms": 500.0,
        "ttfb_ms": 750.0,
        "duration_ms": 2125.0,
        "bytes_in": 11,
        "bytes_out": 2222,
        "max_gap_ms": 62.5,
        "stalled_on": None,
        "dialect": "openai-chat",
        "events": 12,
        "first_event_ms": 750.0,
        "first_token_ms": 1000.0,
        "input_tokens": 5,
        "output_tokens": 20,
        "cached_tokens": None,
        "reasoning_tokens": None,
        "tokens_per_s": 20.0,
        "verdict": "complete",
        "limited": None,
        "heartbeats": None,
        "oversized": None,
        "read_on": None,
        "upstream": "https://api.openai.com:443",
        "attempts": 1,
        "request_id": "0123456789abcdef",
    }
    assert list(fields(exchange())) == list(fields(refused())) == NAMES.split()


def test_text_leaves_out_what_does_not_apply() -> None:
    assert FORMATS["text"](refused()) == (
        "time=1970-01-01T00:00:00.250Z level=info method=GET target=/ status=404 outcome=refused "
        "phase=plan code=destination_not_found duration_ms=0.5 bytes_in=0 bytes_out=0 max_gap_ms=0.0 attempts=0 "
        "request_id=0123456789abcdef"
    )


def test_json_says_null_for_what_does_not_apply() -> None:
    line = json.loads(FORMATS["json"](refused()))
    assert list(line) == NAMES.split()
    of_streams = set(NAMES.split()[NAMES.split().index("stalled_on") : NAMES.split().index("upstream")])
    missing = {"route", "client", "stream", "head_ms", "ttfb_ms", "upstream"} | of_streams
    assert {name for name, value in line.items() if value is None} == missing


def test_an_exchange_that_was_never_answered_has_no_status() -> None:
    assert fields(exchange(status=0))["status"] is None


def test_what_was_never_reached_has_no_time() -> None:
    line = fields(exchange(head_at=None, first_byte_at=None))
    assert (line["head_ms"], line["ttfb_ms"], line["duration_ms"]) == (None, None, 2125.0)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/plain/path?a=1", '"/plain/path?a=1"'),
        ("/plain/path", "/plain/path"),
        ("/~user/%20!$&'()*+,;:@-._", "/~user/%20!$&'()*+,;:@-._"),
        ("/a b", '"/a b"'),
        ('/a"b', '"/a\\"b"'),
        ("/a\\b", '"/a\\\\b"'),
        ("/a\r\nlevel=error", '"/a\\r\\nlevel=error"'),
        ("/\x1b[2J", '"/\\u001b[2J"'),
        ("/\x7f\x85\x9b", '"/\\u007f\\u0085\\u009b"'),
        ("/é", '"/\\u00e9"'),
    ],
)
def test_text_quotes_what_is_not_plain(value: str, written: str) -> None:
    line = FORMATS["text"](exchange(target=value))
    assert f" target={written} status=200 " in line


@pytest.mark.parametrize("form", ["text", "json"])
@given(text=st.text())
def test_no_text_from_outside_leaves_its_place_in_the_line(form: str, text: str) -> None:
    # The other fields are tokens, addresses and words of ours by the time they are here.
    line = FORMATS[form](exchange(target=text, route=text))
    assert line.isascii()
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["route"] == (text or None)


moment = st.none() | st.floats(100, 1e6)


@given(
    route=st.text(),
    target=st.text(),
    status=st.sampled_from([0, 200, 404]),
    times=st.tuples(moment, moment),
    gap=st.floats(0, 600),
    outcome=st.sampled_from(get_args(Outcome)),
)
def test_text_and_json_say_the_same(
    route: str, target: str, status: int, times: tuple[float | None, float | None], gap: float, outcome: Outcome
) -> None:
    made = exchange(route=route, target=target, status=status, head_at=times[0], first_byte_at=times[1])
    made.max_gap, made.outcome = gap, outcome
    pairs = re.findall(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)(?: |$)', FORMATS["text"](made))
    said = {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}
    expected = json.loads(FORMATS["json"](made))
    assert said == {name: str(value) for name, value in expected.items() if value is not None}
    assert list(said) == [name for name in NAMES.split() if name in said]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/x?key=abc", "/x?key=…"),
        ("/x?a=1&API_KEY=abc&b=2", "/x?a=1&API_KEY=…&b=2"),
        ("/x?access_token=abc#key", "/x?access_token=…"),
        ("/x?X-Amz-Signature=abc&client-secret=d", "/x?X-Amz-Signature=…&client-secret=…"),
        ("/x?password=a=b?c", "/x?password=…"),
        ("/x?authuser=1", "/x?authuser=…"),
        ("/x?key=", "/x?key="),
        ("/key=abc", "/key=abc"),
        ("/x?q=key", "/x?q=key"),
    ],
)
def test_values_of_query_names_that_look_like_secrets_are_not_written(target: str, shown: str) -> None:
    assert fields(exchange(target=target))["target"] == shown
    assert json.loads(FORMATS["json"](exchange(target=target)))["target"] == shown


def test_a_password_in_an_absolute_target_is_not_written() -> None:
    line = fields(exchange(target="http://me:s3cret@proxy.example/x"))
    assert "s3cret" not in str(line["target"])


@pytest.mark.parametrize(
    ("error", "outcome", "expected"),
    [
        (None, "complete", "info"),
        (ClientGone(), "client_closed", "info"),
        (NoRoute(), "refused", "info"),
        (Draining(), "drained", "info"),
        (ConnectionTerminated(), "upstream_aborted", "warning"),
        (UpstreamTimeout(), "upstream_timeout", "warning"),
        (ClientStalled(), "client_stalled", "warning"),
    ],
)
def test_what_somebody_should_look_at_is_a_warning(error: Any, outcome: Outcome, expected: str) -> None:
    made = exchange()
    if error is not None:
        made.failed(error)
    assert made.outcome == outcome
    assert level(made) == expected


@pytest.mark.parametrize(
    ("least", "written"),
    [("debug", ["info", "warning"]), ("info", ["info", "warning"]), ("warning", ["warning"]), ("error", [])],
)
async def test_only_lines_of_at_least_that_level_are_written(least: str, written: list[str]) -> None:
    stream = Stream()
    log = AccessLog(stream, "json", least)
    log.ended(exchange())
    log.ended(exchange(outcome="upstream_aborted"))
    log.flush()
    assert [json.loads(line)["level"] for line in "".join(stream.writes).splitlines()] == written


@pytest.mark.parametrize("form", ["text", "json"])
async def test_the_lines_of_a_burst_leave_in_few_writes_and_in_their_order(form: str) -> None:
    """No more of them are made in one turn than hold nobody up."""
    stream = Stream()
    log = AccessLog(stream, form)
    for number in range(AT_ONCE - 1):
        log.ended(exchange(attempts=number))
    assert stream.writes == []
    for number in range(AT_ONCE - 1, 2 * AT_ONCE + 5):
        log.ended(exchange(attempts=number))
    assert [text.count("\n") for text in stream.writes] == [AT_ONCE] * 2
    stream.flushed.clear()
    await stream.wait_flushed()
    assert [text.count("\n") for text in stream.writes] == [AT_ONCE, AT_ONCE, 5]
    lines = [f"{FORMATS[form](exchange(attempts=number))}\n" for number in range(2 * AT_ONCE + 5)]
    assert "".join(stream.writes) == "".join(lines)


async def test_long_lines_are_handed_over_one_by_one() -> None:
    """MUST. S19. Else who sends long targets drops the lines of others with their own."""
    stream = Stream()
    log = AccessLog(stream, "text")
    for target in ("/" + "x" * MUCH, "/bystander"):
        log.ended(exchange(target=target))
    log.flush()
    assert [text.count("\n") for text in stream.writes] == [1, 1]
    assert "target=/bystander" in stream.writes[1]


async def test_a_line_is_written_soon_and_the_next_one_too() -> None:
    stream = Stream()
    log = AccessLog(stream, "text")
    for _ in range(2):
        ended = asyncio.get_running_loop().time()
        log.ended(exchange())
        await stream.wait_flushed()
        assert asyncio.get_running_loop().time() - ended < FLUSH_AFTER_S + 1
    assert len(stream.writes) == 2


async def test_a_flush_writes_what_is_waiting_at_once_and_nothing_twice() -> None:
    stream = Stream()
    log = AccessLog(stream, "text")
    log.ended(exchange(request_id="one"))
    log.flush()
    assert [text.count("\n") for text in stream.writes] == [1]
    stream.flushed.clear()
    log.ended(exchange(request_id="two"))
    await stream.wait_flushed()
    log.flush()
    assert "".join(stream.writes).count("\n") == 2


async def test_a_flush_of_nothing_writes_no_line() -> None:
    stream = Stream()
    AccessLog(stream, "text").flush()
    assert "".join(stream.writes) == ""


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left"), ValueError("closed"), BlockingIOError()]
)
async def test_a_stream_that_cannot_be_written_to_costs_lines_and_nothing_else(error: Exception) -> None:
    stream = Stream(error)
    log = AccessLog(stream, "text")
    log.ended(exchange(request_id="lost"))
    log.flush()
    stream.error = None
    log.ended(exchange(request_id="kept"))
    await stream.wait_flushed()
    assert [text.count("request_id=kept\n") for text in stream.writes] == [1]


async def test_a_stream_that_was_closed_costs_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    stream.close()
    log = AccessLog(stream, "json")
    log.ended(exchange())
    log.flush()
