"""What an error keeps alive beside itself.

Its traceback holds the frames it went through, and who keeps the error is among what these hold: a circle, which only
the collector would free, and which is an exchange with both its connections.
"""


def drop_tracebacks(error: BaseException) -> None:
    """Forgets where an error, and those behind which it was raised, came by."""
    behind: BaseException | None = error
    while behind is not None:
        behind.__traceback__ = None
        behind = behind.__context__
