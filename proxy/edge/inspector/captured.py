"""The copy of one exchange: heads, and pieces of the bodies with the moments at which they came and went.

The relay calls in: that part only appends to a list. A moment later `drain` masks what was gathered and keeps it. What
does not fit is not kept, and counted; a piece that was not kept still has its moment and its size.
"""

import time
from typing import Literal, NamedTuple

from proxy.core.message import Field, RequestHead, ResponseHead
from proxy.core.redact import Redactor
from proxy.core.routes import Route
from proxy.edge.inspector.changes import Head, request_head, response_head, trailer_section
from proxy.edge.inspector.masking import MaskedStream, Masker

Kind = Literal["asked", "interim", "answered", "upload", "both", "read", "wrote", "trailers", "paused", "resumed"]
Side = Literal["request", "upstream", "client"]
MARK_BYTES = 176
"""What a mark costs in memory beside its bytes: a tuple, two floats, two numbers and its place in a list."""
PENDING_BYTES = 4 * 1024 * 1024
"""How much all exchanges together may gather until it is looked at."""
GAPS = 32
SIDES: dict[Kind, Side] = {"upload": "request", "both": "client", "wrote": "client", "read": "upstream"}
"""Which body the bytes of a mark belong to; marks of other kinds have none."""


class Mark(NamedTuple):
    """One thing that happened. Times in seconds of the monotonic clock; `start` is where its bytes stand in a body."""

    kind: Kind
    at: float
    until: float
    """When it had been written to the client; the same as `at` for what is not."""
    size: int
    start: int
    kept: int
    """How many of its bytes were kept."""


class Budget:
    """What all exchanges together may hold, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.pending = 0
        self.lost = 0
        """Body bytes that were not kept because there was too much at once, or in all."""


Asked = tuple[RequestHead, bytes, Route | None]
Answered = tuple[ResponseHead | None, bytes]


class Captured:
    """Takes the copy of one exchange; `late` is whether it had begun before anybody looked."""

    __slots__ = (
        "_answered",
        "_asked",
        "_budget",
        "_halvings",
        "_interim",
        "_is_staged",
        "_masker",
        "_most",
        "_pending",
        "_previous",
        "_since_gap",
        "_streams",
        "_trailers",
        "bodies",
        "cost",
        "gaps",
        "generation",
        "heads",
        "interims",
        "late",
        "lost",
        "marks",
        "pieces",
        "redactor",
        "request",
        "response",
        "route",
        "trailer_section",
    )

    def __init__(self, budget: Budget, redactor: Redactor, masker: Masker, late: bool, generation: int = 1) -> None:
        self._budget = budget
        self.redactor = redactor
        # One exchange may not push out all others.
        self._most = budget.limit // 4
        self._pending: list[tuple[Kind, float, float, bytes]] = []
        self._asked: Asked | None = None
        self._answered: Answered | None = None
        self._interim: list[tuple[float, ResponseHead, bytes]] = []
        self._trailers: tuple[list[Field], bytes] | None = None
        self._streams: dict[Side, MaskedStream] = {}
        self._masker = masker
        self._previous: float | None = None
        self._is_staged = False
        self._halvings = self._since_gap = 0
        self.gaps: list[float] = []
        """The silences of the upstream in their order, in seconds; once they are many, the longest of neighbours."""
        self.bodies: dict[Side, bytearray] = {}
        """What was kept of each body, masked. `upstream` only where a stage changed it on its way."""
        self.marks: list[Mark] = []
        self.request: Head | None = None
        self.response: Head | None = None
        self.interims: list[tuple[float, Head]] = []
        """The 1xx answers before it, and when each came. The upstream's reader bounds their number."""
        self.trailer_section: Head | None = None
        self.route: Route | None = None
        self.late = late
        self.lost = 0
        """Body bytes that passed and were not kept."""
        self.pieces = 0
        """Pieces that went to the client."""
        self.cost = 0
        self.generation = generation
        """Counts up when the copy begins anew: what was read of it before means nothing then."""
        self.heads = 0
        """Counts up with every head and every trailer section."""

    # What the relay calls, within its turn of the loop.

    def asked(self, received: RequestHead, sent: bytes, route: Route | None) -> None:
        """The request's heads; a second time where it was sent again."""
        self._asked = received, sent, route
        self._note("asked")

    def answered(self, received: ResponseHead | None, sent: bytes) -> None:
        """The response's heads."""
        self._answered = received, sent
        self._note("answered")

    def interim(self, received: ResponseHead, sent: bytes) -> None:
        """The head of a 1xx answer; `sent` is empty where the client would not understand it."""
        self._interim.append((time.monotonic(), received, sent))
        self._note("interim")

    def trailers(self, received: list[Field], sent: bytes) -> None:
        """The trailer section behind the response's body, and its lines as they went on."""
        self._trailers = received, sent
        self._note("trailers")

    def _note(self, kind: Kind) -> None:
        now = time.monotonic()
        self._pending.append((kind, now, now, b""))

    def uploaded(self, data: bytes) -> None:
        """Bytes of the request's body."""
        now = time.monotonic()
        self._add("upload", now, now, data)

    def passed(self, data: bytes, read_at: float) -> None:
        """Bytes that came and went. Runs once per event: costs a microsecond."""
        self._add("both", read_at, time.monotonic(), data)

    def read(self, data: bytes, read_at: float) -> None:
        """Bytes that came."""
        self._is_staged = True
        self._add("read", read_at, read_at, data)

    def wrote(self, data: bytes) -> None:
        """Bytes that went."""
        now = time.monotonic()
        self._add("wrote", now, now, data)

    def paused(self) -> None:
        """The client is full."""
        self._note("paused")

    def resumed(self) -> None:
        """The client has caught up."""
        self._note("resumed")

    def _add(self, kind: Kind, at: float, until: float, data: bytes) -> None:
        budget = self._budget
        budget.pending += len(data)
        if budget.pending > PENDING_BYTES:  # faster than anybody can look at: only its size is kept
            budget.pending -= len(data)
            data = _Gone(len(data))
        self._pending.append((kind, at, until, data))

    # What the store calls, some times a second.

    @property
    def has_pending(self) -> bool:
        """Whether anything happened since the last `drain`."""
        return bool(self._pending)

    def drain(self) -> None:
        """Masks and keeps what was gathered, in the order in which it happened."""
        self._show_heads()
        pending, self._pending = self._pending, []
        if self._is_staged:
            pending.sort(key=_moment)  # a stage's pieces are told before what they were made of
        for kind, at, until, data in pending:
            self._keep(kind, at, until, data)

    def _show_heads(self) -> None:
        if self._asked is not None:
            received, sent, self.route = self._asked
            self.request = request_head(received, sent, self.route, self.redactor)
            self._asked = None
            self.heads += 1
        interim, self._interim = self._interim, []
        for at, head, sent in interim:
            self.interims.append((at, response_head(head, sent, None, self.redactor)))
            self.heads += 1
        if self._answered is not None:
            self.response = response_head(*self._answered, self.route, self.redactor)
            self._answered = None
            self.heads += 1
        if self._trailers is not None:
            self.trailer_section = trailer_section(*self._trailers, self.route, self.redactor)
            self._trailers = None
            self.heads += 1

    def _keep(self, kind: Kind, at: float, until: float, data: bytes) -> None:
        """One mark and its bytes. Runs once per event while somebody looks on: costs about two microseconds."""
        size, budget = len(data), self._budget
        is_gone = False
        if isinstance(data, _Gone):
            is_gone, size = True, data.size
        else:
            budget.pending -= size
        side = SIDES.get(kind)
        start = kept = 0
        if side is not None:
            body = self.bodies.get(side)
            if body is None:
                body = self.bodies[side] = bytearray()
                self._streams[side] = self._masker.stream()
            start = len(body)
            if not is_gone and size <= self._most - self.cost and budget.used + size <= budget.limit:
                self._streams[side].feed(data, body)
                kept = size
            else:
                self.lost += size
                budget.lost += size
        if kind in ("both", "wrote"):
            self.pieces += 1
        if kind in ("both", "read"):
            self._measure(at)
        if self.cost + MARK_BYTES <= self._most:
            self.marks.append(tuple.__new__(Mark, (kind, at, until, size, start, kept)))
            kept += MARK_BYTES
        self.cost += kept
        budget.used += kept

    def _measure(self, at: float) -> None:
        previous, self._previous = self._previous, at
        if previous is None:
            return
        gap, row = at - previous, self.gaps
        if self._since_gap:
            row[-1] = max(row[-1], gap)
        else:
            row.append(gap)
        self._since_gap = (self._since_gap + 1) % (1 << self._halvings)
        if len(row) > GAPS:
            self.gaps = [max(row[index : index + 2]) for index in range(0, len(row), 2)]
            self._halvings += 1
            self._since_gap = (self._since_gap or 1 << (self._halvings - 1)) % (1 << self._halvings)

    def let_go(self) -> None:
        """Frees what was kept of bodies and moments; the heads stay."""
        self._budget.used -= self.cost
        self.lost += sum(len(body) for body in self.bodies.values())
        self.cost, self.bodies, self.marks = 0, {}, []
        self.generation += 1


class _Gone(bytes):
    """Bytes of which only their number is left."""

    size: int

    def __new__(cls, size: int) -> "_Gone":
        self = super().__new__(cls)
        self.size = size
        return self


def _moment(entry: tuple[Kind, float, float, bytes]) -> float:
    return entry[1]
