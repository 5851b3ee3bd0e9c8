"""The names by which a request is found again: `X-Request-ID` and `traceparent`.

Well-formed ones pass unchanged, missing and malformed ones are made; the same go with every attempt. They are told
behind the planned head and not in it: a plan is kept for heads that come again, and these never do.
Source: W3C Trace Context section 3.2.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from proxy.core.headers import NO_RULES, Rules
from proxy.core.message import Field, RequestHead, field, first

REQUEST_ID, TRACEPARENT, TRACESTATE = b"x-request-id", b"traceparent", b"tracestate"
NAMES = frozenset({REQUEST_ID, TRACEPARENT})
CHANCE_BITS = 128
"""How many random bits `trace` needs."""

# What people use: UUIDs, ULIDs, base64, ids of load balancers. Nothing that ends a quoted string or a list's member.
_REQUEST_ID = re.compile(r"[\w!#$%&*+./:=@|~-]{1,128}\Z", re.ASCII)
# Version, trace, parent, flags, and what later versions may add. Ids of zeros alone are invalid.
_TRACEPARENT = re.compile(
    r"([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?\Z", re.ASCII
)


class Trace(NamedTuple):
    """The names of one request, as they go upstream and into the log."""

    request_id: str
    traceparent: str


def trace(request_ids: Sequence[str], traceparents: Sequence[str], chance: int) -> Trace:
    """The names of a request that came with these, of which only one that is alone and well-formed is kept.

    `chance` is a random number of CHANCE_BITS. Where both are made, the request's id is that of its trace. A trace that
    begins here is marked as sampled: upstreams that follow the mark go on recording, as they did without us.
    """
    request_id = "%032x" % chance  # noqa: UP031 # two thirds of what an f-string costs
    parent = f"00-{request_id}-{request_id[16:]}-01"
    if request_ids and len(request_ids) == 1 and _REQUEST_ID.match(request_ids[0]):
        request_id = request_ids[0]
    if traceparents and len(traceparents) == 1 and is_traceparent(traceparents[0]):
        parent = traceparents[0]
    return tuple.__new__(Trace, (request_id, parent))


def is_traceparent(value: str) -> bool:
    """Whether a value can be passed on: of version 00, or of a later one that begins like it."""
    match = _TRACEPARENT.match(value)
    return match is not None and match[1] != "ff" and (match[1] != "00" or match[2] is None)


def continues(request: RequestHead) -> bool:
    """Whether a request belongs to a trace that began before us; without one its tracestate means nothing."""
    values = request.values(TRACEPARENT)
    return len(values) == 1 and is_traceparent(values[0].decode("latin-1"))


class Told(NamedTuple):
    """The field names under which the two go upstream, as decided by a plan; empty where a rule has replaced one."""

    request_id: bytes = b"X-Request-ID"
    traceparent: bytes = b"traceparent"


BOTH = Told()


def told(rules: Rules, fields: list[Field]) -> Told:
    """What is told beside these fields, to which the rules have been applied: like any other the two can be removed,
    renamed and replaced."""
    return BOTH if rules is NO_RULES else Told(*[_ruled(rules, fields, name) for name in BOTH])


def _ruled(rules: Rules, fields: list[Field], name: bytes) -> bytes:
    ours = [entry for entry in rules.apply([field(name, b"-")]) if entry not in (*rules.set, *rules.add)]
    left = ours[0][1] if ours else b""
    return b"" if first(fields, left.lower()) is not None else left


def lines(names: Told, trace: Trace) -> bytes:
    """The lines of a request's head that say who it is."""
    if names is BOTH:
        return f"X-Request-ID: {trace.request_id}\r\ntraceparent: {trace.traceparent}\r\n".encode("ascii")
    values = [value.encode("ascii") for value in trace]
    return b"".join([b"%b: %b\r\n" % line for line in zip(names, values, strict=True) if line[0]])


def is_echoed(rules: Rules) -> bool:
    """Whether an answer without a request id gets ours: unless the rules remove it. A rule that renames the upstream's
    makes room for it."""
    emptied = [key for key, _, value in rules.set if not value]
    return REQUEST_ID not in rules.remove and REQUEST_ID not in emptied
