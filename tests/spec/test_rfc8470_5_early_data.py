"""RFC 8470 section 5: requests that may be a replay are the upstream's and the client's affair."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.responses import OK, counted

from .relayed import BARE, TODAY, lines


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("sent", [[b"Early-Data: 1"], [b"early-DATA: 1", b"Early-Data: 0"], []])
@pytest.mark.parametrize("reason", [b"Too Early", b""])
async def test_early_data_and_too_early_pass(
    origin: MakeOrigin, proxy: MakeProxy, method: bytes, sent: list[bytes], reason: bytes
):
    """H27: Early-Data goes on as it came, and a 425 is the client's to act on: we send nothing twice."""
    too_early = counted(b"later", TODAY, b"Retry-After: 1", status=b"425 " + reason)
    one = await origin([whole_request, OK, whole_request, too_early, whole_request, OK])
    client = await (await proxy(one, forwarding=BARE)).connect()
    assert (await client.ask_for_answer()).status == 200  # what follows goes to a kept connection
    client.ask(method, b"/", *sent, body=b"x" if method == b"POST" else None)
    answer = await client.answer()
    assert (answer.start, answer.body) == (b"HTTP/1.1 425 " + reason, b"later")
    assert lines(answer) == [TODAY, b"Retry-After: 1", b"Content-Length: 5"]
    assert (await client.ask_for_answer()).status == 200
    (connection,) = one.connections
    assert [message.method for message in connection.requests] == [b"GET", method, b"GET"]
    assert lines(connection.requests[1], b"host", b"content-length") == sent
