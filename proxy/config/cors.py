"""Which pages of other origins may use a route."""

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from proxy.config.addresses import HeaderName, Origin
from proxy.config.section import Section
from proxy.config.values import Flag, Timeout, wrong

ANYONE = frozenset({"*", "null"})
"""Origins that any page in the world can have; `null` because a sandboxed frame has it."""


class Cors(Section):
    """What browsers are told about other origins. `*` and `null` are for routes that carry no secret."""

    place: ClassVar[str] = "routes[].cors."

    origins: tuple[Origin, ...] = Field(
        min_length=1,
        description="Origins whose pages may call this route: exact ones (scheme://host:port), `http://localhost:*` "
        "for every port of a loopback host, `https://*.example.com` for every name below one that is all yours, `*` "
        "for all, `null`. `*` and `null` are errors together with a secret (`api_key`, a header rule) or "
        "`credentials`.",
    )
    credentials: Flag = Field(
        default=False,
        description="Whether pages may send cookies and other credentials of the browser. Not with `*` or `null`.",
    )
    expose: tuple[HeaderName, ...] = Field(
        default=(),
        description="Response headers that pages may read, besides those an LLM client needs (rate limits, request "
        "ids, Retry-After, Proxy-Status), which are always readable.",
    )
    max_age: Timeout = Field(
        default=600.0,
        description="How long a browser may remember the answer to a preflight. `off`: nothing is said, and the "
        "browser decides.",
    )

    @field_validator("credentials")
    @classmethod
    def _not_for_anyone(cls, credentials: bool, info: ValidationInfo) -> bool:
        if credentials and ANYONE.intersection(info.data.get("origins", ())):
            raise wrong("false while origins has * or null")
        return credentials
