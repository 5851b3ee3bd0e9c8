"""Whether a page could read the answer: its own fields, and the preflight that a browser sends first."""

import asyncio

import pytest

from .planted import END, chunk, event, examined, head, ids, of, serving

PAGE = "http://localhost:5173"
KEY = ("Authorization", "Bearer sk-0123456789abcdef")
ALLOWED = f"Access-Control-Allow-Origin: {PAGE}"


def answers(preflight: bytes | None, *lines: str, seen: list[bytes] | None = None):
    """A server with one answer for preflights (None: it hangs up) and a stream with these fields for the rest."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(asked)
        if asked.startswith(b"OPTIONS"):
            writer.write(preflight or b"")
        else:
            writer.write(head("Content-Type: text/event-stream", "Transfer-Encoding: chunked", *lines))
            for number in range(2):
                writer.write(chunk(event(number)))
                await writer.drain()
                await asyncio.sleep(0.03)
            writer.write(END)
        writer.close()

    return serving(serve)


def granting(*lines: str, status: str = "204 No Content") -> bytes:
    return head(*lines, status=status)


GOOD = granting(ALLOWED, "Access-Control-Allow-Headers: Authorization, content-type")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([ALLOWED], []),
        (["Access-Control-Allow-Origin: *"], []),
        ([], ["cors-missing"]),
        (["Access-Control-Allow-Origin: http://localhost:3000"], ["cors-other-origin"]),
        ([ALLOWED, ALLOWED], ["cors-doubled"]),
        ([f"Access-Control-Allow-Origin: {PAGE}, *"], ["cors-doubled"]),
    ],
)
async def test_the_answer_has_to_allow_the_origin_once(lines: list[str], found: list[str]) -> None:
    async with answers(None, *lines) as port:
        assert ids(await examined(f"http://127.0.0.1:{port}/", origin=PAGE)) == found
        assert ids(await examined(f"http://127.0.0.1:{port}/")) == []  # nobody asked for a page's sake


@pytest.mark.parametrize(
    ("preflight", "wrong"),
    [
        (GOOD, None),
        (granting("Access-Control-Allow-Origin: *", "Access-Control-Allow-Headers: *, authorization"), None),
        (granting(status="404 Not Found"), "404"),
        (granting(ALLOWED, "Location: /login", status="302 Found"), "302"),
        (granting("Access-Control-Allow-Headers: authorization, content-type"), "does not allow the origin"),
        (granting(ALLOWED, "Access-Control-Allow-Headers: authorization"), "does not allow content-type"),
        (granting(ALLOWED, "Access-Control-Allow-Headers: *"), "`*` does not cover authorization"),
        (None, "no answer"),
    ],
)
async def test_the_preflight_has_to_allow_what_is_sent(preflight: bytes | None, wrong: str | None) -> None:
    asked: list[bytes] = []
    async with answers(preflight, ALLOWED, seen=asked) as port:
        diagnosis = await examined(f"http://127.0.0.1:{port}/", origin=PAGE, method="POST", lines=[KEY], body=b"{}")
    assert ids(diagnosis) == ([] if wrong is None else ["preflight-failed"])
    if wrong is not None:
        assert wrong in of(diagnosis, "preflight-failed")
    assert asked[0].startswith(b"OPTIONS / HTTP/1.1\r\n")
    assert b"Access-Control-Request-Headers: authorization,content-type\r\n" in asked[0]
    assert b"sk-0123" not in asked[0]
    assert b"Origin: http://localhost:5173\r\n" in asked[1]


async def test_a_method_that_needs_it_has_to_be_allowed() -> None:
    async with answers(granting(ALLOWED, "Access-Control-Allow-Methods: PATCH"), ALLOWED) as port:
        assert ids(await examined(f"http://127.0.0.1:{port}/", origin=PAGE, method="PATCH")) == []
        refused = await examined(f"http://127.0.0.1:{port}/", origin=PAGE, method="DELETE")
    assert "does not allow the method DELETE" in of(refused, "preflight-failed")


async def test_what_needs_no_preflight_sends_none() -> None:
    asked: list[bytes] = []
    async with answers(None, ALLOWED, seen=asked) as port:
        await examined(f"http://127.0.0.1:{port}/", origin=PAGE, lines=[("Accept", "text/event-stream")])
    assert [request.split()[0] for request in asked] == [b"GET"]
