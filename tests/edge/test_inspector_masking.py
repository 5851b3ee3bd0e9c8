"""Secrets in bodies: none is kept, however the pieces are cut, and every other byte stays where it is."""

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.inspector.masking import HIDDEN_FROM, masked, masker_of

SECRET = "sk-canary-0123456789abcdef"
_, MASKER = masker_of([SECRET])


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(st.binary(max_size=40), st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=8))
def test_no_cut_lets_more_than_a_prefix_through(before: bytes, after: bytes, places: list[int]) -> None:
    text = before + SECRET.encode() + after
    kept, stream = bytearray(), MASKER.stream()
    for piece in cut(text, places):
        stream.feed(piece, kept)
        for size in range(HIDDEN_FROM, len(SECRET)):
            assert SECRET.encode()[: size + 1] not in kept, "not even between two pieces"
    assert len(kept) == len(text)
    assert kept[len(before) : len(before) + len(SECRET)] == b"*" * len(SECRET)


@given(st.text(alphabet="abk-s ", max_size=60), st.lists(st.integers(0, 200), max_size=8))
def test_what_is_no_secret_stays(text: str, places: list[int]) -> None:
    kept, stream = bytearray(), MASKER.stream()
    for piece in cut(text.encode(), places):
        stream.feed(piece, kept)
    assert kept == text.encode()


@pytest.mark.parametrize("form", [SECRET.encode(), base64.b64encode(f"user:{SECRET}".encode())])
def test_forms_of_it_are_found_too(form: bytes) -> None:
    shown = masked(b'{"echo": "' + form + b'"}', MASKER)
    assert len(shown) == len(form) + 12
    assert SECRET[-8:].encode() not in base64.b64decode(shown.replace(b"*", b"A") + b"==", validate=False)
    assert b"****" in shown


def test_without_secrets_nothing_is_masked() -> None:
    _, none = masker_of([])
    assert masked(b"sk-anything", none) == b"sk-anything"
