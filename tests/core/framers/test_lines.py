"""Rules of lines of JSON."""

import pytest

from proxy.core.framers.lines import LineFramer
from tests.core.framers import LIMIT, bytewise, fed

CASES: dict[str, tuple[list[bytes], bytes]] = {
    "lf": ([b'{"a":1}\n', b'{"b":2}\n'], b""),
    "crlf": ([b'{"a":1}\r\n', b'{"b":2}\r\n'], b""),
    "a-lone-cr-ends-nothing": ([b'{"a":1}\r{"b":2}\n'], b""),
    "empty-lines": ([b"\n", b"\r\n", b"\n"], b""),
    "other-ends-of-lines": (['{"a":"\u2028\u2029\u0085\v\f"}\n'.encode()], b""),
    "records-of-rfc-7464": ([b'\x1e{"a":1}\n', b'\x1e{"b":\n', b"2}\n"], b""),
    "the-last-without-lf": ([b'{"a":1}\n'], b'{"b":2}'),
    "an-escaped-lf-is-none": ([b'{"a":"\\n"}\n'], b""),
    "nothing": ([], b""),
}


@pytest.mark.parametrize(("frames", "tail"), CASES.values(), ids=CASES)
def test_a_frame_is_a_line_with_its_lf(frames: list[bytes], tail: bytes) -> None:
    """MUST. RFC 7464 section 2.2, NDJSON: LF ends a line, and nothing else does."""
    expected = [(frame, True) for frame in frames] + ([(tail, False)] if tail else [])
    stream = b"".join(frames) + tail
    assert fed(LineFramer(LIMIT), [stream]) == expected
    assert fed(LineFramer(LIMIT), bytewise(stream)) == expected
