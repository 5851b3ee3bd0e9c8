"""A request to whichever upstream of a route takes it: `core.group` says which, `core.retry` whether another may try.

The answer of an upstream that is not content with it is kept while another one is asked, and relayed after all where no
other answers. One that is given up has its connection closed, unless it has been read to its end.
"""

import asyncio
import time
from typing import Protocol

from proxy.core.errors import ConnectTimeout, ProxyError
from proxy.core.exchange import Exchange
from proxy.core.group import Group, Turn
from proxy.core.message import ResponseHead
from proxy.core.plan import Forward
from proxy.core.retry import after_answer, after_no_connection, is_passed_over, retry_after_s
from proxy.core.routes import Origin
from proxy.core.tracing import Trace
from proxy.net.deadlines import Deadlines
from proxy.net.tracebacks import drop_tracebacks
from proxy.net.upload import Upload
from proxy.net.upstream.call import Call
from proxy.net.upstream.connection import Connection
from proxy.net.upstream.groups import Groups
from proxy.net.upstream.pool import Pool


class Upstreams(Protocol):
    """Where connections are kept, and what is known of the upstreams."""

    groups: Groups

    def pool(self, origin: Origin) -> Pool:
        """The pool of connections to that origin."""


class Asker(Protocol):
    """Who asked."""

    trace: Trace

    @property
    def answered(self) -> bool:
        """Whether a byte of the answer may have gone out, be it a heartbeat."""

    def interim(self, head: ResponseHead) -> None:
        """Passes a 1xx on."""


class _Attempt(Call):
    """A call to one of several. Where others came before it, their common time for a head goes on."""

    __slots__ = ("began", "head", "turn")

    turn: Turn
    began: float | None
    """When the first attempt began; None for the first."""
    head: ResponseHead
    """The answer's, while it is kept."""

    async def _dial(self) -> Connection:
        limit = self.forward.route.timeouts.head
        if self.began is None or limit is None:
            return await super()._dial()
        try:
            async with asyncio.timeout(self.began + limit - time.monotonic()):
                return await super()._dial()
        except TimeoutError as error:
            raise ConnectTimeout from error

    def _send(self, connection: Connection) -> asyncio.Future[ResponseHead]:
        waiting = super()._send(connection)
        if self.began is not None and self._clocks.head_since is not None:
            self._clocks.head_since = self.began
        return waiting


class Attempts:
    """A request under way, used as a Call is: `open` once, then `close`, always."""

    __slots__ = (
        *("_asker", "_began", "_clocks", "_current", "_exchange", "_forward", "_group", "_interims", "_kept"),
        *("_opened", "_tried", "_untouched", "_upload", "_upstreams", "forward"),
    )

    def __init__(
        self,
        upstreams: Upstreams,
        forward: Forward,
        upload: Upload,
        clocks: Deadlines,
        exchange: Exchange,
        asker: Asker,
    ) -> None:
        self._upstreams = upstreams
        self._forward = forward
        self._upload = upload
        self._clocks = clocks
        self._exchange = exchange
        self._asker = asker
        self._group: Group = upstreams.groups.of(forward.route)
        self._tried: list[int] = []
        self._began = 0.0
        self._interims = False
        self._untouched = True
        """Whether nothing of the request was sent to anybody."""
        self._opened = False
        self._current: _Attempt | None = None
        self._kept: _Attempt | None = None
        """What was answered, while another upstream is asked for a better answer."""
        self.forward = forward
        """The request as it goes to the upstream that was chosen."""
        exchange.upstream = ""  # until one is

    async def open(self) -> tuple[Connection, ResponseHead]:
        """The final response head and the connection its body comes on. Errors: NoUpstream, ProxyError of either side.

        Where more than one failed, the last answer, or the last error if none answered.
        """
        self._began = time.monotonic()
        turn: Turn | None = self._group.choose(self._forward.request, self._began)
        while turn is not None:
            attempt = self._begin(turn)
            try:
                _, attempt.head = await attempt.open()
            except ProxyError as error:
                turn = self._after_failure(attempt, error)
                if turn is None and (self._kept is None or not is_passed_over(error)):
                    raise
                if turn is not None:
                    self._leave(attempt)
            else:
                turn = self._after_answer(attempt)
                previous, self._kept = self._kept, attempt
                if previous is not None:
                    self._leave(previous)
        return self._take_kept()

    def _begin(self, turn: Turn) -> _Attempt:
        forward = self.forward = self._forward.by(turn.number)
        upstream = forward.route.upstream
        self._upload.aim(forward, self._asker.trace)
        attempt = _Attempt(
            self._upstreams.pool(upstream.origin), forward, self._upload, self._clocks, self._exchange, self._interim
        )
        attempt.turn = turn
        attempt.began = self._began if self._tried else None
        self._tried.append(turn.number)
        self._exchange.upstream = upstream.name
        self._current = attempt
        return attempt

    def _after_failure(self, attempt: _Attempt, error: ProxyError) -> Turn | None:
        """Who is asked next, None for nobody."""
        drop_tracebacks(error)
        code = error.log_code or error.token
        event = self._group.failed(attempt.turn, code, time.monotonic())
        self._upstreams.groups.tell(self._group, attempt.turn.number, event, code)
        self._untouched = self._untouched and attempt.connection is None
        policy = self._group.sharing.retry
        if attempt.connection is not None:
            return None
        if not after_no_connection(policy, error, self._untouched, self._upload.replayable):
            return None
        return self._other("connect")

    def _after_answer(self, attempt: _Attempt) -> Turn | None:
        """Who is asked next, None for nobody."""
        group, status = self._group, attempt.head.status
        self._untouched = False
        rest_s = retry_after_s(attempt.head, time.time()) if status in group.sharing.retry.statuses else None
        event = group.answered(attempt.turn, status, rest_s, time.monotonic())
        self._upstreams.groups.tell(group, attempt.turn.number, event, str(status))
        told = self._interims or self._asker.answered
        if not after_answer(group.sharing.retry, status, self._upload.replayable, told):
            return None
        return self._other(str(status))

    def _other(self, reason: str) -> Turn | None:
        """Another upstream, if one is left, and time, attempts and budget for it."""
        group, now = self._group, time.monotonic()
        limit = self._forward.route.timeouts.head
        if len(self._tried) >= group.sharing.retry.attempts or (limit is not None and now - self._began >= limit):
            return None
        turn = group.choose_other(self._forward.request, now, self._tried)
        if turn is not None:
            self._upstreams.groups.retries[group.route, reason] += 1
        return turn

    def _take_kept(self) -> tuple[Connection, ResponseHead]:
        """The answer that is relayed."""
        kept, self._kept = self._kept, None
        assert kept is not None
        assert kept.connection is not None
        if self._current is not None and self._current is not kept:
            self._leave(self._current)
        self._current, self._opened = kept, True
        self.forward = kept.forward
        self._exchange.upstream = kept.forward.route.upstream.name
        self._clocks.head_since = None
        return kept.connection, kept.head

    def _leave(self, attempt: _Attempt) -> None:
        """Gives up an attempt; its connection is kept only if nothing is left to be read."""
        self._group.left(attempt.turn)
        attempt.close()

    def _interim(self, head: ResponseHead) -> None:
        self._interims = True
        self._asker.interim(head)

    def fail(self, error: ProxyError) -> None:
        """A deadline has passed while the head was awaited."""
        if self._current is not None:
            self._current.fail(error)

    def shed(self) -> None:
        """Lets go of what nobody needs any more once the answer's body is on its way."""
        if self._current is not None:
            self._current.shed()

    def hand_over(self) -> Connection:
        """Gives the connection away for good: it became a tunnel, and is no longer this call's to close."""
        assert self._current is not None
        return self._current.hand_over()

    def abandon(self) -> None:
        """Nobody wants an answer: no connection is used again, even if the answer has come meanwhile."""
        for attempt in (self._current, self._kept):
            if attempt is not None:
                attempt.abandon()

    def close(self) -> None:
        """Stops the upload, gives connections back, and says how it went with the upstream after its head."""
        current, kept, code = self._current, self._kept, self._exchange.code
        if current is not None and self._opened and code:
            event = self._group.failed(current.turn, code, time.monotonic())
            self._upstreams.groups.tell(self._group, current.turn.number, event, code)
        for attempt in (current, kept):
            if attempt is not None:
                self._leave(attempt)
        self._current = self._kept = None


def call_of(
    upstreams: Upstreams, forward: Forward, upload: Upload, clocks: Deadlines, exchange: Exchange, asker: Asker
) -> Call | Attempts:
    """What makes the request: a plain call where there is one upstream, which pays nothing for what others need."""
    if forward.ways:
        return Attempts(upstreams, forward, upload, clocks, exchange, asker)
    return Call(upstreams.pool(forward.route.upstream.origin), forward, upload, clocks, exchange, asker.interim)
