"""Rules whose clocks are too slow for a test: fed observations, they have no clock of their own."""

import dataclasses
import gzip
import random

import pytest

from proxy.core.message import field
from proxy.doctor.observation import Bytes, End, Observation, Request, Size
from proxy.doctor.report import as_json
from proxy.doctor.rules import RULES, diagnose

from .planted import event, ids, of

SSE = (field(b"Content-Type", b"text/event-stream"), field(b"Transfer-Encoding", b"chunked"))


def seen(*moments: float, end: End = "complete", ended_s: float | None = None, **more: object) -> Observation:
    """An event at each of these moments after a head at once."""
    body = [Bytes(at_s, event(number)) for number, at_s in enumerate(moments)]
    made = Observation(Request("http://a.example/"), sent_s=0.0, head_s=0.01, version="1.1", status=200, fields=SSE)
    made.body, made.reads = body, [Size(0.01, 100), *(Size(piece.at_s, len(piece.data)) for piece in body)]
    made.end = end
    made.ended_s = (moments[-1] if moments else 0.01) if ended_s is None else ended_s
    return dataclasses.replace(made, **more)


@pytest.mark.parametrize(
    ("silence_s", "who"), [(30.0, "Heroku"), (60.0, "nginx"), (60.4, "nginx"), (100.1, "Cloudflare")]
)
@pytest.mark.parametrize("end", ["cut", "reset"])
def test_a_cut_after_a_known_silence_names_whose_it_is(silence_s: float, who: str, end: End) -> None:
    diagnosis = diagnose(seen(1.0, 2.0, end=end, ended_s=2.0 + silence_s))
    assert ids(diagnosis) == ["cut-at-limit"]
    assert who in of(diagnosis, "cut-at-limit")


@pytest.mark.parametrize("silence_s", [0.1, 10.0, 29.0, 33.0, 58.0, 65.0, 110.0])
def test_a_cut_after_any_other_silence_accuses_nobody(silence_s: float) -> None:
    assert ids(diagnose(seen(1.0, 2.0, end="cut", ended_s=2.0 + silence_s)))[0] == "broken-off"


def test_a_busy_stream_that_is_cut_after_15_s_in_all_is_cut_as_envoy_does() -> None:
    moments = [number * 0.5 for number in range(1, 30)]
    assert "Envoy" in of(diagnose(seen(*moments, end="cut", ended_s=15.0)), "cut-at-limit")
    assert ids(diagnose(seen(*moments, end="complete", ended_s=15.0))) == []


@pytest.mark.parametrize(("status", "after_s", "found"), [(504, 60.0, True), (524, 100.2, True), (504, 3.0, False)])
def test_a_gateway_that_gives_up_at_a_known_limit_is_named(status: int, after_s: float, found: bool) -> None:
    diagnosis = diagnose(seen(head_s=after_s, ended_s=after_s, status=status))
    assert ("cut-at-limit" in ids(diagnosis)) is found
    assert "gateway-error" in ids(diagnosis)


@pytest.mark.parametrize(
    ("gap_s", "limits"),
    [(5.0, []), (20.0, []), (25.0, ["30 s"]), (50.0, ["30 s", "60 s"]), (95.0, ["30 s", "60 s", "100 s"])],
)
def test_a_silence_that_was_survived_warns_of_who_would_not_have(gap_s: float, limits: list[str]) -> None:
    diagnosis = diagnose(seen(1.0, 2.0, 2.0 + gap_s, 3.0 + gap_s))
    assert ids(diagnosis) == (["silence"] if limits else [])
    assert diagnosis.verdict == "streams"
    if limits:
        assert [
            limit for limit in ("15 s", "30 s", "60 s", "100 s") if f"{limit}:" in of(diagnosis, "silence")
        ] == limits


def test_a_pause_before_the_head_counts_as_silence() -> None:
    slow = seen(50.0, 51.0, 52.0, head_s=49.0)
    slow.reads = slow.reads[1:]
    assert ids(diagnose(slow)) == ["silence"]


def test_nothing_is_cut_that_we_stopped_ourselves() -> None:
    for end in ("timeout", "limit", "stopped"):
        assert ids(diagnose(seen(1.0, 2.0, end=end, ended_s=62.0))) == ["unended"]


def test_a_burst_needs_a_wait_an_end_and_enough_events() -> None:
    burst = [3.0, 3.0, 3.0, 3.0, 3.0]
    assert ids(diagnose(seen(*burst))) == ["buffered"]
    assert ids(diagnose(seen(*[0.9] * 5))) == []
    assert ids(diagnose(seen(*burst[:3]))) == []
    assert ids(diagnose(seen(*burst, ended_s=4.0))) == []
    assert ids(diagnose(seen(*burst, end="timeout"))) == ["unended"]
    assert ids(diagnose(seen(3.0, 3.002, 3.004, 3.006, 3.008))) == []  # a fast model after a long thought


def test_a_server_that_collects_is_not_blamed_on_the_way() -> None:
    diagnosis = diagnose(seen(*[3.0] * 5), None, seen(*[2.9] * 5))
    assert [(finding.id, finding.where) for finding in diagnosis.findings] == [("buffered", "server")]


def test_what_only_the_chain_does_is_done_in_between() -> None:
    diagnosis = diagnose(seen(*[3.0] * 5), None, seen(0.5, 1.0, 1.5, 2.0, 2.5))
    assert [(finding.id, finding.where) for finding in diagnosis.findings] == [("hop-buffers", "between")]


def test_a_head_that_the_server_sends_at_once_is_held_in_between() -> None:
    chain = seen(2.0, 2.5, 3.0, head_s=2.0)
    diagnosis = diagnose(chain, None, seen(2.0, 2.5, 3.0))
    assert ids(diagnosis) == ["hop-holds-head"]
    assert ids(diagnose(chain, None, seen(2.0, 2.5, 3.0, head_s=2.0))) == ["head-held"]
    assert diagnose(chain, None, seen(2.0, 2.5, 3.0, head_s=2.0)).findings[0].where == "server"


def test_a_server_that_cannot_be_asked_is_said_and_accuses_nobody() -> None:
    failed = Observation(Request("http://b.example/"), trouble="refused", detail="connection refused")
    diagnosis = diagnose(seen(*[3.0] * 5), None, failed)
    assert {finding.id: finding.where for finding in diagnosis.findings} == {
        "buffered": "unknown",
        "direct-failed": "unknown",
    }


def test_a_length_that_was_added_and_a_version_that_changed_are_told() -> None:
    fields = (SSE[0], field(b"Content-Length", b"99"))
    diagnosis = diagnose(seen(1.0, 1.5, 2.0, fields=fields, version="1.0"), None, seen(1.0, 1.5, 2.0))
    told = of(diagnosis, "hop-reframes")
    assert "HTTP/1.1 became HTTP/1.0" in told
    assert "a Content-Length was added" in told
    assert "added Content-Length: 99" in of(diagnosis, "hop-changes-fields")


def test_who_shows_itself_is_named_and_who_shows_itself_at_the_server_too_is_not() -> None:
    fields = (*SSE, field(b"Server", b"nginx"), field(b"CF-Ray", b"1-FRA"), field(b"X-Powered-By", b"Express"))
    own = (*SSE, field(b"X-Powered-By", b"Express"))
    told = of(diagnose(seen(*[3.0] * 5, fields=fields), None, seen(0.5, 1.0, 1.5, 2.0, fields=own)), "hop-buffers")
    assert "nginx shows itself" in told
    assert "Cloudflare shows itself" in told
    assert "Express" not in told


def test_every_rule_has_an_id_of_its_own() -> None:
    names = [rule.id for rule in RULES]
    assert len(set(names)) == len(names)
    covered = {other for rule in RULES for other in rule.covers}
    assert covered <= set(names)


def test_json_holds_what_the_text_says() -> None:
    told = as_json(diagnose(seen(*[3.0] * 5)))
    assert told["verdict"] == "does_not_stream"
    assert [finding["id"] for finding in told["findings"]] == ["buffered"]
    assert told["answer"]["events"] == [[3.0, len(event(0))]] * 5
    assert told["direct"] is None


def test_a_server_that_refuses_what_the_chain_adds_a_key_to_accuses_nobody() -> None:
    refused = seen(status=401, ended_s=0.02)
    diagnosis = diagnose(seen(*[3.0] * 5), None, refused)
    assert {finding.id: (finding.severity, finding.where) for finding in diagnosis.findings} == {
        "buffered": ("fault", "unknown"),
        "hop-changes-status": ("note", "between"),
    }
    assert diagnose(seen(1.0, 1.5, 2.0), None, refused).verdict == "streams"


def test_a_path_that_only_the_chain_does_not_know_is_lost_on_the_way() -> None:
    diagnosis = diagnose(seen(status=404, ended_s=0.02), None, seen(1.0, 1.5, 2.0))
    wheres = {finding.id: finding.where for finding in diagnosis.findings if finding.severity == "fault"}
    assert wheres == {"not-found": "between", "hop-changes-status": "between"}
    assert diagnosis.verdict == "does_not_stream"


def test_what_may_be_chance_is_blamed_on_nobody() -> None:
    diagnosis = diagnose(seen(1.0, 2.0, end="cut", ended_s=5.0), None, seen(1.0, 2.0, 3.0))
    assert {finding.id: finding.where for finding in diagnosis.findings} == {"broken-off": "unknown"}


def test_an_answer_out_of_a_cache_was_not_collected() -> None:
    assert ids(diagnose(seen(*[0.05] * 5), None, seen(0.5, 1.0, 1.5, 2.0, 2.5))) == []


def test_more_events_than_are_ever_read_are_judged_by_the_first_of_them() -> None:
    """A chat whose ending was not looked at is not called incomplete."""
    chat = b'data: {"object":"chat.completion.chunk","choices":[]}\n\n' * 1000
    much = seen(0.1)
    much.body = [Bytes(number * 0.1, chat) for number in range(30)]
    diagnosis = diagnose(much)
    assert (ids(diagnosis), diagnosis.verdict) == (["unended"], "streams")
    assert "20000 events" in of(diagnosis, "unended")


def test_a_body_that_unfolds_without_end_is_read_up_to_a_bound() -> None:
    noise = random.Random(0)  # what unfolds to more than a hundred times its size is refused as a bomb
    packed = gzip.compress(
        b"".join(b"data: %b%b\n\n" % (noise.randbytes(500).hex().encode(), b"a" * 60_000) for _ in range(1200))
    )
    bomb = seen(0.1, fields=(*SSE, field(b"Content-Encoding", b"gzip")))
    bomb.body = [Bytes(0.1, packed)]
    assert ids(diagnose(bomb)) == ["compressed", "unended"]
