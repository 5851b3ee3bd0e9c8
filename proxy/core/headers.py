"""Which fields stop here, and the rules an operator may add.

Order matters and is kept by `plan`: strip first, then our own fields, then the operator's rules, so that a client
cannot delete what we add by naming it in Connection.
Source: RFC 9110 section 7.6.1; CVE-2021-33197 and CVE-2024-45410 for what goes wrong otherwise.
"""

from dataclasses import dataclass

from proxy.core.message import Field, Fields, RequestHead, members, values

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
# Generated for each side, so that naming them in Connection neither removes nor alters them.
FRAMING = frozenset({b"host", b"content-length"})
# httpoxy: CGI back ends turn it into HTTP_PROXY.
REQUEST_DROPPED = HOP_BY_HOP | {b"proxy"}
# Alt-Svc would lead the client around us; the X-Accel commands and X-Sendfile are orders to a proxy in front of us.
RESPONSE_DROPPED = HOP_BY_HOP | {
    b"alt-svc",
    b"x-accel-redirect",
    b"x-accel-charset",
    b"x-accel-expires",
    b"x-accel-limit-rate",
    b"x-sendfile",
}


# What has to be known before the body, or steers the connection, the cache or the login: RFC 9110 section 6.5.1.
TRAILERS_DROPPED = frozenset(
    {
        *RESPONSE_DROPPED,
        *FRAMING,
        *(b"content-encoding", b"content-type", b"content-range", b"content-location"),
        *(b"authorization", b"www-authenticate", b"authentication-info", b"proxy-authentication-info"),
        *(b"cookie", b"set-cookie", b"location", b"max-forwards", b"expect", b"range"),
        *(b"cache-control", b"expires", b"age", b"date", b"vary", b"retry-after", b"pragma"),
    }
)


def end_to_end(fields: Fields, dropped: frozenset[bytes], names: frozenset[bytes]) -> list[Field]:
    """The fields that travel on: neither in `dropped` nor named by any Connection line, in their order.

    `names` are the lower-case names that occur.
    """
    if dropped.isdisjoint(names):
        return list(fields)
    if b"connection" in names:
        dropped = dropped.union(set(members(values(fields, b"connection"))) - FRAMING)
    return [entry for entry in fields if entry[0] not in dropped]


def accepts_trailers(request: RequestHead) -> bool:
    """Whether TE holds `trailers`, in any position. Source: RFC 9110 section 10.1.4."""
    return b"te" in request.names and b"trailers" in members(request.values(b"te"))


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator wants changed; applied in the order remove, rename, set, add.

    `set` replaces every line of its name, and may give several; an empty value removes the field.
    """

    remove: frozenset[bytes] = frozenset()
    rename: tuple[tuple[bytes, bytes], ...] = ()
    set: tuple[Field, ...] = ()
    add: tuple[Field, ...] = ()

    def apply(self, fields: list[Field]) -> list[Field]:
        """The fields after the rules; the list given is left alone."""
        if self.remove:
            fields = [entry for entry in fields if entry[0] not in self.remove]
        for old, new in self.rename:
            fields = [(new.lower(), new, value) if key == old else (key, name, value) for key, name, value in fields]
        if self.set:
            names = {entry[0] for entry in self.set}
            fields = [entry for entry in fields if entry[0] not in names]
        return [*fields, *(entry for entry in (*self.set, *self.add) if entry[2])]


NO_RULES = Rules()


def replace(fields: list[Field], new: Field) -> list[Field]:
    """The fields with `new` instead of every line of its name: in the place of the first, or at the end."""
    result: list[Field] = []
    placed = False
    for entry in fields:
        if entry[0] != new[0]:
            result.append(entry)
        elif not placed:
            result.append(new)
            placed = True
    if not placed:
        result.append(new)
    return result
