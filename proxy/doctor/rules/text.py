"""What the bytes say: the grammar of event streams, UTF-8, and the ending of each provider's format."""

from collections.abc import Callable, Iterator

from proxy.core.streams import EVENT_STREAM
from proxy.doctor import grammar
from proxy.doctor.endings import ending
from proxy.doctor.rules.rule import Case, Found, Rule, excerpt

_SAID: dict[grammar.Kind, tuple[str, str]] = {
    "sse-json-lines": (
        "There are JSON lines where events should be: without `data:` in front no client is handed anything.",
        "the server: `data: ` before each document and an empty line behind it; or Content-Type: application/x-ndjson",
    ),
    "sse-no-data": (
        "There are lines without `data:` that no client is handed.",
        "the server: each event needs a `data:` line, in lower case, without an empty line between it and its `event:`",
    ),
    "sse-single-newline": (
        "Events are separated by one line end instead of an empty line: a conforming client takes them for one event.",
        r"the server: end each event with \n\n",
    ),
    "sse-never-ends": (
        "No event ever ends: there is no empty line in the whole body, so that a conforming client is handed nothing.",
        r"the server: end each event with two real line ends; in single quotes, PHP and shells write \n as two letters",
    ),
    "sse-last-event-lost": (
        "The last event has no empty line behind it: browsers throw it away.",
        r"the server: end the last event with \n\n too",
    ),
    "sse-cr-only": (
        "Lines end with CR alone: the standard allows it, and most hand-written clients never see an event.",
        "the server: end lines with LF",
    ),
    "sse-bom": (
        "The stream begins with a byte order mark: browsers skip one, some SDKs lose their first event.",
        "the server: write UTF-8 without a byte order mark; check how its source file is saved",
    ),
}


def _grammar(kind: grammar.Kind) -> Callable[[Case], Iterator[Found]]:
    says, mend = _SAID[kind]

    def check(case: Case) -> Iterator[Found]:
        chain = case.chain
        if chain.seen.status != 200 or chain.media_type != EVENT_STREAM or chain.form != "sse":
            return
        for fault in grammar.faults([frame.octets for frame in chain.frames], chain.rest, chain.ended_itself):
            if fault.kind == kind:
                evidence = (f"{fault.times} of them; the first: {excerpt(fault.example)}",)
                yield Found(says, evidence, (mend,), "fault" if fault.is_fatal else "warning")

    return check


_TEXTS = ("sse", "lines", "array", "json")


def _invalid(case: Case) -> Iterator[Found]:
    chain = case.chain
    if chain.form not in _TEXTS or (found := grammar.utf8(chain.text)).bad_at is None:
        return
    if found.is_end and not chain.ended_itself:
        return  # the answer was cut, or we stopped; that is another finding
    around = chain.text[max(0, found.bad_at - 12) : found.bad_at + 12]
    yield Found(
        "The text ends inside a character." if found.is_end else "The text is not UTF-8: something cut or re-coded it.",
        (f"at byte {found.bad_at}: {around!r}",),
        ("who re-frames a stream has to work on bytes, or with a stateful decoder (TextDecoder with stream: true)",),
    )


def _replaced(case: Case) -> Iterator[Found]:
    if case.chain.form in _TEXTS and (count := grammar.utf8(case.chain.text).replaced):
        yield Found(
            "The text holds replacement characters (U+FFFD): somebody decoded it in pieces before it came here, or the "
            "model made them; which cannot be told from one answer.",
            (f"{count} of them",),
            ("compare with --direct; decode with a stateful decoder (TextDecoder with stream: true)",),
        )


def _split(case: Case) -> Iterator[Found]:
    chain = case.chain
    if chain.form in _TEXTS and (count := grammar.splits([piece.data for piece in chain.pieces])):
        yield Found(
            "Pieces of the body end inside a character: that is allowed, and clients that decode each piece by itself "
            "show \ufffd there.",
            (f"{count} of {len(chain.pieces)} pieces",),
            ("the client: TextDecoder with stream: true, or a parser of event streams",),
        )


def _ending(case: Case) -> Iterator[Found]:
    found = ending(case.chain)
    if not case.chain.ended_itself or case.seen.status != 200:
        return
    if found.state == "truncated":
        last = case.chain.events[-1].data or ""
        yield Found(
            f"The answer is incomplete: {found.format} ends its streams with {found.wanted}, this one ended without.",
            (f"the last of {len(case.chain.events)} events: {excerpt(last[:80].encode())}",),
            (
                "somebody made a clean end of a broken upstream: look into each hop's log for a reset or timeout",
                "the SDKs do not notice this: check for the ending yourself",
            ),
        )
    elif found.state == "no_sentinel":
        yield Found(
            f"The answer is complete, but without its {found.wanted}: some clients wait for it, or report an error.",
            ("every choice has its finish_reason",),
            (f"the server: send {found.wanted} last",),
            severity="warning",
        )


_TITLES: dict[grammar.Kind, str] = {
    "sse-json-lines": "JSON lines where events should be",
    "sse-no-data": "lines without `data:`",
    "sse-single-newline": "one line end between events",
    "sse-never-ends": "no event ever ends",
    "sse-last-event-lost": "the last event has no end",
    "sse-cr-only": "lines end with CR alone",
    "sse-bom": "a byte order mark in front",
}
_ONLY_CARELESS = frozenset({"sse-cr-only", "sse-bom", "sse-last-event-lost"})

RULES = (
    *(
        Rule(kind, "warning" if kind in _ONLY_CARELESS else "fault", title, _grammar(kind))
        for kind, title in _TITLES.items()
    ),
    Rule("utf8-invalid", "fault", "the text is not UTF-8", _invalid),
    Rule("utf8-replaced", "warning", "replacement characters in the text", _replaced),
    Rule("utf8-split", "note", "pieces end inside characters", _split),
    Rule("ending-missing", "fault", "the format's own ending is missing", _ending),
)
