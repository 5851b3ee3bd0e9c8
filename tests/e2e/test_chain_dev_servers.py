"""webpack-dev-server, vue-cli and umi, which compress by default, in front of the proxy: streams flow all the same.

The last test is about what stays, for vite too; the recipes say so.
"""

import pytest

from .chains import UMI, VITE, VUE_CLI, WEBPACK, Chain, dev_server
from .harness import PATIENCE_S, Stage, deliver
from .pieces import EVENTS

every_chain = pytest.mark.parametrize("chain", [WEBPACK, VUE_CLI, UMI], ids=lambda chain: chain.name)


@every_chain
async def test_each_piece_arrives_while_the_next_is_held(stage: Stage, chain: Chain) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    front = await dev_server(stage, chain, proxy.url)
    client = await stage.client("eventsource-parser.mjs", f"{front.url}/api/events")
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces)
    fields = (await client.told("open")).value
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [True, True, True]
    assert "content-encoding" not in fields
    assert "no-transform" in fields["cache-control"]
    assert await compresses(stage, f"{front.url}{chain.script}")


@every_chain
async def test_without_us_the_same_configuration_holds_every_piece(stage: Stage, chain: Chain) -> None:
    origin = await stage.origin()
    front = await dev_server(stage, chain, origin.url)
    client = await stage.client("eventsource-parser.mjs", f"{front.url}/api/events")
    await origin.told("request", 30)
    delivery = await deliver(origin, client, EVENTS.pieces, patience_s=PATIENCE_S)
    assert delivery.values == EVENTS.values
    assert delivery.in_time == [False, False, False]


@pytest.mark.parametrize("chain", [WEBPACK, VUE_CLI, UMI, VITE], ids=lambda chain: chain.name)
async def test_the_head_comes_with_the_first_event_and_a_stream_that_breaks_off_leaves_its_client_waiting(
    stage: Stage, chain: Chain
) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    front = await dev_server(stage, chain, proxy.url)
    client = await stage.client("eventsource-parser.mjs", f"{front.url}/api/events")
    await origin.told("request", 30)
    with pytest.raises(TimeoutError):
        await client.told("open", PATIENCE_S)
    sent = await origin.send(EVENTS.pieces[0])
    assert (await client.told("open")).at >= sent
    assert (await client.told("event")).value == EVENTS.values[0]
    await origin.order(cut=True)
    await proxy.printed("outcome=upstream_aborted")
    for key in ("error", "end"):
        with pytest.raises(TimeoutError):
            await client.told(key, PATIENCE_S)


async def compresses(stage: Stage, url: str) -> bool:
    """Whether a script of the front end comes compressed, once it is made: the dev server's default is in force."""
    client = await stage.run("curl", "-sSf", "--compressed", "-o", "/dev/null", "-D", "-", "--max-time", "90", url)
    assert await client.ended(90) == 0, client.text
    return "\ncontent-encoding: " in client.text.lower()
