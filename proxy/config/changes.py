"""What of a changed configuration can be taken while the proxy runs, and what needs a new start."""

from proxy.config.model import Config

# Chosen when the processes are made: who they are, how many, and where they tell of themselves.
FIXED = ("name", "admin", "workers", "inspector", "log")


def fixed_changes(before: Config, after: Config) -> list[str]:
    """The keys that differ and stay as they were until the next start."""
    return [key for key in FIXED if getattr(before, key) != getattr(after, key)]


def taken(before: Config, after: Config) -> Config:
    """What comes into force of `after`."""
    return after.model_copy(update={key: getattr(before, key) for key in FIXED})
