"""The operator's own header rules, for requests and for responses."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator

from proxy.config.addresses import HeaderValue, RuleName
from proxy.config.presets import CREDENTIAL_FIELDS
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
        "an empty value removes the header. A key belongs in `${NAME}` or `${file:/path}`, here too.",
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

    @field_validator("request")
    @classmethod
    def _no_literal_secret(cls, rules: HeaderRules) -> HeaderRules:
        """A credential is a secret in whatever way it is sent, and is held to the same as `api_key`."""
        for kind, written in (("set", rules.set), ("add", rules.add)):
            for name, values in written.items():
                for index, value in enumerate(values):
                    if value and name.lower().encode("ascii") in CREDENTIAL_FIELDS:
                        _refuse_literal(value, (kind, name, index))
                    if is_secret_name(name):
                        _refuse_open_file(value, (kind, name, index))
        return rules


def _refuse_literal(value: str, at: tuple[str | int, ...]) -> None:
    references = value.references if isinstance(value, Expanded) else ()
    if not references:
        raise wrong(
            "${NAME} or ${file:/path} for the secret",
            found="a literal: secrets do not belong in a configuration file or on a command line",
            at=at,
        )
    if any(reference.default for reference in references):
        raise wrong(
            "${NAME} without a default", found="a default: secrets do not belong in a configuration file", at=at
        )


def _refuse_open_file(value: str, at: tuple[str | int, ...]) -> None:
    for reference in value.references if isinstance(value, Expanded) else ():
        if reference.world_readable:
            raise wrong(
                "a file that only its owner and group can read (chmod o= FILE; in a container mode or defaultMode "
                "0440)",
                found=f"{reference.name} readable by everyone",
                at=at,
            )
