"""Rules of the event stream of AWS: lengths that are believed or not, checksums, and headers of all types."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.framers.aws import MAX_HEADERS, MAX_PAYLOAD, AwsFramer, AwsMessage, parse
from tests.core.framers import LIMIT, aws_message, aws_text, bytewise, cut, fed, some_cuts, whole

DELTA = bytes.fromhex(
    "00000094 00000057 b4ab9aee 0b3a6576656e742d74797065 070011636f6e74656e74426c6f636b44656c7461"
    "0d3a636f6e74656e742d74797065 0700106170706c69636174696f6e2f6a736f6e 0d3a6d6573736167652d74797065 0700056576656e74"
    "7b22636f6e74656e74426c6f636b496e646578223a302c2264656c7461223a7b2274657874223a224869227d7d 1f944657"
)
EXCEPTION = bytes.fromhex(
    "00000092 00000065 f33c3ece 0f3a657863657074696f6e2d74797065 070017696e7465726e616c536572766572457863657074696f6e"
    "0d3a636f6e74656e742d74797065 0700106170706c69636174696f6e2f6a736f6e"
    "0d3a6d6573736167652d74797065 070009657863657074696f6e"
    "7b226d657373616765223a22757073747265616d20636c6f736564227d 6ef6f3e4"
)
JSON = "application/json"
MESSAGES: dict[str, tuple[bytes, dict[str, str], bytes]] = {
    "event": (
        DELTA,
        {":event-type": "contentBlockDelta", ":content-type": JSON, ":message-type": "event"},
        b'{"contentBlockIndex":0,"delta":{"text":"Hi"}}',
    ),
    "exception": (
        EXCEPTION,
        {":exception-type": "internalServerException", ":content-type": JSON, ":message-type": "exception"},
        b'{"message":"upstream closed"}',
    ),
}
PRELUDE = 12


@pytest.mark.parametrize(("message", "headers", "payload"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_says_its_headers_and_payload(message: bytes, headers: dict[str, str], payload: bytes) -> None:
    """MUST. Written by hand from Bedrock's documentation, and by our own hand the same."""
    assert parse(message) == AwsMessage(headers, payload)
    assert aws_message(headers, payload) == message
    assert whole(fed(AwsFramer(LIMIT), [DELTA + message + DELTA])) == [DELTA, message, DELTA]


def flipped(message: bytes, bit: int) -> bytes:
    broken = bytearray(message)
    broken[bit // 8] ^= 0x80 >> bit % 8
    return bytes(broken)


every_message = pytest.mark.parametrize("message", [DELTA, EXCEPTION], ids=MESSAGES)


@every_message
@pytest.mark.parametrize("reads", [lambda stream: [stream], bytewise], ids=["at-once", "bytewise"])
@pytest.mark.parametrize("bit", range(PRELUDE * 8))
def test_one_wrong_bit_in_the_prelude_ends_the_framing(message: bytes, bit: int, reads: object) -> None:
    """MUST. No length can be believed from there on; all that follows passes as it comes, and is no frame."""
    assert callable(reads)
    framer, broken = AwsFramer(LIMIT), flipped(message, bit)
    pieces = fed(framer, [DELTA, *reads(broken), DELTA])
    assert framer.is_lost
    assert not framer.at_boundary
    assert whole(pieces) == [DELTA]
    assert pieces[-1] == (DELTA, False)


@every_message
def test_one_wrong_bit_behind_the_prelude_spoils_that_message_only(message: bytes) -> None:
    """MUST. Its frame is found and passes, it says nothing, and the next is whole: headers, payload or checksum."""
    for bit in range(PRELUDE * 8, len(message) * 8):
        framer, broken = AwsFramer(LIMIT), flipped(message, bit)
        assert whole(fed(framer, [broken + DELTA])) == [broken, DELTA]
        assert not framer.is_lost
        assert parse(broken) is None


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers", "is_lost"),
    [
        (16, 0, False),
        (15, 0, True),
        (0, 0, True),
        (20, 4, False),
        (19, 4, True),
        (16 + MAX_HEADERS, MAX_HEADERS, False),
        (17 + MAX_HEADERS, MAX_HEADERS + 1, True),
        (16 + MAX_PAYLOAD, 0, False),
        (17 + MAX_PAYLOAD, 0, True),
        (16 + MAX_HEADERS + MAX_PAYLOAD, MAX_HEADERS, False),
        (0xFFFFFFFF, 0xFFFFFFFF, True),
    ],
)
def test_lengths_are_believed_within_botocores_limits(total: int, headers: int, is_lost: bool) -> None:
    """MUST. A valid checksum makes no length sane: nobody waits for four gigabytes."""
    framer = AwsFramer(LIMIT)
    assert framer.feed(prelude(total, headers)) == ([(prelude(total, headers), False)] if is_lost else [])
    assert framer.is_lost is is_lost


def header(kind: int, value: bytes, name: bytes = b"n") -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


OF_ALL_TYPES = b"".join(
    [
        header(0, b""),
        header(1, b""),
        header(2, b"\xff"),
        header(3, b"\xff" * 2),
        header(4, b"\xff" * 4),
        header(5, b"\xff" * 8),
        header(6, b"\0\3\xff\xff\xff"),
        header(7, b"\0\3\xe4\xb8\x96", b"text"),
        header(8, b"\xff" * 8),
        header(9, b"\xff" * 16),
        header(6, b"\0\0"),
        header(7, b"\0\0", b"empty"),
    ]
)


def test_values_of_all_types_are_passed_over_and_text_is_kept() -> None:
    """MUST. Boolean, four integers, bytes, text, time and UUID; the names of AWS mean only text."""
    assert parse(aws_message(OF_ALL_TYPES, b"x")) == AwsMessage({"text": "世", "empty": ""}, b"x")


def test_of_headers_of_one_name_the_last_counts() -> None:
    """MAY. AWS sends none twice."""
    assert parse(aws_message(aws_text("a", "1") + aws_text("a", "2"), b"")) == AwsMessage({"a": "2"}, b"")


@pytest.mark.parametrize(
    "headers",
    [
        b"\x05a",
        b"\x01a",
        header(10, b""),
        header(255, b"\0\0"),
        header(2, b""),
        header(9, b"\0" * 15),
        header(6, b""),
        header(7, b"\0"),
        header(7, b"\0\2a"),
        header(7, b"\0\1\xff"),
        header(7, b"\0\1a", b"\xff"),
        OF_ALL_TYPES + b"\0",
    ],
    ids=[
        "name-cut-off",
        "no-type",
        "type-10",
        "type-255",
        "no-value",
        "value-cut-off",
        "no-length",
        "length-cut-off",
        "text-cut-off",
        "text-not-utf-8",
        "name-not-utf-8",
        "one-byte-more",
    ],
)
def test_headers_that_make_no_sense_say_nothing(headers: bytes) -> None:
    """MUST. Even where both checksums are right: then the sender is wrong. Its frame passes like any other."""
    message = aws_message(headers, b"{}")
    assert whole(fed(AwsFramer(LIMIT), [message + DELTA])) == [message, DELTA]
    assert parse(message) is None


@given(headers=st.dictionaries(st.text("a:-", max_size=20), st.text("aZ/", max_size=300)), payload=st.binary())
def test_any_message_is_read_as_it_was_written(headers: dict[str, str], payload: bytes) -> None:
    """MUST. The two sides of the format agree."""
    assert parse(aws_message(headers, payload)) == AwsMessage(headers, payload)


@given(block=st.binary(max_size=40), payload=st.binary(max_size=10))
def test_no_headers_make_the_parser_fall(block: bytes, payload: bytes) -> None:
    """MUST. Nonsense is None, never an exception."""
    said = parse(aws_message(block, payload))
    assert said is None or said.payload == payload


@given(payloads=st.lists(st.binary(max_size=60), max_size=6), cuts=some_cuts)
def test_braces_and_line_feeds_in_messages_end_nothing(payloads: list[bytes], cuts: list[int]) -> None:
    """MUST. Only lengths do."""
    frames = [aws_message({":event-type": "{\n\n"}, payload) for payload in payloads]
    assert whole(fed(AwsFramer(LIMIT), cut(b"".join(frames), cuts))) == frames
