"""When the bytes came, and in what: compression, buffering, held heads, silence, cuts."""

from collections.abc import Iterator
from itertools import pairwise

from proxy.core.streams import STREAM_TYPES
from proxy.doctor.endings import ending
from proxy.doctor.observation import BY_US
from proxy.doctor.reading import TOGETHER_S, Reading
from proxy.doctor.rules.rule import Case, Found, Rule, amount, line, moment
from proxy.doctor.suspects import BLOCKS, CUTS, Cut, mends

# Fewer events in one burst may be all there were; a shorter wait may be the time to make them.
FEWEST_EVENTS = 4
SHORTEST_WAIT_S = 1.0
# Whoever makes events one by one needs longer for each; a network needs this long for a byte at 1 MB/s.
FASTEST_EVENT_S, SLOWEST_BYTE_S = 0.0005, 1e-6
# Who collects gives everything away because the answer has ended.
_END_AFTER_S = 0.25
_PAGE_BYTES = 4096
_NEAR = 0.8


def is_stream(reading: Reading) -> bool:
    """Whether this is meant to be a stream: by its media type, or by what it looks like."""
    return reading.seen.status == 200 and (
        reading.media_type in STREAM_TYPES or reading.form in ("sse", "lines", "aws")
    )


def in_one_burst(reading: Reading) -> bool:
    """Whether all content came faster than anybody makes it, and nothing after it but the end."""
    moments = reading.moments
    if len(moments) < FEWEST_EVENTS:
        return False
    fastest = len(moments) * FASTEST_EVENT_S + reading.seen.body_bytes * SLOWEST_BYTE_S
    return moments[-1] - moments[0] <= fastest


def was_collected(reading: Reading) -> bool:
    """Whether the content was there long before it came: a wait, one burst, and the end right behind it."""
    seen = reading.seen
    if seen.sent_s is None or not is_stream(reading) or not in_one_burst(reading) or not reading.ended_itself:
        return False
    moments = reading.moments
    return moments[0] - seen.sent_s >= SHORTEST_WAIT_S and seen.ended_s - moments[-1] <= _END_AFTER_S


def flows(reading: Reading) -> bool:
    """Whether content came at several moments, so that nobody collected all of it."""
    moments = reading.moments or [piece.at_s for piece in reading.pieces]
    return any(after - before >= 0.005 for before, after in pairwise(moments))


def block_kib(reading: Reading) -> int | None:
    """The size of the blocks in which the body came, or None where it came otherwise.

    A first block may be short, as the upstream's head shares its buffer. What is no accident: every block between it
    and the last is a multiple of a page, and all of them end inside an event.
    """
    bursts = reading.bursts
    between = [burst.size for burst in bursts[1:-1]]
    if not between or any(size % _PAGE_BYTES for size in between):
        return None
    if reading.codings:
        if len(between) < 2:
            return None
    elif not _cut_inside(reading):
        return None
    if len(reading.moments) < 2 * len(bursts):
        return None
    return next(kib for kib in (32, 16, 8, 4) if all(size % (kib * 1024) == 0 for size in between))


def _cut_inside(reading: Reading) -> bool:
    """Whether every burst but the last ends inside an event."""
    ends, at = set(), 0
    for frame in reading.frames:
        at += len(frame.octets)
        ends.add(at)
    at = 0
    for burst in reading.bursts[:-1]:
        at += burst.size
        if at in ends:
            return False
    return True


def _timing(case: Case) -> tuple[str, ...]:
    seen, moments = case.seen, case.chain.moments
    assert seen.sent_s is not None
    assert seen.head_s is not None
    return (
        f"the head came {moment(seen.head_s - seen.sent_s)} after the request, "
        f"the first event after {moment(moments[0] - seen.sent_s)}",
        f"{len(moments)} events within {moment(moments[-1] - moments[0])}, then the end",
    )


def _buffered(case: Case) -> Iterator[Found]:
    if not was_collected(case.chain):
        return
    who = case.who() or ("no field tells who",)
    if case.chain.codings:
        mend: tuple[str, ...] = ("see to the compression first, which is found as well; then ask again",)
    elif case.direct is None:
        ask = "ask the server itself with --direct: that tells whether it or somebody in between collects"
        mend = (ask, *mends("buffering", case.suspect_names))
    else:
        mend = mends("buffering", case.suspect_names)
    yield Found(
        "All events came in one burst, after a wait: they were collected before they were sent on.",
        (*_timing(case), *who),
        mend,
    )


def _blocks(case: Case) -> Iterator[Found]:
    if not is_stream(case.chain) or (kib := block_kib(case.chain)) is None:
        return
    sizes = ", ".join(str(burst.size) for burst in case.chain.bursts[:8])
    yield Found(
        f"Events come in blocks of {kib} KiB: they wait until a buffer is full.",
        (
            f"bytes that came together: {sizes}{', ...' if len(case.chain.bursts) > 8 else ''}",
            f"buffers of {kib} KiB are usual for {BLOCKS[kib]}",
            *case.who(),
        ),
        mends("compression" if case.chain.codings else "buffering", case.suspect_names),
    )


def _compressed(case: Case) -> Iterator[Found]:
    chain = case.chain
    if not is_stream(chain) or not chain.codings or chain.undecoded:
        return
    coding = b", ".join(chain.codings).decode("latin-1")
    varies = [value for value in chain.seen.values(b"vary") if b"accept-encoding" in value.lower()]
    evidence = [line(b"Content-Encoding", coding.encode("latin-1"))]
    evidence += [line(b"Vary", value) for value in varies[:1]]
    names = case.suspect_names
    if "Express" in names and "nginx" in names:
        # Express's middleware always says Vary; nginx only with gzip_vary on.
        names = names if varies else ["nginx"]
    evidence += case.who() or ("no field tells who; --direct tells whether the server does it itself",)
    held = was_collected(chain) or block_kib(chain) is not None
    if held:
        says = f"The stream is compressed ({coding}), and its events come collected, as where nothing is flushed."
    elif flows(chain):
        says = f"The stream is compressed ({coding}), yet its events come one by one: whoever does it flushes each."
    else:
        says = f"The stream is compressed ({coding}); whether that delays it cannot be told from this answer."
    yield Found(says, tuple(evidence), mends("compression", names), "fault" if held else "warning")


def _undecodable(case: Case) -> Iterator[Found]:
    if case.seen.status == 200 and case.chain.undecoded and case.seen.end not in BY_US and case.seen.body:
        yield Found(
            "The bytes are not what Content-Encoding says, or are of an unknown coding: no client can read them.",
            tuple(line(b"Content-Encoding", value) for value in case.seen.values(b"content-encoding")),
            ("who decodes a body has to remove its Content-Encoding, who does not has to leave it",),
        )


def _head_held(case: Case) -> Iterator[Found]:
    seen = case.seen
    if seen.status != 200 or seen.head_s is None or seen.sent_s is None or not seen.body or not is_stream(case.chain):
        return
    wait_s = seen.head_s - seen.sent_s
    if wait_s >= SHORTEST_WAIT_S and seen.body[0].at_s - seen.head_s < TOGETHER_S:
        unknown = "" if case.direct else " The server may do this itself: --direct tells."
        yield Found(
            f"The head came only with the first bytes of the body, after {moment(wait_s)}: until then a client sees "
            f"neither status nor open connection.{unknown}",
            (f"head at {moment(seen.head_s)}, first bytes of the body at {moment(seen.body[0].at_s)}",),
            ("Node: res.flushHeaders() at once; Python frameworks: start the response before its first event",),
        )


def _content_length(case: Case) -> Iterator[Found]:
    length = case.seen.first(b"content-length")
    if length in (None, b"0") or not is_stream(case.chain) or case.seen.request.method == b"HEAD":
        return
    assert length is not None
    held = len(case.chain.moments) > 1 and not flows(case.chain)
    yield Found(
        "There is a Content-Length on a stream: whoever set it had the whole answer before its first byte left.",
        (line(b"Content-Length", length), *case.who()),
        (
            "the server: write the events one by one instead of returning them as one body",
            "proxies and middlewares that read a response whole (to log, sign or change it): leave streams out",
        ),
        "fault" if held else "warning",
    )


def _http_1_0(case: Case) -> Iterator[Found]:
    if case.seen.answered and case.seen.version == "1.0":
        yield Found(
            "The answer is HTTP/1.0: it has no chunks, so that a broken stream cannot be told from a complete one, and "
            "proxies in front may buffer it.",
            ("the status line says HTTP/1.0", *case.who()),
            ("nginx: proxy_http_version 1.1;", "a development server: run the application on one that speaks HTTP/1.1"),
        )


def _silence_before_end_s(reading: Reading) -> float:
    seen = reading.seen
    last = seen.body[-1].at_s if seen.body else seen.head_s or seen.sent_s or 0.0
    return seen.ended_s - last


def _is_near(value_s: float, cut: Cut) -> bool:
    return cut.after_s - 0.3 <= value_s <= cut.after_s * 1.03 + 0.5


def _is_broken(reading: Reading) -> bool:
    return reading.seen.end in ("cut", "reset") or (reading.ended_itself and ending(reading).state == "truncated")


def _known_cut(case: Case) -> tuple[Cut, float] | None:
    """The limit at which this answer was cut, and how long it took; None where it was not, or at none we know."""
    seen, chain = case.seen, case.chain
    if seen.sent_s is None or seen.end in BY_US:
        return None
    if not seen.answered or seen.status in (408, 502, 503, 504, 524):
        waited_s = (seen.head_s or seen.ended_s) - seen.sent_s
        return next(((cut, waited_s) for cut in CUTS if _is_near(waited_s, cut)), None)
    if not _is_broken(chain):
        return None
    silent_s, whole_s = _silence_before_end_s(chain), seen.ended_s - seen.sent_s
    for cut in CUTS:
        value_s = whole_s if cut.of == "whole" else silent_s
        if _is_near(value_s, cut):
            return cut, value_s
    return None


def _cut_at_limit(case: Case) -> Iterator[Found]:
    if (known := _known_cut(case)) is None:
        return
    cut, value_s = known
    what = "of silence" if cut.of == "silence" else "in all"
    yield Found(
        f"It was ended after {moment(value_s)} {what}: {cut.after_s:g} s is where {cut.who} cuts by default.",
        (f"{cut.after_s:g} s matches; nothing else points to them", *case.who())
        if not case.who()
        else (f"{cut.after_s:g} s matches", *case.who()),
        mends("silence", case.suspect_names or [name for name in ("nginx", "Envoy", "Cloudflare") if name in cut.who]),
    )


def _broken_off(case: Case) -> Iterator[Found]:
    seen = case.seen
    if seen.answered and seen.end in ("cut", "reset") and seen.trouble is None and _known_cut(case) is None:
        how = "reset" if seen.end == "reset" else "closed"
        said = (seen.detail,) if seen.detail else ()
        yield Found(
            f"The answer broke off: the connection was {how} before its body had ended.",
            (f"after {amount(seen.body_bytes)} of body and {moment(seen.ended_s)}", *said, *case.who()),
            ("look into the logs of the server and of each proxy at that moment: a crash, a restart or a limit",),
        )


def _silence(case: Case) -> Iterator[Found]:
    seen = case.seen
    if seen.status != 200 or seen.sent_s is None or not is_stream(case.chain) or _known_cut(case) is not None:
        return
    times = [seen.sent_s, *(read.at_s for read in seen.reads)]
    gap_s = max((after - before for before, after in pairwise(times)), default=0.0)
    near = [cut for cut in CUTS if cut.of == "silence" and gap_s >= cut.after_s * _NEAR]
    if near:
        yield Found(
            f"Nothing came for {moment(gap_s)}. It survived here, but others cut at "
            + ", ".join(f"{cut.after_s:g} s" for cut in near)
            + ".",
            tuple(f"{cut.after_s:g} s: {cut.who}" for cut in near),
            mends("silence", case.suspect_names),
        )


def _unended(case: Case) -> Iterator[Found]:
    seen = case.seen
    if seen.answered and seen.end == "timeout":
        yield Found(f"The answer had not ended after {moment(seen.ended_s)}; what comes later was not seen.")
    elif seen.answered and seen.end == "limit":
        yield Found(
            f"The doctor stopped reading after {amount(seen.body_bytes)} of body; what comes later was not seen."
        )
    elif case.chain.partial:
        yield Found(f"Only the first {len(case.chain.frames)} events were judged; what comes later was not looked at.")
    elif seen.end == "stopped":
        yield Found(f"The doctor was told to stop after {moment(seen.ended_s)}; what comes later was not seen.")


RULES = (
    Rule("compressed", "fault", "the stream is compressed", _compressed),
    Rule("undecodable", "fault", "the content coding is unknown or broken", _undecodable),
    Rule("buffered", "fault", "all events come in one burst", _buffered),
    Rule("buffered-blocks", "fault", "events come in blocks of a buffer's size", _blocks),
    Rule("head-held", "warning", "the head waits for the body", _head_held),
    Rule("content-length", "warning", "a Content-Length on a stream", _content_length),
    Rule("http-1.0", "warning", "the answer is HTTP/1.0", _http_1_0),
    Rule("cut-at-limit", "fault", "ended at a limit that is somebody's default", _cut_at_limit),
    Rule("broken-off", "fault", "the body broke off", _broken_off),
    Rule("silence", "warning", "a silence that others do not survive", _silence),
    Rule("unended", "note", "the doctor stopped before the answer did", _unended),
)
