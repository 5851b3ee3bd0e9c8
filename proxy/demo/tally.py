"""How many answers are being generated, and how the others ended: what shows that the model stops with its client."""

from collections.abc import Iterator
from contextlib import contextmanager


class Tally:
    """Counts of generations since the start. `cancelled` ended before their last token, whoever broke them off."""

    def __init__(self) -> None:
        self.generating = 0
        self.cancelled = 0
        self.completed = 0

    @contextmanager
    def generation(self) -> Iterator[None]:
        """Counts the block as one generation: completed if it ends, cancelled if it raises."""
        self.generating += 1
        try:
            yield
        except BaseException:  # a cancelled task too; it is counted and goes on its way
            self.cancelled += 1
            raise
        else:
            self.completed += 1
        finally:
            self.generating -= 1

    def state(self) -> dict[str, int]:
        """The counts by name."""
        return {"generating": self.generating, "cancelled": self.cancelled, "completed": self.completed}
