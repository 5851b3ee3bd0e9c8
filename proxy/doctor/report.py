"""A diagnosis for people (text) and for machines (JSON). Secrets of the request stay out of both.

What a server sent is shown only after control characters were taken out: it could otherwise write on the terminal.
"""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from rich.console import Console
from rich.text import Text
from yarl import URL

from proxy.core import redact
from proxy.doctor.observation import Observation, Request
from proxy.doctor.reading import Reading
from proxy.doctor.rules import Diagnosis, Finding, Verdict
from proxy.doctor.rules.rule import line, moment

WIDTH = 100
_COLUMNS = 60
_LABEL = 9
_LEVELS = "▁▂▃▄▅▆▇█"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_STYLES = {"fault": "bold red", "warning": "yellow", "note": "dim"}
_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "streams": ("It streams.", "bold green"),
    "does_not_stream": ("It does not stream as it should.", "bold red"),
    "unreachable": ("There is no answer to judge.", "bold red"),
    "cannot_tell": ("No fault found, but this answer cannot show whether it streams: {why}.", "bold yellow"),
}
_WHERE = {"between": "somebody in between does it", "server": "the server itself does it"}
_SHORTEST_SECRET = 4


class Scrubber:
    """Takes the request's secrets out of text, and what could act on a terminal."""

    def __init__(self, request: Request) -> None:
        found = {unquote(value) for key, value in URL(request.url).query.items() if redact.is_secret_name(key)}
        for _, name, value in request.fields:
            if redact.is_secret_name(name.decode("latin-1")):
                text = value.decode("latin-1")
                found |= {text, text.partition(" ")[2].strip()}
        self._secrets = sorted((one for one in found if len(one) >= _SHORTEST_SECRET), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text, safe to show."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return _CONTROL.sub("\ufffd", text)


def print_text(diagnosis: Diagnosis, console: Console) -> None:
    """The verdict, the timeline, and each finding with what shows it and what mends it."""
    scrub = Scrubber(diagnosis.chain.seen.request)
    verdict, style = _VERDICTS[diagnosis.verdict]
    console.print(Text(verdict.format(why=_why(diagnosis.chain)), style=style))
    console.print()
    for name, reading in (("chain", diagnosis.chain), ("server", diagnosis.direct)):
        if reading is not None:
            _print(console, f"{name if diagnosis.direct else 'asked'}", _asked(reading, scrub), timeline(reading.seen))
    for finding in diagnosis.findings:
        console.print()
        _print_finding(console, finding, scrub)


def _print(console: Console, name: str, *lines: str) -> None:
    for title, text in zip((name, *[""] * len(lines)), lines, strict=False):
        console.print(Text(f"{title:<{_LABEL}}{text}"), soft_wrap=True)


def _asked(reading: Reading, scrub: Scrubber) -> str:
    seen = reading.seen
    asked = f"{seen.request.method.decode()} {redact.target(seen.request.url)}"
    if not seen.answered:
        return scrub(asked)
    kind = reading.media_type.decode("latin-1") or "no media type"
    events = f", {len(reading.events)} events" if reading.frames else ""
    return scrub(f"{asked} → {seen.status}, {kind}, HTTP/{seen.version}, {seen.body_bytes} bytes{events}")


def _why(reading: Reading) -> str:
    seen = reading.seen
    if not seen.answered:
        return "it was stopped before the head came"
    if seen.status != 200:
        return f"its status is {seen.status}"
    if not seen.body:
        return "its body is empty"
    if len(reading.moments) == 1:
        return "it has a single event"
    return "everything came at once, and so soon or so little that it may have been made at once"


def timeline(seen: Observation) -> str:
    """When bytes of the body came, from the request to the end: the taller the more of them."""
    if seen.sent_s is None or seen.head_s is None:
        return f"nothing came in {moment(seen.ended_s)}"
    length_s = max((seen.ended_s or (seen.reads[-1].at_s if seen.reads else 0.0)) - seen.sent_s, 1e-9)
    columns = [0] * _COLUMNS
    for at_s, data in seen.body:
        columns[min(_COLUMNS - 1, int((at_s - seen.sent_s) / length_s * _COLUMNS))] += len(data)
    most = max(columns) or 1
    bar = "".join(_LEVELS[min(7, size * 8 // (most + 1))] if size else "·" for size in columns)
    return f"head {moment(seen.head_s - seen.sent_s)} ┤{bar}├ {moment(length_s)} {seen.end or ''}".rstrip()


def _print_finding(console: Console, finding: Finding, scrub: Scrubber) -> None:
    rows = [(finding.severity, finding.id), ("", finding.says)]
    if finding.where in _WHERE and not finding.id.startswith("hop-"):  # those say it themselves
        rows.append(("who", _WHERE[finding.where]))
    rows += [("seen", text) for text in finding.evidence] + [("mend", text) for text in finding.mend]
    for title, text in rows:
        style = _STYLES.get(title, "dim")
        for part in Text(scrub(text)).wrap(console, max(20, console.width - _LABEL)):
            console.print(Text.assemble((f"{title:<{_LABEL}}", style), part.plain.rstrip()), soft_wrap=True)
            title = ""


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Everything that the text says, and the figures it rests on. Seconds and bytes."""
    scrub = Scrubber(diagnosis.chain.seen.request)
    return {
        "verdict": diagnosis.verdict,
        "findings": [
            {
                "id": finding.id,
                "severity": finding.severity,
                "says": scrub(finding.says),
                "where": finding.where,
                "evidence": [scrub(text) for text in finding.evidence],
                "mend": [scrub(text) for text in finding.mend],
            }
            for finding in diagnosis.findings
        ],
        "answer": _answer(diagnosis.chain, scrub),
        "direct": _answer(diagnosis.direct, scrub) if diagnosis.direct is not None else None,
    }


def _answer(reading: Reading, scrub: Scrubber) -> dict[str, Any]:
    seen = reading.seen
    return {
        "url": scrub(redact.target(seen.request.url)),
        "method": seen.request.method.decode("latin-1"),
        "status": seen.status or None,
        "version": seen.version or None,
        "fields": [scrub(line(name, value)) for _, name, value in seen.fields],
        "resolved_s": _rounded(seen.resolved_s),
        "connected_s": _rounded(seen.connected_s),
        "secured_s": _rounded(seen.secured_s),
        "sent_s": _rounded(seen.sent_s),
        "head_s": _rounded(seen.head_s),
        "ended_s": _rounded(seen.ended_s),
        "end": seen.end,
        "trouble": seen.trouble,
        "reads": _pairs((read.at_s, read.size) for read in seen.reads),
        "chunks": _pairs((chunk.at_s, chunk.size) for chunk in seen.chunks),
        "events": _pairs((event.at_s, len(event.octets)) for event in reading.events),
        "body_bytes": seen.body_bytes,
    }


def _pairs(moments: Iterable[tuple[float, int]]) -> list[list[float]]:
    return [[round(at_s, 4), size] for at_s, size in moments]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
