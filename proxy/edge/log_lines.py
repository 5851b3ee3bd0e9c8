"""How our own log lines look: `key=value` text for people, JSON for machines, one line each whatever is in them."""

import functools
import logging
from datetime import UTC, datetime

from proxy.edge.escaping import escaped
from proxy.edge.terminal import Columns


def timestamp(seconds: float) -> str:
    """Wall-clock seconds as ISO 8601 in UTC, to the millisecond."""
    return timestamp_of(int(seconds * 1000))


# The lines of a burst share their moments: without these two, time would be half the cost of a line.


@functools.lru_cache(maxsize=64)
def timestamp_of(number: int) -> str:
    """`timestamp` of milliseconds."""
    seconds, rest = divmod(number, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@functools.lru_cache(maxsize=16)
def _second(number: int) -> str:
    return datetime.fromtimestamp(number, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineFormatter(logging.Formatter):
    """Formats records of `logging` like the lines of the access log: `text`, `json`, or `columns` for a terminal."""

    def __init__(self, form: str, colour: bool = False) -> None:
        super().__init__()
        self._json = form == "json"
        self._columns = Columns(colour) if form == "columns" else None

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback is part of the message, escaped."""
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        if self._columns is not None:
            return self._columns.record(record, message)
        line = {"time": timestamp(record.created), "level": record.levelname.lower(), "message": message}
        if self._json:
            return escaped(line)
        return f"time={line['time']} level={line['level']} message={escaped(message)}"
