"""Forks workers, and tells how they ended.

A process that has a loop or threads must not fork. So this one is forked first of all, with everything imported, and
does nothing else: a worker starts in milliseconds and shares the memory of what was loaded. It ends with its
supervisor.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from proxy.app.process import loop_factory

Work = Callable[[socket.socket, socket.socket], None]
"""What a worker does, with the channel to its supervisor and the hatch for sockets."""

_SLOT = struct.Struct("=I")
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Nursery:
    """The supervisor's end. `reports` are lines of JSON: `slot` and `pid` of a worker, at its end with its `status`."""

    def __init__(self, reports: socket.socket, pid: int) -> None:
        self.reports = reports
        self._pid = pid

    @classmethod
    def open(cls, work: Work) -> "Nursery":
        """Forks the nursery. Before any loop and any thread."""
        loop_factory().close()  # imports what it needs, once for all
        gc.collect()
        gc.freeze()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _live(theirs, work)
        theirs.close()
        return cls(ours, pid)

    def fork(self, slot: int, channel: socket.socket, hatch: socket.socket) -> None:
        """Asks for a worker with these; the report comes later. Errors: OSError where the nursery is gone."""
        socket.send_fds(self.reports, [_SLOT.pack(slot)], [channel.fileno(), hatch.fileno()])

    def close(self) -> None:
        """Ends it; workers that live go on."""
        self.reports.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _live(supervisor: socket.socket, work: Work) -> NoReturn:
    """The nursery's own life."""
    for number in _IGNORED:  # a terminal or an init system may signal all of a group: the supervisor says what to do
        signal.signal(number, signal.SIG_IGN)
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    slots: dict[int, int] = {}
    with contextlib.suppress(OSError):
        while True:
            ready, _, _ = select.select([supervisor, wakes], [], [])
            if wakes in ready:
                wakes.recv(4096)
                _tell_ended(supervisor, slots)
            if supervisor in ready:
                asked, files, _, _ = socket.recv_fds(supervisor, _SLOT.size, 2)
                if not asked:
                    break
                slot = _SLOT.unpack(asked)[0]
                pid = os.fork()
                if pid == 0:
                    for one in (supervisor, wakes, woken):
                        one.close()
                    _work(work, files)
                for file in files:
                    os.close(file)
                slots[pid] = slot
                _tell(supervisor, {"slot": slot, "pid": pid})
    os._exit(0)


def _tell_ended(supervisor: socket.socket, slots: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _tell(supervisor, {"slot": slots.pop(pid), "pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _tell(supervisor: socket.socket, report: dict[str, int]) -> None:
    supervisor.sendall(json.dumps(report).encode("ascii") + b"\n")


def _work(work: Work, files: list[int]) -> NoReturn:
    """A worker's life, after which nothing of the command that it was forked from may run."""
    code = 1
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        work(*[socket.socket(fileno=file) for file in files])
        code = 0
    except BaseException:  # noqa: BLE001 # whatever it was, this process ends here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
