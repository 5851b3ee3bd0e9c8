"""What the doctor would say of an answer: its own rules, applied to what came from the upstream and when.

Left out is what only a question of its own can tell (how the upstream is reached, CORS, comparisons), and what is
wrong with an answer only where a stream was asked for, which the doctor's user says and a client here need not.
"""

from collections.abc import Sequence
from typing import Any

from proxy.core.message import Field, field
from proxy.doctor.observation import BY_US, Bytes, End, Observation, Request, Size
from proxy.doctor.reading import read
from proxy.doctor.rules import RULES
from proxy.doctor.rules.delivery import is_stream
from proxy.doctor.rules.rule import Case, Rule
from proxy.edge.inspector.captured import Captured

JUDGED_BYTES = 128 * 1024
JUDGED_LINES = 8_000
JUDGED_MARKS = 4_000
"""Of a longer answer nothing is said: judging so much takes a tenth of a second in a thread beside the proxy's."""
_FIT = frozenset(
    {
        *("compressed", "undecodable", "buffered", "buffered-blocks", "head-held", "content-length", "http-1.0"),
        *("cut-at-limit", "broken-off", "silence", "wrong-media-type", "error-in-200", "ending-missing"),
        *("utf8-invalid", "utf8-replaced"),
        *(rule.id for rule in RULES if rule.id.startswith("sse-")),
    }
)
_OF_STREAMS = frozenset({"http-1.0", "content-length"})
_ENDS: dict[str | None, End] = {"complete": "complete", "upstream_aborted": "cut"}


def judged(seen: Observation) -> list[dict[str, Any]]:
    """Findings, the worst first. While an answer goes on only those that nothing that follows could take back.

    For a thread: nothing else knows the observation.
    """
    case = Case(read(seen))
    rules = [rule for rule in RULES if _fits(rule, case)]
    found = [(rule, one, one.severity or rule.severity) for rule in rules for one in rule.check(case)]
    covered = {other for rule, _, _ in found for other in rule.covers}
    ordered = sorted(found, key=lambda entry: ("fault", "warning", "note").index(entry[2]))
    return [
        {
            "kind": rule.id,
            "severity": severity,
            "says": one.says,
            "evidence": list(one.evidence),
            "mend": _ours(one.mend),
        }
        for rule, one, severity in ordered
        if rule.id not in covered
    ]


def _fits(rule: Rule, case: Case) -> bool:
    if rule.id not in _FIT or (rule.id in _OF_STREAMS and not is_stream(case.chain)):
        return False
    return case.seen.end not in BY_US or rule.id.startswith("sse-")


def _ours(mend: Sequence[str]) -> list[str]:
    """Without what only the command itself can do."""
    return [one for one in mend if "--direct" not in one]


def observed(captured: Captured, summary: dict[str, Any]) -> Observation | None:
    """The exchange as the doctor would have seen it in our place; None where too little or too much is known."""
    head, side = captured.response, "upstream" if "upstream" in captured.bodies else "client"
    body = captured.bodies.get(side, b"")  # type: ignore[call-overload]  # one of the two
    is_long = len(body) > JUDGED_BYTES or len(captured.marks) > JUDGED_MARKS or body.count(b"\n") > JUDGED_LINES
    if head is None or head.received is None or captured.late or captured.lost or is_long:
        return None
    asked = [mark.at for mark in captured.marks if mark.kind == "asked"]
    answered = [mark.at for mark in captured.marks if mark.kind == "answered"]
    if not asked or not answered:
        return None
    begun = asked[0]
    kinds = ("read",) if side == "upstream" else ("both",)
    pieces = [
        Bytes(mark.at - begun, bytes(body[mark.start : mark.start + mark.size]))
        for mark in captured.marks
        if mark.kind in kinds and mark.size
    ]
    end: End = "stopped" if summary["open"] else _ENDS.get(summary["outcome"], "stopped")
    ended_s = pieces[-1].at_s if pieces else answered[-1] - begun
    if summary["duration_ms"] is not None and end == "cut":
        ended_s = max(ended_s, (summary["duration_ms"] - (summary["sent_ms"] or 0)) / 1000)
    return Observation(
        Request(summary["target"] or "/", (summary["method"] or "GET").encode("latin-1", "replace")),
        sent_s=0.0,
        head_s=answered[-1] - begun,
        version=(head.came or "").partition(" ")[0].removeprefix("HTTP/"),
        status=_status(head.came),
        fields=_fields(head.received),
        reads=[Size(piece.at_s, len(piece.data)) for piece in pieces],
        body=pieces,
        end=end,
        ended_s=ended_s,
    )


def _status(line: str | None) -> int:
    word = (line or "").partition(" ")[2][:3]
    return int(word) if word.isdigit() else 0


def _fields(received: list[tuple[str, str]]) -> tuple[Field, ...]:
    return tuple(field(name.encode("latin-1", "replace"), value.encode("utf-8", "replace")) for name, value in received)
