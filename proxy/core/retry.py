"""Which requests may be sent a second time. Never after a byte, also of a 1xx, went to the client.

Source: RFC 9110 section 9.2.2.
"""

from proxy.core.errors import ConnectionTerminated, ProxyError

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def may_repeat(error: ProxyError, method: bytes, replayable: bool, told_client: bool) -> bool:
    """Whether a request that failed on a kept connection is sent once more, on a new one.

    `replayable` is whether all of its body is still at hand, `told_client` whether the client has had a byte already.
    A POST may have been acted upon before the connection ended, and is left to the client.
    """
    return isinstance(error, ConnectionTerminated) and method in IDEMPOTENT and replayable and not told_client
