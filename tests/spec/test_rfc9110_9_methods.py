"""RFC 9110 section 9.1: methods pass as they are, and what an upstream thinks of them comes back as it is."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.responses import counted
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import head

from .refusals import HIDDEN, HOST

PASSED = (
    b"GET POST PUT PATCH DELETE OPTIONS QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH REPORT ACL BIND "
    b"REBIND UNBIND MERGE CHECKOUT MKACTIVITY MKCALENDAR NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH PURGE LINK UNLINK"
).split()
UNKNOWN = [b"BREW", b"get", b"Get", b"GETS", b"GE", b"X-METHOD", b"TRACK", b"!", b"POST1", b"A" * 100]
ANSWERS = {
    b"405 Method Not Allowed": [(b"Allow", b"GET,  head , QUERY")],
    b"415 Unsupported Media Type": [
        (b"Accept-Query", b'"application/sql", text/plain;q=0.5'),
        (b"Accept-Post", b"*/*"),
    ],
    b"200 OK": [],
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("method", [*PASSED, *UNKNOWN])
async def test_methods(origin: MakeOrigin, proxy: MakeProxy, method: bytes, answer: bytes):
    """X12: Every method that the parser knows passes with its body, others are 501; 405 and 415 come back untouched.

    RFC 9110 9.1 and 10.2.1.
    """
    lines = ANSWERS[answer]
    sent = counted(b"said", *(b"%b: %b" % line for line in lines), status=answer)
    one = await origin([whole_request, sent])
    client = await (await proxy(one)).connect()
    client.methods.append(method)
    body = [b"Content-Type: application/sql", b"Content-Length: 4"]
    client.send(head(method + b" /a?b HTTP/1.1", HOST, *body) + b"body" + (HIDDEN if method in UNKNOWN else b""))
    response = await client.answer()
    if method in UNKNOWN:
        assert_is_our_error(response, 501, "http_request_error", "client")
        assert await client.wait_ended() == "fin"
        assert not one.connections
        assert len(client.reader.messages) == 1
        return
    received = one.connections[0].request
    assert received.start == method + b" /a?b HTTP/1.1"
    assert (received.body, received.get(b"content-type")) == (b"body", b"application/sql")
    assert (response.start, response.body) == (b"HTTP/1.1 " + answer, b"said")
    assert [entry for entry in response.fields if entry[0] not in (b"Content-Length", b"Date")] == lines
