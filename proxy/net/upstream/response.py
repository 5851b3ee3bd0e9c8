"""Reads responses out of bytes: heads, body pieces, where a message ends, and what is no HTTP.

No transport and no loop in here: `Connection` feeds it what arrived and looks at what came of it. httptools calls a 1xx
a whole message, cannot be told that the request was HEAD, knows no end of input and limits nothing; what looks
roundabout below is there for these four. Source: RFC 9112 sections 4, 6 and 7.
"""

import functools
import re
from collections.abc import Callable

import httptools

from proxy.core import framing
from proxy.core.errors import ProxyError, ResponseHeadTooLarge, ResponseMalformed, UpgradeFailed
from proxy.core.framing import NO_BODY
from proxy.core.message import Field, ResponseHead, persists, response_head

MAX_INTERIM = 32
# A body up to this size fills no client's buffer.
WHOLE_BYTES = 16 * 1024
# RFC 9112 section 4; the parser looks for CR and LF only.
_REASON = re.compile(rb"[\t -~\x80-\xff]*\Z")

OnInterim = Callable[[ResponseHead], None]


def _begins_http(data: bytes | memoryview) -> bool:
    """Whether these first bytes may begin a response; empty lines before it are skipped."""
    begun = bytes(data[:32]).lstrip(b"\r\n")[: len(_START)]
    return begun == _START[: len(begun)]


_START, _USUAL = b"HTTP/1.", b"HTTP/1.1 "


# Whether the last thing of a read was the end of a chunk. One list for all readers, as nobody else reads meanwhile: its
# own methods take what the parser tells of each chunk without a Python call.
_chunk_ended: list[bool] = []


class ResponseReader:
    """The responses of one connection, one after the other. `begin` before each.

    `between_chunks` is whether the last read went to the end of a chunk that is not the last; a part of the next one's
    size may have come with it, which the parser does not tell. `pieces` are body bytes that nobody has taken yet;
    whoever takes them clears the list. `keep_alive` is whether the connection may be used again, as far as the response
    tells.
    """

    __slots__ = (
        "_fields",
        "_interims",
        "_is_usual",
        "_limit",
        "_method",
        "_on_interim",
        "_overhead_bytes",
        "_parser",
        "_read_bytes",
        "_reason",
        "_tunnel",
        "between_chunks",
        "body",
        "complete",
        "early",
        "head",
        "keep_alive",
        "on_body",
        "pieces",
        "trailers",
    )

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        # httptools takes its callbacks from attributes: a list's own method spares a Python call per chunk.
        self.on_body = self.pieces.append
        self._parser: httptools.HttpResponseParser | None = None
        self._fields: list[Field] = []
        self._reason = b""
        self.trailers: list[Field] = []
        self.begin(b"", None, None)
        self.complete = True
        self.early = b""
        """What came behind a 101, in the same read."""

    def begin(self, method: bytes, head_limit: int | None, on_interim: OnInterim | None, tunnel: bool = False) -> None:
        """What comes from now on answers a request with this method. `head_limit` is in bytes, None is none.

        A 101 is an answer only where a `tunnel` was asked for.
        """
        self._method, self._limit, self._on_interim, self._tunnel = method, head_limit, on_interim, tunnel
        self._overhead_bytes = self._read_bytes = self._interims = 0
        self.head: ResponseHead | None = None
        self.body = NO_BODY
        self.complete = self.keep_alive = self.between_chunks = self._is_usual = False
        if self.pieces:
            self.pieces.clear()
        if self.trailers:
            self.trailers = []

    def release(self) -> None:
        """Lets go of the parser, which refers to this object: such circles are only freed by the collector."""
        self._parser = self._on_interim = None

    def shed_head(self) -> None:
        """Keeps of the head only what its end and its connection's still need."""
        if self.head is not None:
            needed = tuple([entry for entry in self.head.fields if entry[0] in (b"connection", b"keep-alive")])
            self.head = response_head(self.head.status, b"", self.head.version, needed)

    @property
    def switched(self) -> bool:
        """Whether the upstream has left HTTP: what follows the head is no response."""
        return self.head is not None and self.head.status == 101

    @property
    def begun(self) -> bool:
        """Whether a byte of the head has come."""
        return self._overhead_bytes > 0

    def feed(self, data: bytes | memoryview) -> ProxyError | None:
        """Takes what arrived; the error is what is wrong with it. Good pieces before a fault are in `pieces`.

        Runs once per event.
        """
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        if self.head is None:
            self._read_bytes = len(data)
            if not self._overhead_bytes:
                self._is_usual = data[: len(_USUAL)] == _USUAL
                if not self._is_usual and not _begins_http(data):
                    return ResponseMalformed()  # the parser also reads the heads of RTSP and ICE
        _chunk_ended.clear()
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            self._parser = None
            self.early = bytes(data[error.args[0] :])
        except httptools.HttpParserError as error:
            if not self.complete:
                return self._mapped(error)
            self.keep_alive = False  # a fault behind the end harms no response, only the next one
        self.between_chunks = bool(_chunk_ended) and not self.complete
        if self.pieces and not self.complete:
            self._overhead_bytes = 0
            return None
        return self._without_body(len(data))

    def _without_body(self, size: int) -> ProxyError | None:
        """What to say of a read that ended a response, or brought no byte of a body.

        Heads, chunk extensions and trailers have to end some time.
        """
        if self.complete:
            if self.body.framing == "none" and self.pieces:
                self.keep_alive = False  # bytes after the end, whatever they look like, are no part of a response
                self.pieces.clear()
            return None
        self._overhead_bytes += size
        return ResponseHeadTooLarge() if self._limit is not None and self._overhead_bytes > self._limit else None

    def take_whole(self) -> bytes | None:
        """The body, if all of it is here already, small and without trailers."""
        if not self.complete or self.trailers:
            return None
        body = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        if len(body) > WHOLE_BYTES:
            return None
        self.pieces.clear()
        return body

    def end(self) -> bool:
        """The upstream's bytes have ended cleanly. Returns whether that completes the response."""
        if self.complete or self.head is None or self.body.framing != "close":
            return False
        self.complete = True
        return True

    def _mapped(self, error: Exception) -> ProxyError:
        """Ours for the parser's."""
        cause = error.__context__
        return cause if isinstance(cause, ProxyError) else ResponseMalformed()

    # httptools' callbacks. What they raise comes out of feed_data as the context of a HttpParserError.

    on_chunk_header = _chunk_ended.clear
    on_chunk_complete = staticmethod(functools.partial(_chunk_ended.append, True))

    def on_message_begin(self) -> None:
        """The first byte of a response, or of something after it that nobody asked for."""
        if self.complete:
            self.keep_alive = False

    def on_status(self, reason: bytes) -> None:
        """A part of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head or, behind it, of the trailer section.

        Empty names and control characters never come here: the parser refuses them.
        """
        key = name.lower()
        if self.head is None:
            # The parser takes `chunked` with a tab behind it for another coding, and so must we.
            self._fields.append((key, name, value.rstrip(b" " if key == b"transfer-encoding" else b" \t")))
        elif not self.complete:
            self.trailers.append((key, name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """A head is whole: interim ones are told and forgotten."""
        parser = self._parser
        assert parser is not None
        if self.head is not None:
            raise ResponseMalformed
        version = "1.1" if self._is_usual else parser.get_http_version()  # which costs 1 % of a small exchange
        head = response_head(
            parser.get_status_code(), self._reason, (1, 0) if version == "1.0" else (1, 1), tuple(self._fields)
        )
        self._fields, self._reason = [], b""
        self._check(head, version)
        if head.status == 101:
            if not self._tunnel or b"transfer-encoding" in head.names or b"content-length" in head.names:
                raise UpgradeFailed
            self.head, self.complete = head, True
            return
        if head.status < 200:
            self._interim(head)
            return
        self.body = framing.of_response(self._method, head)
        self.head = head
        self._on_interim = None  # it refers to the exchange, which the connection outlives
        if self.body.framing == "none":
            # The parser may wait for a body that does not come (HEAD): leave it, the next response gets a new one.
            self.complete = True
            self.keep_alive = persists(head)
            self._parser = None
        else:
            self.keep_alive = parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """The end of a message, an interim one included."""
        if self.head is not None:
            self.complete = True

    def _check(self, head: ResponseHead, version: str) -> None:
        reason = head.reason
        if version not in ("1.1", "1.0") or not 100 <= head.status <= 999:
            raise ResponseMalformed
        if reason != b"OK" and not _REASON.match(reason):
            raise ResponseMalformed
        if self._limit is None or self._overhead_bytes + self._read_bytes <= self._limit:
            return
        # What was read may hold a part of the body: count the head alone.
        if sum(len(name) + len(value) + 4 for _, name, value in head.fields) > self._limit:
            raise ResponseHeadTooLarge

    def _interim(self, head: ResponseHead) -> None:
        self._interims += 1
        self._is_usual = False  # the head that follows may be of another version
        if self._interims > MAX_INTERIM:
            raise ResponseMalformed
        self._overhead_bytes = 0
        if self._on_interim is not None:
            self._on_interim(head)
