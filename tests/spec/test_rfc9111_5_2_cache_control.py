"""RFC 9111 section 5.2: Cache-Control tells the hops behind us not to touch a stream, and tells us the same."""

import pytest

from tests.net.codings import whole
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request
from tests.net.wire import chunk, head

EVENTS, NDJSON = b"text/event-stream", b"application/x-ndjson"
MERGED: dict[str, tuple[bytes, list[bytes], list[bytes]]] = {
    "nothing": (EVENTS, [], [b"no-cache", b"no-transform"]),
    "nothing, no events": (NDJSON, [], [b"no-transform"]),
    "no-cache": (EVENTS, [b"no-cache"], [b"no-cache", b"no-transform"]),
    "no-store": (EVENTS, [b"no-store"], [b"no-store", b"no-transform"]),
    "both already": (EVENTS, [b"no-cache, no-transform"], [b"no-cache", b"no-transform"]),
    "other letters": (EVENTS, [b"No-Cache, NO-TRANSFORM"], [b"No-Cache", b"NO-TRANSFORM"]),
    "other directives": (EVENTS, [b"private, max-age=0"], [b"private", b"max-age=0", b"no-cache", b"no-transform"]),
    "several lines": (EVENTS, [b"private", b"max-age=0"], [b"private", b"max-age=0", b"no-cache", b"no-transform"]),
    "one of several lines": (EVENTS, [b"private", b"no-store"], [b"private", b"no-store", b"no-transform"]),
    "a quoted list": (
        EVENTS,
        [b'private="set-cookie, x-no-cache", max-age=1'],
        [b'private="set-cookie, x-no-cache"', b"max-age=1", b"no-cache", b"no-transform"],
    ),
    "only quoted": (
        NDJSON,
        [b'x="no-transform, no-store"'],
        [b'x="no-transform, no-store"', b"no-transform"],
    ),
    "an escaped quote": (NDJSON, [b'x="a\\", no-transform"'], [b'x="a\\", no-transform"', b"no-transform"]),
    "no-cache with fields": (EVENTS, [b'no-cache="set-cookie"'], [b'no-cache="set-cookie"', b"no-transform"]),
    "empty members": (EVENTS, [b", private,, ,"], [b"private", b"no-cache", b"no-transform"]),
}


def directives(value: bytes) -> list[bytes]:
    """The members of the list, for values without a comma in quotes but those above."""
    members, quoted = [b""], False
    for at, character in enumerate(value):
        quoted ^= character == 0x22 and value[at - 1 : at] != b"\\"
        if character == 0x2C and not quoted:
            members.append(b"")
        else:
            members[-1] += bytes([character])
    return [member.strip() for member in members]


@pytest.mark.parametrize("case", MERGED)
async def test_no_transform_joins_what_is_there(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """S12: streams gain no-transform, and event streams a no-cache where nothing as strong stands; nothing twice."""
    media_type, lines, expected = MERGED[case]
    fields = [b"Content-Type: " + media_type, *(b"Cache-Control: " + line for line in lines)]
    one = await origin([request, head(b"HTTP/1.1 200 OK", *fields, b"Content-Length: 0")])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    found = [directive for value in response.all(b"cache-control") for directive in directives(value)]
    assert sorted(found) == sorted(expected)


FORBIDDEN = [
    [b"no-transform"],
    [b"private, No-Transform"],
    [b"private", b"max-age=0,no-transform"],
    [b'private="a, b", no-transform'],
]


@pytest.mark.parametrize("lines", FORBIDDEN)
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_no_transform_of_the_upstream_is_obeyed(
    origin: MakeOrigin, proxy: MakeProxy, lines: list[bytes], coding: str
):
    """E4: what the upstream forbids to transform keeps its coding, its label and what describes the coded bytes."""
    coded = whole(coding, b"data: 1\n\n" * 50)
    described = [b"Content-Encoding: " + coding.encode(), b'ETag: "strong"', b"Accept-Ranges: bytes"]
    fields = [b"Content-Type: text/event-stream", *described, *(b"Cache-Control: " + line for line in lines)]
    one = await origin(
        [request, head(b"HTTP/1.1 200 OK", *fields, b"Transfer-Encoding: chunked"), chunk(coded) + chunk(b"")]
    )
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert response.body == coded
    assert [
        b"%b: %b" % entry for entry in response.fields if entry[0] in (b"Content-Encoding", b"ETag", b"Accept-Ranges")
    ] == described
