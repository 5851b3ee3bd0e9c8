"""Rules of how a request's body ends: what is ambiguous is refused, and what goes upstream is made anew."""

import pytest

from proxy.core.errors import ClientError, NotImplementedByProxy
from proxy.core.framing import LONE_BYTES, LONE_CHUNKS, Framing, of_request
from tests.core.samples import request, sent

NONE, LENGTH, CHUNKED = "none", "length", "chunked"


@pytest.mark.parametrize(
    ("line", "more", "framing"),
    [
        pytest.param(b"GET / HTTP/1.1", [], (NONE, None), id="nothing said"),
        pytest.param(b"POST / HTTP/1.1", [], (NONE, None), id="nothing said of a POST"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 0"], (NONE, 0), id="length of none"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5"], (LENGTH, 5), id="length"),
        pytest.param(b"GET / HTTP/1.1", [b"content-length: 5"], (LENGTH, 5), id="length of a GET"),
        pytest.param(b"POST / HTTP/1.0", [b"Content-Length: 5"], (LENGTH, 5), id="length in 1.0"),
        pytest.param(
            b"POST / HTTP/1.1", [b"Content-Length: " + b"9" * 18], (LENGTH, 10**18 - 1), id="the largest length"
        ),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked"], (CHUNKED, None), id="chunked"),
        pytest.param(b"POST / HTTP/1.1", [b"transfer-ENCODING: Chunked"], (CHUNKED, None), id="chunked, letter case"),
        pytest.param(b"DELETE / HTTP/1.1", [b"Transfer-Encoding: chunked"], (CHUNKED, None), id="chunked DELETE"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: , chunked ,"], (CHUNKED, None), id="empty members"),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Transfer-Encoding:", b"Transfer-Encoding: chunked"],
            (CHUNKED, None),
            id="an empty line",
        ),
    ],
)
def test_a_body_ends_as_its_one_framing_says(
    line: bytes, more: list[bytes], framing: tuple[Framing, int | None]
) -> None:
    """MUST. RFC 9112 section 6; M11."""
    assert of_request(request(line, *more)) == framing


@pytest.mark.parametrize(
    ("line", "more"),
    [
        pytest.param(
            b"POST / HTTP/1.1", [b"Content-Length: 5", b"Transfer-Encoding: chunked"], id="length and chunked"
        ),
        pytest.param(
            b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked", b"Content-Length: 0"], id="chunked and no length"
        ),
        pytest.param(
            b"POST / HTTP/1.1", [b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5"], id="length and two codings"
        ),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5", b"Content-Length: 6"], id="two lengths"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5", b"Content-Length: 5"], id="the same length twice"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5, 5"], id="a list of lengths"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5, 6"], id="a list of different lengths"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: +5"], id="plus sign"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: -5"], id="minus sign"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5 5"], id="a blank inside"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5\t"], id="a tab behind"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 0x5"], id="hexadecimal"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 5.0"], id="a decimal point"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: 1_0"], id="an underscore, which int() would take"),
        pytest.param(b"POST / HTTP/1.1", ["Content-Length: ٥".encode()], id="a digit of another script"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length:"], id="an empty length"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: " + b"9" * 19], id="overflow"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Length: five"], id="a word"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: gzip"], id="chunked is missing"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked, gzip"], id="chunked is not last"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked, chunked"], id="chunked twice"),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
            id="chunked twice on two lines",
        ),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked, identity"], id="identity behind chunked"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: xchunked"], id="a look-alike"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: chunked;q=1"], id="a parameter"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding: \x0bchunked"], id="a vertical tab"),
        pytest.param(b"POST / HTTP/1.1", [b'Transfer-Encoding: "chunked"'], id="quotes"),
        pytest.param(b"POST / HTTP/1.1", [b"Transfer-Encoding:"], id="an empty coding"),
        pytest.param(b"POST / HTTP/1.0", [b"Transfer-Encoding: chunked"], id="chunked in 1.0"),
        pytest.param(b"GET / HTTP/1.0", [b"Transfer-Encoding: gzip, chunked"], id="two codings in 1.0"),
    ],
)
def test_what_servers_read_differently_is_malformed(line: bytes, more: list[bytes]) -> None:
    """MUST, stricter in part. RFC 9112 sections 6.1, 6.3 and 11.2; M1, M2, M3, M5."""
    with pytest.raises(ClientError) as found:
        of_request(request(line, *more))
    assert found.value.status == 400


@pytest.mark.parametrize(
    "more",
    [
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity, chunked"],
        [b"Transfer-Encoding: x, gzip, chunked"],
    ],
    ids=["gzip", "on two lines", "identity", "three"],
)
def test_another_coding_before_chunked_is_not_implemented(more: list[bytes]) -> None:
    """MUST. RFC 9112 section 6.1; M4: de-chunked, its label would be lost."""
    with pytest.raises(NotImplementedByProxy) as found:
        of_request(request(b"POST / HTTP/1.1", *more))
    assert found.value.status == 501


@pytest.mark.parametrize(
    ("line", "more", "told"),
    [
        pytest.param(b"GET / HTTP/1.1", [], [], id="GET of nothing"),
        pytest.param(b"DELETE / HTTP/1.1", [], [], id="DELETE of nothing"),
        pytest.param(b"OPTIONS / HTTP/1.1", [], [], id="OPTIONS of nothing"),
        pytest.param(b"POST / HTTP/1.1", [], [b"Content-Length: 0"], id="POST of nothing"),
        pytest.param(b"PUT / HTTP/1.1", [], [b"Content-Length: 0"], id="PUT of nothing"),
        pytest.param(b"PATCH / HTTP/1.1", [], [b"Content-Length: 0"], id="PATCH of nothing"),
        pytest.param(
            b"POST / HTTP/1.1", [b"Content-Length: 0"], [b"Content-Length: 0"], id="POST of a counted nothing"
        ),
        pytest.param(b"GET / HTTP/1.1", [b"Content-Length: 0"], [b"Content-Length: 0"], id="GET of a counted nothing"),
        pytest.param(b"POST / HTTP/1.1", [b"content-length: 5"], [b"Content-Length: 5"], id="POST"),
        pytest.param(b"GET / HTTP/1.1", [b"Content-Length: 5"], [b"Content-Length: 5"], id="GET with a body"),
        pytest.param(b"DELETE / HTTP/1.1", [b"Content-Length: 5"], [b"Content-Length: 5"], id="DELETE with a body"),
        pytest.param(
            b"POST / HTTP/1.1", [b"transfer-encoding: CHUNKED"], [b"Transfer-Encoding: chunked"], id="chunked POST"
        ),
        pytest.param(
            b"OPTIONS / HTTP/1.1",
            [b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: chunked"],
            id="chunked OPTIONS",
        ),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Transfer-Encoding: chunked", b"Connection: transfer-encoding, content-length"],
            [b"Transfer-Encoding: chunked"],
            id="named in Connection",
        ),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Content-Length: 5", b"Connection: content-length"],
            [b"Content-Length: 5"],
            id="length named in Connection",
        ),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Transfer-Encoding: chunked", b"Trailer: X-A"],
            [b"Transfer-Encoding: chunked"],
            id="trailer",
        ),
        pytest.param(b"POST / HTTP/1.0", [b"Content-Length: 5"], [b"Content-Length: 5"], id="POST in 1.0"),
        pytest.param(b"POST / HTTP/1.0", [], [b"Content-Length: 0"], id="POST of nothing in 1.0"),
    ],
)
def test_the_framing_that_goes_upstream_is_made_anew(line: bytes, more: list[bytes], told: list[bytes]) -> None:
    """MUST. RFC 9110 section 8.6, RFC 9112 section 6.2; H5, M9, M10, M11, M12, X8."""
    assert sent(request(line, *more))[2:] == told


@pytest.mark.parametrize(
    "smuggled", [b"Transfer-Encoding", b"Content-Length", b"Connection", b"Host"], ids=bytes.decode
)
def test_an_outgoing_head_frames_its_body_once(smuggled: bytes) -> None:
    """MUST. RFC 9112 section 6.2; M9, M13: also with a Connection field that names framing and an upgrade."""
    asked = request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Connection: Transfer-Encoding, upgrade")
    names = [line.partition(b":")[0] for line in sent(asked)[1:]]
    assert names.count(smuggled) == (smuggled in (b"Transfer-Encoding", b"Host"))


def test_each_chunk_that_may_come_alone_is_known_by_its_length() -> None:
    """The form is ours: hexadecimal, in small letters and without zeros in front."""
    chunks = {len(line) + size + 2: (line, size) for size in range(1, 1024) for line in (b"%x\r\n" % size,)}
    for length, known in enumerate(LONE_CHUNKS):
        assert known == chunks.get(length, (bytes(LONE_BYTES), -1))
