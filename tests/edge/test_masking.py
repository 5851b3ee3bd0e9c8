"""Every form of a secret is masked whole, as often as it stands there, wherever it is cut in two."""

from proxy.edge.inspector.masking import masked, masker_of

_, MASKER = masker_of(["sk-canary/0123456789+abcdef"])


def test_each_form_is_masked_to_its_last_byte_wherever_it_is_cut_in_two() -> None:
    """The longest one too, of which all but a byte had come before."""
    assert len(MASKER.forms) > 2
    for form in MASKER.forms:
        for at in range(len(form) + 1):
            kept, stream = bytearray(), MASKER.stream()
            stream.feed(b"<" + form[:at], kept)
            stream.feed(form[at:] + b">", kept)
            assert bytes(kept) == b"<" + b"*" * len(form) + b">", (form, at)


def test_it_is_masked_as_often_as_it_stands_in_one_piece() -> None:
    for form in MASKER.forms:
        assert masked(b", ".join([form] * 3), MASKER) == b", ".join([b"*" * len(form)] * 3)
