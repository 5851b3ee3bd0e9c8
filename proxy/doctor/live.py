"""What stands on a terminal while a probe runs: a line that moves, gone when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from proxy.core.redact import target
from proxy.doctor.observation import Observation, Request
from proxy.doctor.probe import Watch
from proxy.doctor.report import timeline


@contextmanager
def shown(console: Console, request: Request) -> Iterator[Watch | None]:
    """A watcher that draws the timeline so far; None where the console is no terminal."""
    if not console.is_terminal:
        yield None
        return
    what = f"{request.method.decode()} {target(request.url)}"
    with Live(Text(what), console=console, auto_refresh=False, transient=True) as live:

        def draw(seen: Observation) -> None:
            events = sum(piece.data.count(b"data:") for piece in seen.body[-1000:])
            state = f"{what}  {seen.body_bytes} bytes, about {events} events (Ctrl-C: judge what is there)\n"
            live.update(Text(state + (timeline(seen) if seen.answered else "waiting for the head")), refresh=True)

        yield draw
