"""Where a configuration comes from, so that it can be read once more: a file, options of the command line, or both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.config.load import from_values, load_text, read_text
from proxy.config.model import Config


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, as it was found at one moment. Secrets are references in it, not values.

    `text` is None without a file; `values` are then the whole configuration, else top-level keys that win over it.
    """

    values: dict[str, Any]
    name: str = ""
    text: str | None = None

    def config(self, environ: Mapping[str, str]) -> Config:
        """What it comes to. Errors: ConfigError with everything that is wrong."""
        if self.text is None:
            return from_values(self.values, environ)
        return load_text(self.text, self.name, environ, self.values)


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read: `values` as in `Written`."""

    values: dict[str, Any]
    file: Path | None = None

    def read(self) -> Written:
        """What stands there now. Errors: ConfigError where the file cannot be read."""
        if self.file is None:
            return Written(self.values)
        return Written(self.values, str(self.file), read_text(self.file))
