"""Who takes what an upstream's connection brings: the body of an answer, or everything behind a 101."""

from typing import Protocol

from proxy.core.errors import ProxyError


class Straight(Protocol):
    """Who may take a chunk past the parser."""

    def receive_lone(self, read: bytes) -> bool:
        """A read that begins where a chunk does, never the first of a body.

        Returns whether it was one whole chunk and was taken, and its moment noted; else the parser has to read it.
        """


class Receiver(Straight, Protocol):
    """Who gets the body. Called from the event loop's read callback: must not block, and may pause the connection."""

    def receive(self, data: bytes, last: bool) -> None:
        """What one read brought, possibly empty when `last`."""

    def failed(self, error: ProxyError) -> None:
        """The body will not be complete; nothing follows."""


class Raw(Protocol):
    """Who gets everything behind a 101, and is told how the upstream takes what is sent to it."""

    def upstream_sent(self, data: bytes) -> None:
        """What one read brought."""

    def upstream_ended(self) -> bool:
        """The upstream sends no more; returns whether it may still be sent to."""

    def upstream_lost(self) -> None:
        """The connection is gone."""

    def upstream_full(self) -> None:
        """The upstream takes bytes more slowly than they arrive."""

    def upstream_ready(self) -> None:
        """The upstream has caught up."""
