"""Questions of the supervisor and answers of a worker: lines of JSON on a pair of sockets.

Sockets that a question is about go through a hatch of their own, before it.
"""

import asyncio
import itertools
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

log = logging.getLogger("proxy")

Message = dict[str, Any]

# The figures of thousands of routes fit.
_LONGEST_LINE = 64 * 1024 * 1024
# How many files one message takes: the kernel allows 253.
_FILES_AT_ONCE = 200


class WorkerGone(Exception):
    """The worker has ended, or does not answer."""


class Asker:
    """The supervisor's end of one worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hatch: socket.socket) -> None:
        self._writer = writer
        self._hatch = hatch
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._gone = False
        self._reading = asyncio.create_task(self._read(reader), name="worker: answers")

    @classmethod
    async def open(cls, channel: socket.socket, hatch: socket.socket) -> "Asker":
        """On these sockets, which are its own from now on."""
        reader, writer = await asyncio.open_connection(sock=channel, limit=_LONGEST_LINE)
        return cls(reader, writer, hatch)

    async def ask(
        self, what: str, within_s: float | None, sockets: Sequence[socket.socket] = (), **more: Any
    ) -> Message:
        """The worker's answer. Errors: WorkerGone."""
        if self._gone:
            raise WorkerGone
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            for at in range(0, len(sockets), _FILES_AT_ONCE):
                files = [one.fileno() for one in sockets[at : at + _FILES_AT_ONCE]]
                socket.send_fds(self._hatch, [b"s"], files)
            line = json.dumps({"id": number, "ask": what, "sockets": len(sockets), **more})
            self._writer.write(line.encode("utf-8") + b"\n")
            async with asyncio.timeout(within_s):
                return await answer
        except (OSError, TimeoutError) as error:
            raise WorkerGone from error
        finally:
            del self._waiting[number]

    def close(self) -> None:
        """Asks no more."""
        self._reading.cancel()
        self._lost()
        self._writer.close()
        self._hatch.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                answer = self._waiting.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message)
        except (OSError, ValueError):
            pass
        self._lost()

    def _lost(self) -> None:
        self._gone = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(WorkerGone())


Answerer = Callable[[Message, list[socket.socket]], Awaitable[Message]]


async def answer_all(channel: socket.socket, hatch: socket.socket, answer: Answerer) -> None:
    """Answers questions, several at once, until the supervisor asks no more or is gone."""
    reader, writer = await asyncio.open_connection(sock=channel, limit=_LONGEST_LINE)
    tasks: set[asyncio.Task[None]] = set()

    async def one(message: Message, sockets: list[socket.socket]) -> None:
        try:
            told = await answer(message, sockets)
        except Exception as error:  # else nobody would be told, and the supervisor would wait
            log.exception("the worker could not answer %r", message["ask"])
            told = {"failed": f"{type(error).__name__} in the worker, whose traceback is in the log", "exit_code": 1}
        writer.write(json.dumps({"id": message["id"], **told}).encode("utf-8") + b"\n")

    try:
        while line := await reader.readline():
            message: Message = json.loads(line)
            task = asyncio.create_task(one(message, _taken(hatch, message["sockets"])), name=f"answer {message['ask']}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except OSError:
        pass  # it was killed while something was on its way
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
        hatch.close()


def _taken(hatch: socket.socket, count: int) -> list[socket.socket]:
    """What was put through the hatch, which was before the question."""
    found: list[socket.socket] = []
    while len(found) < count:
        _, files, _, _ = socket.recv_fds(hatch, 1, min(_FILES_AT_ONCE, count - len(found)))
        found += [socket.socket(fileno=file) for file in files]
    return found
