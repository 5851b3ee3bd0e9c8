"""Domain and Path of the cookies that an upstream sets, as a route changes them; nothing else of a cookie is touched.

Source: RFC 6265 sections 4.1 and 5.2, for `__Host-` its successor's section 4.1.3.
"""

from dataclasses import dataclass, field

from proxy.core.message import Field


@dataclass(frozen=True, slots=True)
class Cookies:
    """What becomes of which value; an empty new domain removes the attribute, which makes a cookie the host's own.

    Keys are compared as a whole: domains in lower case and without a leading dot, paths as they are.
    """

    domain: dict[bytes, bytes] = field(default_factory=dict)
    path: dict[bytes, bytes] = field(default_factory=dict)

    def apply(self, fields: list[Field]) -> list[Field]:
        """The fields with every Set-Cookie line changed on its own."""
        return [
            (key, name, self._changed(value)) if key == b"set-cookie" else (key, name, value)
            for key, name, value in fields
        ]

    def _changed(self, cookie: bytes) -> bytes:
        pair, *attributes = cookie.split(b";")
        hosts_own = pair.lstrip(b" \t").startswith(b"__Host-")  # it must have no Domain and the path `/`
        if hosts_own or not attributes:
            return cookie
        changed = [self._attribute(attribute) for attribute in attributes]
        return b";".join([pair, *(attribute for attribute in changed if attribute is not None)])

    def _attribute(self, attribute: bytes) -> bytes | None:
        name, mark, value = attribute.partition(b"=")
        told = value.strip(b" \t")
        match name.strip(b" \t").lower():
            case b"domain":
                new = self.domain.get(told.lower().removeprefix(b"."))
            case b"path":
                new = self.path.get(told)
            case _:
                return attribute
        if new is None:
            return attribute
        return name + mark + new if new else None
