"""Chromium, as the distribution ships it: EventSource and fetch on a page of another origin."""

import shutil

import pytest

from .harness import PATIENCE_S, Program, Stage, deliver, left_out
from .pieces import EVENTS, WORDS

DONE = "event: done\nid: 9\ndata: {}\n\n"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TEXT = [f"data: {word}\n\n" for word in WORDS]
CLIENTS = [
    ("eventsource", EVENTS.pieces, EVENTS.values),
    ("fetch", TEXT, TEXT),
    ("fetch-event-source", EVENTS.pieces, EVENTS.values),
]
every_client = pytest.mark.parametrize(("client", "pieces", "values"), CLIENTS, ids=[name for name, *_ in CLIENTS])


async def browser(stage: Stage, page: str, client: str, url: str) -> Program:
    """A browser on a page of ours, where this client asks this URL."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        left_out("Chromium is not installed")
    return await stage.node("browser.mjs", str(path), page, client, url)


@every_client
async def test_a_page_of_another_origin_gets_each_piece_while_the_next_is_held(
    stage: Stage, client: str, pieces: list[str], values: list[object]
) -> None:
    origin, page = await stage.origin(), await stage.peer()
    proxy = await stage.streamsafe(origin.url, "--cors", page.url)
    program = await browser(stage, page.url, client, f"{proxy.url}/answer")
    asked = (await origin.told("request", 60)).value
    delivery = await deliver(origin, program, pieces, DONE if client == "eventsource" else "")
    assert delivery.values == values
    assert delivery.in_time == [True, True, True]
    assert asked["method"] == ("GET" if client == "eventsource" else "POST")
    await program.told("end")


@every_client
async def test_a_compressing_dev_proxy_holds_them_all_for_its_own_page(
    stage: Stage, client: str, pieces: list[str], values: list[object]
) -> None:
    origin = await stage.origin()
    peer = await stage.peer(origin.url)
    program = await browser(stage, peer.url, client, "/answer")
    await origin.told("request", 60)
    with pytest.raises(TimeoutError):
        await program.told("open", PATIENCE_S)
    for piece in pieces:
        await origin.send(piece)
        with pytest.raises(TimeoutError):
            await program.told("event", PATIENCE_S)
    ended = await origin.finish(DONE if client == "eventsource" else "")
    first = await program.told("event")
    assert first.at >= ended
    assert first.value == ("".join(pieces) if client == "fetch" else values[0])


@every_client
async def test_a_dev_proxy_is_closed_to_pages_of_another_origin(
    stage: Stage, client: str, pieces: list[str], values: list[object]
) -> None:
    origin, page = await stage.origin(), await stage.peer()
    peer = await stage.peer(origin.url)
    program = await browser(stage, page.url, client, f"{peer.url}/answer")
    await origin.told("request", 60)  # a preflight, or the request itself: neither is allowed to be read
    await origin.finish(pieces[0])
    said = (await program.told("error")).value
    assert said in ("EventSource gave up", "TypeError: Failed to fetch")


async def test_an_eventsource_whose_stream_breaks_off_goes_on_after_the_last_event_it_saw(stage: Stage) -> None:
    origin, page = await stage.origin(), await stage.peer()
    proxy = await stage.streamsafe(origin.url, "--cors", page.url)
    program = await browser(stage, page.url, "eventsource", proxy.url)
    first = (await origin.told("request", 60)).value
    assert "last-event-id" not in first["headers"]
    for piece, value in zip(["retry: 50\n" + EVENTS.pieces[0], EVENTS.pieces[1]], EVENTS.values, strict=False):
        await origin.send(piece)
        assert (await program.told("event")).value == value
    await origin.order(cut=True)
    await program.told("lost")
    again = (await origin.told("request")).value
    assert again["headers"]["last-event-id"] == "2"
    delivery = await deliver(origin, program, EVENTS.pieces[2:], DONE)
    assert delivery.values == EVENTS.values[2:]
    assert delivery.in_time == [True]
    await program.told("end")
    with pytest.raises(TimeoutError):  # what was closed stays closed
        await origin.told("request", PATIENCE_S)


async def test_a_page_that_reads_a_stream_which_breaks_off_gets_an_error(stage: Stage) -> None:
    origin, page = await stage.origin(), await stage.peer()
    proxy = await stage.streamsafe(origin.url, "--cors", page.url)
    program = await browser(stage, page.url, "fetch", proxy.url)
    await origin.told("request", 60)
    await origin.send(TEXT[0])
    assert (await program.told("event")).value == TEXT[0]
    await origin.order(cut=True)
    assert (await program.told("error")).value == "TypeError: network error"


@pytest.mark.parametrize("client", ["eventsource", "fetch"])
async def test_behind_a_dev_proxy_a_page_waits_for_ever_after_its_stream_broke_off(stage: Stage, client: str) -> None:
    origin = await stage.origin()
    peer = await stage.peer(origin.url)
    program = await browser(stage, peer.url, client, "/answer")
    await origin.told("request", 60)
    await origin.send("retry: 50\n" + EVENTS.pieces[0])
    await origin.order(cut=True)
    assert (await origin.told("closed")).value == "early"
    for key in ("event", "lost", "error", "end"):
        with pytest.raises(TimeoutError):
            await program.told(key, PATIENCE_S)
    with pytest.raises(TimeoutError):
        await origin.told("request", PATIENCE_S)
