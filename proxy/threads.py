"""Work that would hold up the loop, each in a thread of its own, which ends with it.

The loops' own threads stay for good once something was given to them, and in a process of several threads each system
call counts the users of its descriptor: an event costs one to four per cent more then.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Given = TypeVarTuple("Given")


def in_thread(name: str, work: Callable[[*Given], T], *given: *Given) -> asyncio.Future[T]:
    """Begins the work in a thread of that name; what comes of it, or what it raises, is the future's.

    Who gives up waiting does not end it, and a process that ends does not wait for it. Errors: RuntimeError where the
    system has no thread for us.
    """
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    threading.Thread(target=_run, args=(done, work, given), name=name, daemon=True).start()
    return done


def _run(done: asyncio.Future[T], work: Callable[[*Given], T], given: tuple[*Given]) -> None:
    result, error = None, cast(BaseException | None, None)
    try:
        result = work(*given)
    except StopIteration as raised:  # which no future takes
        error = RuntimeError(f"the work raised {raised!r}")
    except BaseException as raised:  # noqa: BLE001 # whatever it was, it is for who waits
        error = raised
    with contextlib.suppress(RuntimeError):  # the loop has been closed, and with it whoever waited
        done.get_loop().call_soon_threadsafe(_tell, done, result, error)
    del done, error  # which refer to this frame, and so to what the work was given


def _tell(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():  # nobody waits any more
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
