"""Log lines for eyes: on a terminal, in columns and, unless NO_COLOR is set, with colours. Nobody should parse these.

What is not plain is escaped as in all other lines: a terminal acts on what it is sent.
"""

import functools
import logging
import time
from collections.abc import Mapping

from proxy.core import redact
from proxy.core.exchange import Exchange
from proxy.edge.escaping import escaped

_RESET, _DIM, _RED, _GREEN, _YELLOW, _CYAN = "\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"
_OF_STATUS = {1: _CYAN, 2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: _RED}
_OF_OUTCOME = {"complete": _DIM, "tunnel_closed": _DIM, "client_closed": "", "refused": _YELLOW, "drained": _YELLOW}
_OF_LEVEL = {"debug": _DIM, "info": _DIM, "warning": _YELLOW, "error": _RED, "critical": _RED}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def wants_colour(environ: Mapping[str, str]) -> bool:
    """Whether a terminal is sent colours. Source: no-color.org, where an empty NO_COLOR says nothing."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Columns:
    """Makes the lines of exchanges and of `logging`; `colour` False leaves the columns alone."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def exchange(self, ended: Exchange) -> str:
        """Time, status, method, route, outcome, times and size, then target, code and id."""
        first = "" if ended.first_byte_at is None else seconds(ended.first_byte_at - ended.started)
        status = self._painted(f"{ended.status or '-':>3}", _OF_STATUS.get(ended.status // 100, ""))
        outcome = self._painted(f"{ended.outcome:<16}", _OF_OUTCOME.get(ended.outcome, _RED))
        parts = [
            self._painted(clock(ended.wall_time), _DIM),
            status,
            f"{ended.method or '-':<7}",
            f"{shown(ended.route) or '-':<14}",
            outcome,
            f"{first:>7} {seconds(ended.ended - ended.started):>7} {size(ended.bytes_out):>8}",
            shown(redact.target(ended.target)),
            self._painted(ended.code, _RED if ended.code else ""),
            self._painted(shown(ended.request_id), _DIM),
        ]
        return "  ".join(part for part in parts if part)

    def record(self, record: logging.LogRecord, message: str) -> str:
        """Time, level and message, on one line."""
        level = record.levelname.lower()
        text = message if message.isascii() and message.isprintable() else escaped(message)[1:-1]
        return f"{self._painted(clock(record.created), _DIM)}  {self._painted(f'{level:<7}', _OF_LEVEL[level])}  {text}"

    def _painted(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._colour and colour and text else text


def shown(text: str) -> str:
    """Text from outside, escaped where it could move the cursor or pass for another column."""
    return text if text.isascii() and text.isprintable() and "  " not in text else escaped(text)


@functools.lru_cache(maxsize=16)
def _second(number: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(number))


def clock(wall_time: float) -> str:
    """The time of day where the proxy runs, to the millisecond."""
    whole, rest = divmod(int(wall_time * 1000), 1000)
    return f"{_second(whole)}.{rest:03d}"


def seconds(duration: float) -> str:
    """A duration in the unit that suits it."""
    if duration < 1:
        return f"{duration * 1000:.0f}ms"
    return f"{duration:.1f}s" if duration < 100 else f"{duration / 60:.1f}min"


def size(number: float) -> str:
    """A number of bytes in the unit that suits it, by thousands."""
    for unit in _UNITS[:-1]:
        if number < 999.5:
            return f"{number:.0f}{unit}" if unit == "B" or number >= 99.5 else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.1f}{_UNITS[-1]}"
