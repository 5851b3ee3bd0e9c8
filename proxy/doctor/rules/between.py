"""What the way changes: the answer through the chain beside the one the server itself gives (`--direct`)."""

from collections.abc import Iterator

from proxy.core.message import Fields, values
from proxy.doctor.reading import TOGETHER_S, Reading
from proxy.doctor.rules.delivery import in_one_burst, is_stream
from proxy.doctor.rules.rule import Case, Found, Rule, excerpt, line, moment
from proxy.doctor.suspects import mends

_FEWEST_MOMENTS = 3
_SHORTEST_SPREAD_S = 0.3
_HEAD_LATER_S = 0.3
# Of one message only, or different for every answer anyway.
_NOT_COMPARED = frozenset({b"date", b"connection", b"keep-alive", b"transfer-encoding", b"age", b"set-cookie"})


def _arrivals(reading: Reading) -> int:
    """At how many moments content came."""
    moments = reading.moments
    return sum(1 for before, now in zip([float("-inf"), *moments], moments, strict=False) if now - before >= TOGETHER_S)


def _direct_failed(case: Case) -> Iterator[Found]:
    if case.direct is not None and not case.direct.seen.answered:
        seen = case.direct.seen
        why = seen.detail or seen.trouble or str(seen.end)
        yield Found("The server itself could not be asked, so there is nothing to compare with.", (str(why),))


def _buffers(case: Case) -> Iterator[Found]:
    direct, chain = case.direct, case.chain
    if direct is None or not is_stream(direct) or not chain.moments:
        return
    spread_s = direct.moments[-1] - direct.moments[0] if direct.moments else 0.0
    if spread_s < _SHORTEST_SPREAD_S or _arrivals(direct) < _FEWEST_MOMENTS:
        return
    waited_s = chain.moments[0] - (chain.seen.sent_s or 0.0)
    # Who collects waits for the end; what comes sooner came out of a cache.
    has_waited = waited_s >= spread_s / 2
    if has_waited and chain.ended_itself and in_one_burst(chain) and len(chain.moments) >= len(direct.moments) / 2:
        compressed = bool(chain.codings) and not direct.codings
        what = "compresses and collects" if compressed else "collects"
        yield Found(
            f"Somebody in between {what} the events: the server sends them one by one, here they come in one burst.",
            (
                f"the server: {len(direct.moments)} events at {_arrivals(direct)} moments within {moment(spread_s)}",
                f"through the chain: {len(chain.moments)} events within {moment(chain.moments[-1] - chain.moments[0])}",
                *(case.who() or ("no field tells who; ask each hop with --direct to find which",)),
            ),
            mends("compression" if compressed else "buffering", case.suspect_names),
        )


def _head_wait_s(reading: Reading) -> float | None:
    seen = reading.seen
    return None if seen.head_s is None or seen.sent_s is None else seen.head_s - seen.sent_s


def head_is_later(chain: Reading, direct: Reading) -> bool:
    """Whether the chain's head came so much later than the server's that no chance explains it."""
    here_s, there_s = _head_wait_s(chain), _head_wait_s(direct)
    return here_s is not None and there_s is not None and here_s - there_s >= _HEAD_LATER_S


def _holds_head(case: Case) -> Iterator[Found]:
    if case.direct is None or not case.seen.body:
        return
    here_s, there_s, body = _head_wait_s(case.chain), _head_wait_s(case.direct), case.direct.seen.body
    if here_s is None or there_s is None or not body or here_s - there_s < _HEAD_LATER_S:
        return
    head_s = case.seen.head_s or 0.0
    alone = body[0].at_s - (case.direct.seen.head_s or 0.0) >= TOGETHER_S
    waits = (
        case.seen.body[0].at_s - head_s < TOGETHER_S
        and here_s >= (body[0].at_s - (case.direct.seen.sent_s or 0.0)) * 0.8
    )
    if alone and waits:
        yield Found(
            "Somebody in between holds the head back until the first bytes of the body.",
            (f"the server's head comes after {moment(there_s)}, the chain's after {moment(here_s)}", *case.who()),
            mends("buffering", case.suspect_names),
        )


def _reframes(case: Case) -> Iterator[Found]:
    if case.direct is None or not case.direct.seen.answered or not case.seen.answered:
        return
    there, here = case.direct.seen, case.seen
    changes = []
    if there.version != here.version:
        changes.append(f"HTTP/{there.version} became HTTP/{here.version}")
    if here.first(b"content-length") is not None and there.first(b"content-length") is None:
        changes.append("a Content-Length was added: the whole body was read first")
    if there.chunks and here.chunks and len(there.chunks) >= 4 * len(here.chunks):
        changes.append(f"{len(there.chunks)} chunks became {len(here.chunks)}")
    if changes:
        yield Found("Somebody in between frames the body anew.", (*changes, *case.who()))


def _changes_status(case: Case) -> Iterator[Found]:
    if case.direct is None or not case.direct.seen.answered or not case.seen.answered:
        return
    if case.direct.seen.status != case.seen.status:
        yield Found(
            f"The server itself answers {case.direct.seen.status}, through the chain it is {case.seen.status}.",
            case.who(),
            ("path, Host and credentials may differ on the way: rewrite, changeOrigin, fields that are not passed on",),
            # A proxy that adds the key makes a 200 of a 401, as it should.
            "note" if 200 <= case.seen.status < 300 else None,
        )


def _changes_fields(case: Case) -> Iterator[Found]:
    if case.direct is None or not case.direct.seen.answered or not case.seen.answered:
        return
    there, here = _compared(case.direct.seen.fields), _compared(case.seen.fields)
    names = {entry[0]: entry[1] for entry in (*case.direct.seen.fields, *case.seen.fields)}
    changes = []
    for key in sorted(there.keys() | here.keys()):
        name = names[key]
        if key not in there:
            changes.append("added " + line(name, here[key]))
        elif key not in here:
            changes.append("removed " + line(name, there[key]))
        elif there[key] != here[key]:
            changes.append(f"changed {line(name, here[key])} (the server: {excerpt(there[key])})")
    if changes:
        yield Found(
            "Fields differ from the server's own; those that are new for every answer do so anyway.", tuple(changes)
        )


def _compared(fields: Fields) -> dict[bytes, bytes]:
    return {key: b", ".join(values(fields, key)) for key, _, _ in fields if key not in _NOT_COMPARED}


RULES = (
    Rule("direct-failed", "note", "the server itself could not be asked", _direct_failed),
    Rule("hop-buffers", "fault", "somebody in between collects the events", _buffers, frozenset({"buffered"})),
    Rule("hop-holds-head", "warning", "somebody in between holds the head back", _holds_head, frozenset({"head-held"})),
    Rule("hop-changes-status", "fault", "the status differs from the server's", _changes_status),
    Rule("hop-reframes", "note", "somebody in between frames the body anew", _reframes),
    Rule("hop-changes-fields", "note", "fields differ from the server's own", _changes_fields),
)
