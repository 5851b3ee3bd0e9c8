"""What an error keeps alive beside itself."""


def shed_frames(error: BaseException) -> None:
    """Forgets where an error, and those behind which it was raised, came by.

    The frames hold what is over, and who keeps the error is among it: a circle, which only the collector would free.
    """
    behind: BaseException | None = error
    while behind is not None:
        behind.__traceback__ = None
        behind = behind.__context__
