"""Keys that are part of the configuration but not built yet: the table, and the check that refuses them.

A key stands here until its feature lands; then its line goes, and nothing else has to change. Such a key is never
ignored: written with anything but the value that asks for nothing, it is an error.
"""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.config.values import wrong


@dataclass(frozen=True, slots=True)
class NotYet:
    """One key that has not landed.

    `only` is what may be written today, `today` what the proxy does until then, `asks_nothing` tells that value from
    others (without it: the key's default), `later` is the default the key will have, where it differs.
    """

    only: str
    today: str
    asks_nothing: Callable[[object], bool] | None = None
    later: str | None = None

    def __str__(self) -> str:
        only = self.only if " " in self.only else f"`{self.only}`"
        later = f" The default will be `{self.later}`." if self.later else ""
        return f"Not available yet: {self.today}. Only {only} may be written.{later}"


NOT_YET: dict[str, NotYet] = {
    "routes[].stream.on_client_gone": NotYet(
        "cancel or drain", "nobody can come back to a stream", asks_nothing=lambda policy: policy != "keep"
    ),
}


def refuse_unavailable(key: str, value: object, default: object) -> None:
    """Refuses a value that asks for what is not built. Errors: PydanticCustomError, saying what works today."""
    not_yet = NOT_YET.get(key)
    if not_yet is None:
        return
    asks_nothing = not_yet.asks_nothing(value) if not_yet.asks_nothing else value == default
    if not asks_nothing:
        name = key.rpartition("[].")[2]
        raise wrong(f"{not_yet.only} ({name} is not available yet: {not_yet.today})")
