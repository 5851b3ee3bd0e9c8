"""Values that must not be shown, and the form in which they are.

`Secret` holds a key and gives it out only when asked by name. `Expanded` is text in which `${...}` was replaced: it is
a str like any other, but its repr and what `check --print` shows keep the secret parts back. Nothing here may write a
value out.
"""

from dataclasses import dataclass

from proxy.core.redact import ELLIPSIS, is_secret_name, redacted

__all__ = ["ELLIPSIS", "Expanded", "Reference", "Secret", "is_secret_name", "redacted", "shown"]


class Secret:
    """A secret; equal to another by value, shown redacted everywhere but in `reveal`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the code that puts it on the wire."""
        return self._value

    def __str__(self) -> str:
        return redacted(self._value)

    def __repr__(self) -> str:
        return f"Secret({redacted(self._value)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${...}` and what it stood for. `default` is None if none was given; `world_readable` is about the file."""

    text: str
    name: str
    is_file: bool
    default: str | None
    value: str
    world_readable: bool = False

    def __repr__(self) -> str:
        return f"Reference({self.text!r})"

    @property
    def is_secret(self) -> bool:
        """Whether the value is kept back wherever it stands: it came from a file, or its name says so."""
        return self.is_file or is_secret_name(self.name)


class Expanded(str):
    """Text in which references were replaced: the full text as a str, `shown` for everyone's eyes.

    `source` is what was written. `references` are in their order, empty for a literal that is masked by its field's
    name.
    """

    __slots__ = ("references", "shown", "source")
    shown: str
    source: str
    references: tuple[Reference, ...]

    def __new__(
        cls, text: str, shown: str = ELLIPSIS, source: str = "", references: tuple[Reference, ...] = ()
    ) -> "Expanded":
        """The full text first; without `shown` nothing of it is shown."""
        self = super().__new__(cls, text)
        self.shown = shown
        self.source = source
        self.references = references
        return self

    def __repr__(self) -> str:
        return repr(self.shown)


def shown(text: str) -> str:
    """The text as it may be shown."""
    return text.shown if isinstance(text, Expanded) else text
