"""vite's `server.proxy` in front of the proxy. It compresses nothing itself, but lets the upstream do it."""

from .chains import VITE, dev_server
from .harness import PATIENCE_S, Stage, deliver
from .pieces import EVENTS


async def test_each_piece_of_a_compressing_upstream_arrives_while_the_next_is_held(stage: Stage) -> None:
    origin = await stage.origin("express-compression")
    proxy = await stage.streamsafe(origin.url)
    front = await dev_server(stage, VITE, proxy.url)
    client = await stage.client("eventsource-parser.mjs", f"{front.url}/api/events")
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces)
    fields = (await client.told("open")).value
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [True, True, True]
    assert "content-encoding" not in fields


async def test_without_us_the_same_configuration_holds_every_piece(stage: Stage) -> None:
    origin = await stage.origin("express-compression")
    front = await dev_server(stage, VITE, origin.url)
    client = await stage.client("eventsource-parser.mjs", f"{front.url}/api/events")
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces, patience_s=PATIENCE_S)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [False, False, False]
