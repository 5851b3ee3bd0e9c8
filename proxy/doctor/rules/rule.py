"""What a rule is, what it is given and what it finds. Every rule is a pure function of a case."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from proxy.core.redact import is_secret_name, target
from proxy.doctor.observation import Observation
from proxy.doctor.reading import Reading
from proxy.doctor.suspects import Product, products

Severity = Literal["fault", "warning", "note"]
"""A fault keeps the stream from its reader; a warning does so for some readers or some day; a note is worth knowing."""
Where = Literal["unknown", "between", "server"]
"""Who does it, as far as a look at the server itself tells."""


@dataclass(frozen=True, slots=True)
class Case:
    """What there is to judge: the answer through the chain, its preflight, and the server's own, each if asked for."""

    chain: Reading
    preflight: Observation | None = None
    direct: Reading | None = None

    @property
    def seen(self) -> Observation:
        """What was seen through the chain."""
        return self.chain.seen

    @property
    def suspects(self) -> list[Product]:
        """Products that show in the chain's head, without those that show in the server's own."""
        shown = products(self.seen.fields)
        own = {product.name for product in products(self.direct.seen.fields)} if self.direct else set()
        return [product for product in shown if product.name not in own]

    @property
    def suspect_names(self) -> list[str]:
        """Their names."""
        return [product.name for product in self.suspects]

    def who(self) -> tuple[str, ...]:
        """Evidence of who is there; none where no field tells."""
        return tuple(f"{product.name} shows itself: {product.shown_by}" for product in self.suspects)


class Found(NamedTuple):
    """What a rule found: a plain sentence, what shows it, what mends it."""

    says: str
    evidence: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()
    severity: Severity | None = None
    """Where it differs from the rule's own."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong."""

    id: str
    severity: Severity
    title: str
    check: Callable[[Case], Iterator[Found]]
    covers: frozenset[str] = frozenset()
    """Rules that say less of the same: silent where this one found something."""


def moment(seconds: float) -> str:
    """A duration as people say it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def amount(count: int) -> str:
    """A number of bytes as people say it."""
    if count < 1024:
        return f"{count} bytes"
    return f"{count / 1024:.0f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"


def line(name: bytes, value: bytes) -> str:
    """A field as it stood in the head, without its value where that may be a secret."""
    text = name.decode("latin-1")
    if is_secret_name(text):
        return f"{text}: \N{HORIZONTAL ELLIPSIS}"
    shown = value.decode("latin-1")
    return f"{text}: {target(shown) if name.lower().endswith(b'location') else shown}"


def excerpt(data: bytes) -> str:
    """Bytes as text that does nothing to a terminal."""
    return ascii(data.decode("utf-8", "replace")).strip("'\"") if not data.isascii() else repr(data)[2:-1]
