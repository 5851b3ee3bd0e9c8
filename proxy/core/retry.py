"""Which requests may be sent a second time. Never after a byte, also of a 1xx, went to the client.

Source: RFC 9110 section 9.2.2, RFC 9112 section 9.3.1.
"""

from proxy.core.errors import ConnectionTerminated, ProxyError

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def may_repeat(error: ProxyError, method: bytes, replayable: bool, told_client: bool, unread: bool) -> bool:
    """Whether a request that failed on a kept connection is sent once more, on a new one.

    `replayable` is whether all of its body is still at hand, `told_client` whether the client has had a byte already,
    `unread` whether the upstream's own TCP provably took no byte of it. A POST may have been acted upon otherwise, and
    is left to the client.
    """
    repeatable = unread or method in IDEMPOTENT
    return isinstance(error, ConnectionTerminated) and repeatable and replayable and not told_client
