"""The reloader by itself: what is asked meanwhile is one more reload, and nothing that goes wrong is in force."""

import asyncio
import logging
import time

import pytest

from proxy.app.errors import CannotListen
from proxy.app.reloading import Reloader
from proxy.config.load import from_values
from proxy.config.model import Config
from proxy.config.source import Source, Written


def values(upstream: str) -> dict[str, object]:
    return {"routes": [{"upstream": upstream}]}


class Served:
    """What configurations are put into; each waits for `gate`, and fails with what `fails` says."""

    def __init__(self) -> None:
        self.upstreams: asyncio.Queue[str] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.fails: Exception | None = None
        self.source = values("http://first")
        written = Written(self.source)
        self.reloader = Reloader(Source(self.source), written, from_values(self.source, {}), self.apply)

    async def apply(self, config: Config, written: Written) -> None:
        self.begun.set()
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        self.upstreams.put_nowait(str(config.routes[0].upstream[0].url))

    def write(self, upstream: str) -> None:
        self.source.clear()
        self.source.update(values(upstream))


async def test_what_is_asked_during_a_reload_is_one_more() -> None:
    """MUST. What was written after the file was read would else wait for the next signal."""
    served, asked = Served(), asyncio.Event()
    serving = asyncio.create_task(served.reloader.serve(asked))
    served.gate.clear()
    served.write("http://second")
    asked.set()
    await served.begun.wait()
    served.write("http://third")
    asked.set()
    served.gate.set()
    async with asyncio.timeout(5):
        assert "second" in await served.upstreams.get()
        assert "third" in await served.upstreams.get()
    serving.cancel()


@pytest.mark.parametrize(
    "fault",
    [CannotListen("127.0.0.1:1", OSError(98, "Address already in use")), RuntimeError("a fault of ours")],
    ids=["foreseen", "unforeseen"],
)
async def test_what_could_not_be_put_in_force_is_not_and_the_next_one_is(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """MUST. O1."""
    served = Served()
    before, config = served.reloader.written, served.reloader.config
    served.fails = fault
    served.write("http://second")
    with caplog.at_level(logging.ERROR, logger="proxy"):
        await served.reloader.reload()
    assert (served.reloader.written is before, served.reloader.config is config) == (True, True)
    assert (served.reloader.counts.done, served.reloader.counts.refused) == (0, 1)
    assert "the configuration before stays in force" in caplog.messages
    served.fails = None
    await served.reloader.reload()
    assert (served.reloader.counts.done, served.upstreams.qsize()) == (1, 1)


async def test_a_refused_configuration_is_not_what_is_in_force(caplog: pytest.LogCaptureFixture) -> None:
    """MUST. O1. Not even as what was written last."""
    served = Served()
    reloader = served.reloader
    before, config = reloader.written, reloader.config
    reloader._source = Source({"routes": [{"upstream": "no URL"}]})
    with caplog.at_level(logging.ERROR, logger="proxy"):
        await reloader.reload()
    assert (reloader.written is before, reloader.config is config, served.upstreams.empty()) == (True, True, True)
    assert reloader.counts.refused == 1


async def test_what_is_in_force_is_known_as_it_was_written() -> None:
    """MUST. What is asked next is compared with it, and the moment is told to whoever watches."""
    served = Served()
    assert served.reloader.counts.last is None
    before = time.time()
    served.source.update({**values("http://second"), "listen": "127.0.0.1:0"})
    written = served.reloader.written
    await served.reloader.reload()
    assert served.reloader.written is not written
    assert before <= (served.reloader.counts.last or 0) <= time.time()
    assert served.reloader.counts.done == 1


async def test_what_cannot_change_while_it_runs_is_said_to_stay(caplog: pytest.LogCaptureFixture) -> None:
    """MUST. Else whoever wrote it would believe it in force."""
    caplog.set_level(logging.WARNING, logger="proxy")
    served = Served()
    served.source.update({**values("http://second"), "admin": "127.0.0.1:1"})
    await served.reloader.reload()
    assert any("`admin` has changed" in entry.getMessage() for entry in caplog.records)
