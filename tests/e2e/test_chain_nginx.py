"""nginx with its default buffering, and gzip for everything, in front of the proxy."""

from .chains import NGINX
from .harness import PATIENCE_S, Program, Stage, deliver, free_port
from .pieces import EVENTS, LINES


async def front(stage: Stage, target: str) -> Program:
    port = free_port()
    listen = "listen 127.0.0.1:8080;"
    config = NGINX.pointed_at(target)
    assert config.count(listen) == 1
    return await stage.nginx(config.replace("8080", str(port)), f"http://127.0.0.1:{port}")


async def test_each_piece_arrives_while_the_next_is_held_though_it_is_compressed(stage: Stage) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    peer = await front(stage, proxy.url)
    client = await stage.client("eventsource-parser.mjs", f"{peer.url}/api/events")
    await origin.told("request", 30)
    fields = (await client.told("open")).value
    delivery = await deliver(origin, client, EVENTS.pieces)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [True, True, True]
    assert fields["content-encoding"] == "gzip"
    await client.told("end")


async def test_a_stream_that_breaks_off_is_an_error_there_too(stage: Stage) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    peer = await front(stage, proxy.url)
    client = await stage.client("eventsource-parser.mjs", f"{peer.url}/api/events")
    await origin.told("request", 30)
    await origin.send(EVENTS.pieces[0])
    assert (await client.told("event")).value == EVENTS.values[0]
    await origin.order(cut=True)
    await client.told("error")


async def test_without_us_the_same_configuration_holds_every_piece(stage: Stage) -> None:
    origin = await stage.origin()
    peer = await front(stage, origin.url)
    client = await stage.client("eventsource-parser.mjs", f"{peer.url}/api/events")
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces, patience_s=PATIENCE_S)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [False, False, False]


async def test_each_piece_arrives_through_an_nginx_that_only_buffers(stage: Stage) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    peer = await stage.plain_nginx(proxy.url)
    client = await stage.client("curl", peer.url)
    await origin.told("request", 30)
    delivery = await deliver(origin, client, LINES.pieces)
    assert delivery.values == LINES.values
    assert delivery.in_time == [True, True, True]


async def test_without_us_an_nginx_that_only_buffers_holds_every_piece(stage: Stage) -> None:
    origin = await stage.origin()
    peer = await stage.plain_nginx(origin.url)
    client = await stage.client("curl", peer.url)
    await origin.told("request", 30)
    delivery = await deliver(origin, client, LINES.pieces, patience_s=PATIENCE_S)
    assert delivery.values == LINES.values
    assert delivery.in_time == [False, False, False]
