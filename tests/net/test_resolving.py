"""Names are looked up beside each other: what one resolver does not answer holds up nobody else."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from proxy.core.errors import DnsError
from proxy.core.routes import Match, Origin
from proxy.net.upstream import resolve
from proxy.net.upstream.dial import dial
from proxy.net.upstream.resolve import addresses_of

from .conftest import MakeOrigin, MakeProxy
from .harness import route, settles
from .origin import request
from .responses import OK

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))]
SILENT = [f"silent{number}.example" for number in range(40)]


class System:
    """The system's resolver: says nothing for some names until it is `released`, and knows one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = threading.Event()
        self.answers: list[object] = []
        """What is told of a name, the next first; FOUND when there are no more."""

    def getaddrinfo(self, host: str, port: int, **_: object) -> object:
        self.asked.append(host)
        if host in SILENT:
            assert self.released.wait(60)
        answer = self.answers.pop(0) if self.answers else [(*entry[:4], (entry[4][0], port)) for entry in FOUND]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    made = System()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.released.set()
    for thread in threading.enumerate():
        if thread.name == "resolver":
            thread.join(5)


async def test_names_that_nobody_answers_for_hold_up_no_other(origin: MakeOrigin, proxy: MakeProxy, system: System):
    """MUST. Nor those that are addresses: loops look up in a few threads, and uvloop what it connects to as well."""
    one = await origin([request, OK], [request, OK])
    silent = [route(80, host=name, match=Match(b"/" + name.encode())) for name in SILENT]
    known = route(one.port, host="known.example", match=Match(b"/known"))
    proxied = await proxy(*silent, known, route(one.port))
    system.asked.clear()  # of where to listen
    for name in SILENT:
        (await proxied.connect()).get(b"/" + name.encode())
    assert await settles(lambda: len(system.asked) == len(SILENT))
    for path in (b"/", b"/known"):
        assert (await (await proxied.connect()).ask_for_answer(path)).body == b"ok"
    assert sorted(system.asked) == sorted([*SILENT, "known.example"])


async def test_an_address_is_asked_of_nobody(origin: MakeOrigin, system: System, monkeypatch: pytest.MonkeyPatch):
    """MUST. Not of the loop's resolver either, which uvloop's own way to connect asks."""
    asked: list[object] = []

    async def getaddrinfo(_: object, *host: object, **hints: object) -> list[object]:
        asked.append(host)
        return []

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
    one = await origin([])
    (await dial(Origin("127.0.0.1", one.port), 5)).close()
    assert (asked, system.asked) == ([], [])


async def test_all_who_ask_for_a_name_wait_for_one_answer(system: System):
    """MUST. Else a resolver that is slow would be asked by a thread for every request."""
    asking = [asyncio.ensure_future(addresses_of(SILENT[0], 80)) for _ in range(50)]
    assert await settles(lambda: bool(system.asked))
    asking.pop().cancel()
    asking += [asyncio.ensure_future(addresses_of(SILENT[0], 80))]
    other = asyncio.ensure_future(addresses_of(SILENT[0], 81))
    assert await settles(lambda: len(system.asked) == 2)
    assert len([thread for thread in threading.enumerate() if thread.name == "resolver"]) == 2
    system.released.set()
    assert [entry[4] for found in await asyncio.gather(*asking) for entry in found] == [("127.0.0.1", 80)] * 50
    assert (await other)[0][4] == ("127.0.0.1", 81)
    assert (await addresses_of(SILENT[0], 80))[0][4] == ("127.0.0.1", 80)
    assert len(system.asked) == 3  # what was found is not kept: a name may move


@pytest.mark.parametrize(
    "answer",
    [
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        OSError(24, "no file"),
        UnicodeError("no name"),
        [],
    ],
)
async def test_what_the_resolver_cannot_say_is_dns_error_and_is_asked_again(system: System, answer: object):
    """MUST. A4. Once for all who asked, and for nobody who asks later."""
    system.answers = [answer]
    with pytest.raises(DnsError):
        await addresses_of("known.example", 80)
    assert await addresses_of("known.example", 80) == FOUND


async def test_a_fault_of_the_lookup_itself_leaves_nobody_waiting(system: System):
    """MUST. It is a fault of ours then, and not the resolver's word."""
    system.answers = [KeyError("fault")]
    asking = [addresses_of("known.example", 80) for _ in range(3)]
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(error) for error in told] == [KeyError] * 3
    assert await addresses_of("known.example", 80) == FOUND


async def test_no_thread_to_ask_in_is_dns_error(system: System, monkeypatch: pytest.MonkeyPatch):
    """MUST. The next one tries again."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without:
        without.setattr(threading.Thread, "start", refused)
        with pytest.raises(DnsError):
            await addresses_of("known.example", 80)
    assert await addresses_of("known.example", 80) == FOUND


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(system: System, monkeypatch: pytest.MonkeyPatch):
    """MUST. A loop may be closed while its resolver is silent."""
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await addresses_of(SILENT[0], 80)

    asyncio.run(give_up())
    system.released.set()
    for thread in threading.enumerate():
        if thread.name == "resolver":
            thread.join(5)
    assert faults == []
    assert resolve._under_way == {}
    assert asyncio.run(addresses_of(SILENT[0], 80))
