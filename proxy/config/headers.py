"""The operator's own header rules, for requests and for responses."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator

from proxy.config.addresses import HeaderValue, RuleName
from proxy.config.secrets import Expanded, redacted
from proxy.config.section import AlsoAs, Section
from proxy.config.values import wrong
from proxy.core.redact import is_secret_name


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


HeaderValues = Annotated[
    tuple[HeaderValue, ...],
    Field(min_length=1),
    BeforeValidator(_listed),
    AlsoAs({"type": ["string", "integer"]}),
]
"""One header value or a list: one line each."""


def _refuse_twice(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            raise wrong(
                "each header once, whatever its letter case", found=f"{seen[name.lower()]} and {name}", at=(name,)
            )
        seen[name.lower()] = name


class HeaderRules(Section):
    """What is done to the headers of one direction, in the order remove, rename, set, add."""

    place: ClassVar[str] = "routes[].headers.*."

    set: dict[RuleName, HeaderValues] = Field(
        default={},
        description="Headers to set: name to value or list of values. Replaces every line of that name; "
        "an empty value removes the header.",
    )
    add: dict[RuleName, HeaderValues] = Field(
        default={}, description="Header lines to add: name to value or list of values. Lines that are there stay."
    )
    remove: tuple[RuleName, ...] = Field(default=(), description="Headers to remove.")
    rename: dict[RuleName, RuleName] = Field(
        default={}, description="Headers to rename: old name to new name; values stay."
    )

    @field_validator("set", "add", "rename")
    @classmethod
    def _once(cls, rules: dict[str, Any]) -> dict[str, Any]:
        _refuse_twice(rules)
        return rules

    @field_validator("set", "add")
    @classmethod
    def _mask(cls, rules: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """Keeps literal values of headers that usually hold a secret out of what is shown."""
        return {
            name: tuple(
                Expanded(value, redacted(value)) if is_secret_name(name) and not isinstance(value, Expanded) else value
                for value in values
            )
            for name, values in rules.items()
        }


class Headers(Section):
    """Header rules for both directions. They run last and win."""

    place: ClassVar[str] = "routes[].headers."

    request: HeaderRules = Field(default=HeaderRules(), description="Rules for requests, on their way to the upstream.")
    response: HeaderRules = Field(default=HeaderRules(), description="Rules for responses, on their way to the client.")
