"""Known secrets out of a body, byte for byte, so that sizes and the cuts between pieces stay true.

A secret may be cut in two by a read. So the end of what came before is looked at again with what comes now, and the
beginning of a secret at the end of a piece is masked before anybody knows how it goes on. A beginning shorter than
HIDDEN_FROM stays: that much of a key is its provider's prefix, which is shown anyway.
"""

from collections.abc import Iterable

from proxy.core.redact import Redactor

HIDDEN_FROM = 8
_MASK = b"*"


class Masker:
    """The secrets of a configuration, in every form in which they are looked for."""

    def __init__(self, redactor: Redactor) -> None:
        self.forms: list[bytes] = []
        self.longest = 0
        self.hide(redactor)

    def hide(self, redactor: Redactor) -> None:
        """Looks for these from now on, also in bodies that are under way."""
        self.forms = sorted({form.encode("utf-8", "surrogatepass") for form in redactor.forms}, key=len, reverse=True)
        self.longest = max(map(len, self.forms), default=0)

    def stream(self) -> "MaskedStream":
        """What masks one body."""
        return MaskedStream(self)


class MaskedStream:
    """One body, masked as it grows."""

    __slots__ = ("_masker", "_tail")

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._tail = b""

    def feed(self, data: bytes, kept: bytearray) -> None:
        """Appends `data` to what is kept of the body, masked; what turns out to have begun earlier is masked there."""
        forms, longest = self._masker.forms, self._masker.longest
        start = len(kept)
        kept += data
        if not forms:
            return
        text = self._tail + data
        offset = start - len(self._tail)
        for form in forms:
            at = text.find(form)
            while at >= 0:
                _mask(kept, offset + at, len(form))
                at = text.find(form, at + len(form))
        self._hide_beginning(text, offset, kept)
        self._tail = text[-(longest - 1) :] if longest > 1 else b""

    def _hide_beginning(self, text: bytes, offset: int, kept: bytearray) -> None:
        for form in self._masker.forms:
            # The last place where the first bytes of the secret stand, near enough to the end to be cut by it.
            at = text.find(form[:HIDDEN_FROM], max(0, len(text) - len(form) + 1))
            while at >= 0:
                if form.startswith(text[at:]):
                    _mask(kept, offset + at, len(text) - at)
                    break
                at = text.find(form[:HIDDEN_FROM], at + 1)


def masked(data: bytes, masker: Masker) -> bytes:
    """A whole text, masked."""
    kept = bytearray()
    masker.stream().feed(data, kept)
    return bytes(kept)


def _mask(kept: bytearray, start: int, size: int) -> None:
    """Puts asterisks there, as far as that is still kept."""
    first = max(0, start)
    last = min(start + size, len(kept))
    if last > first:
        kept[first:last] = _MASK * (last - first)


def masker_of(secrets: Iterable[str]) -> tuple[Redactor, Masker]:
    """Both ways to take the same secrets out: of text, and of bytes."""
    redactor = Redactor(secrets)
    return redactor, Masker(redactor)
