"""What docs/limits.md says, as the fuzzer has to know it."""

from .reading import Message


def ends_early(messages: list[Message]) -> bool:
    """Whether the connection may end before the last of these requests: behind a chunked body or an upgrade."""
    return any(message.all(b"transfer-encoding") or message.all(b"upgrade") for message in messages[:-1])


def has_closing_interim(messages: list[Message]) -> bool:
    """A 1xx that says close or comes in HTTP/1.0: llhttp then takes what follows for a fault."""
    return any(message.is_last for message in messages[:-1])
