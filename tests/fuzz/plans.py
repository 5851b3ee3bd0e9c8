"""Exchanges of known shape: what a client sends, what the origin answers, and what has to come of it."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import strategies as st

from tests.net.origin import Connection
from tests.net.wire import Message, chunk, head

from .world import pause, send

Shape = Literal["length", "chunked", "close", "old", "empty", "not modified"]
Fault = Literal["none", "silent", "head", "body", "garbage", "extra"]
TOKENS = re.compile(rb"T[0-9]{4}\.")
FORGED = b"T9999."


@dataclass(frozen=True)
class Plan:
    """How the origin answers. `early` is at the request's head, `held` needs a release for each piece."""

    shape: Shape
    fault: Fault
    by_reset: bool
    interim: int
    early: bool
    held: bool
    closes: bool
    parts: int


@dataclass
class Exchange:
    """One request and its answer. `parts` is the request's body, `sent` how many of them have gone."""

    token: bytes
    method: bytes
    chunked: bool
    parts: list[bytes]
    last: bool
    plan: Plan
    sent: int = 0
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    seen: list[tuple[Connection, Message]] = field(default_factory=list)
    repeatable: bool = False
    """Whether the origin's last connection for it was a kept one that ended without a byte of an answer."""

    disturbed: bool = False
    """Whether the origin closed kept connections while this was on its way."""

    # The request.

    def head(self) -> bytes:
        """Its head, which names the token twice."""
        lines = [b"Host: localhost", b"X-Token: " + self.token]
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif self.parts:
            lines.append(b"Content-Length: %d" % len(self.body))
        if self.last:
            lines.append(b"Connection: close")
        return head(b"%b /%b HTTP/1.1" % (self.method, self.token), *lines)

    def next_part(self) -> bytes:
        """The next bytes of the body."""
        self.sent += 1
        part = self.parts[self.sent - 1]
        if not self.chunked:
            return part
        return chunk(part) + (chunk(b"") if self.uploaded else b"")

    @property
    def uploaded(self) -> bool:
        """Whether the client has sent all of it."""
        return self.sent == len(self.parts)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.parts)

    # The answer.

    @property
    def answer_parts(self) -> list[bytes]:
        """The body of the answer, piece by piece; none where there is none."""
        if self.method == b"HEAD" or self.plan.shape in ("empty", "not modified"):
            return []
        return [b"answer %d of %b" % (number, self.token) for number in range(self.plan.parts)]

    @property
    def is_cut(self) -> bool:
        """Whether the origin breaks off inside the body, which has an end of its own."""
        inside = bool(self.answer_parts) and self.plan.fault == "body"
        return inside and (self.plan.by_reset or self.plan.shape in ("length", "chunked"))

    @property
    def is_refused(self) -> bool:
        """Whether there is no usable head."""
        return self.plan.fault in ("silent", "head", "garbage")

    @property
    def answer_body(self) -> bytes:
        """What the client gets of it if all goes as planned; of a cut answer, the most it may get."""
        parts = self.answer_parts
        return b"".join(parts[:-1] if self.plan.fault == "body" else parts)

    @property
    def status(self) -> int:
        """Of the answer."""
        return {"empty": 204, "not modified": 304}.get(self.plan.shape, 200)

    def pieces(self) -> list[bytes]:
        """What the origin sends."""
        plan, parts = self.plan, self.answer_parts
        interim = [head(b"HTTP/1.1 103 Early Hints", b"X-Token: " + self.token)] * plan.interim
        if plan.fault == "silent":
            return []
        if plan.fault == "garbage":
            return [*interim, b"garbage of " + self.token + b"\r\n\r\n"]
        start = self._answer_head()
        if plan.fault == "head":
            return [*interim, start[: len(start) // 2]]
        framed = [chunk(part) for part in parts] if plan.shape == "chunked" else list(parts)
        if plan.fault == "body":
            framed = framed[:-1]
        elif plan.shape == "chunked" and self.method != b"HEAD":
            framed.append(chunk(b""))
        sent = [start, *framed]
        if plan.fault == "extra" and not self.ends_by_close:
            # Together with the end of the answer: what comes later may pass for the answer to a later request.
            sent[-1] += head(b"HTTP/1.1 200 OK", b"X-Token: " + FORGED, b"Content-Length: 6") + FORGED
        return [*interim, *sent]

    @property
    def ends_by_close(self) -> bool:
        """Whether only the end of the connection ends the answer."""
        return self.plan.shape in ("close", "old") and bool(self.answer_parts)

    def _answer_head(self) -> bytes:
        plan, lines = self.plan, [b"X-Token: " + self.token]
        if plan.shape == "length":
            length = sum(map(len, self.answer_parts)) if self.method != b"HEAD" else 7
            lines.append(b"Content-Length: %d" % length)
        if plan.shape == "chunked":
            lines.append(b"Transfer-Encoding: chunked")
        if plan.closes:
            lines.append(b"Connection: close")
        version = b"1.0" if plan.shape == "old" else b"1.1"
        return head(b"HTTP/%b %d Fine" % (version, self.status), *lines)

    async def answer(self, connection: Connection) -> None:
        """Plays the origin's part."""
        plan = self.plan
        for piece in self.pieces():
            if plan.held:
                await self.gate.acquire()
            send(connection, piece)
            await pause()
        if connection.transport.is_closing():
            return
        if (self.is_cut or self.is_refused) and plan.by_reset:
            connection.reset()
        elif self.is_refused or self.is_cut or self.ends_by_close or plan.closes or plan.shape == "old":
            connection.finish_writing()


_FAULTS: list[Fault] = ["none", "none", "none", "none", "silent", "head", "body", "garbage", "extra"]
PLANS = st.builds(
    Plan,
    shape=st.sampled_from(["length", "length", "chunked", "chunked", "close", "old", "empty", "not modified"]),
    fault=st.sampled_from(_FAULTS),
    by_reset=st.booleans(),
    interim=st.sampled_from([0, 0, 0, 1, 2]),
    early=st.sampled_from([False, False, True]),
    held=st.booleans(),
    closes=st.sampled_from([False, False, False, True]),
    parts=st.integers(1, 4),
)
_METHODS = st.sampled_from([b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"DELETE"])
_SIZES = st.lists(st.sampled_from([1, 20, 20, 3000, 70_000]), max_size=3)


@dataclass(frozen=True)
class Asked:
    """A request that is not made yet: it lacks its token."""

    method: bytes
    chunked: bool
    sizes: list[int]
    last: bool
    plan: Plan

    def under(self, token: bytes) -> Exchange:
        """The exchange, with a body that names the token."""
        parts = [(b"%d of %b " % (number, token)).ljust(size, b"-") for number, size in enumerate(self.sizes)]
        return Exchange(token, self.method, self.chunked and bool(parts), parts, self.last, self.plan)


ASKED = st.builds(Asked, _METHODS, st.booleans(), _SIZES, st.sampled_from([False] * 9 + [True]), PLANS)
