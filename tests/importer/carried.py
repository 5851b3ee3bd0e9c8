"""A file is imported by its command, what came out is loaded, and example requests are planned with it."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config.compile import compiled
from proxy.config.load import load_text
from proxy.config.model import Config
from proxy.core.plan import Forward, Refuse, plan
from tests.cli.command import run_once
from tests.core.samples import TRACE, request


@dataclass(frozen=True)
class Carried:
    """What an import made."""

    text: str
    told: str
    config: Config

    def goes_to(self, path: str, *fields: bytes, host: bytes = b"localhost:5173") -> str:
        """Where a request for this path is sent: origin and target; or `refused` or the name of the error."""
        planned = self._planned(path, *fields, host=host)
        if isinstance(planned, Refuse):
            return type(planned.error).__name__
        assert isinstance(planned, Forward)
        return planned.route.upstream.origin.name + planned.head(TRACE).split(b" ")[1].decode()

    def sends(self, path: str, *fields: bytes, host: bytes = b"localhost:5173") -> list[str]:
        """The fields of the request that is sent."""
        planned = self._planned(path, *fields, host=host)
        assert isinstance(planned, Forward)
        return planned.head(TRACE).decode().split("\r\n")[1:]

    def says(self, *parts: str) -> bool:
        """Whether one comment has all of these parts."""
        comments = [line for line in self.text.split("\n") if line.strip().startswith("#")]
        return any(all(part in line for part in parts) for line in comments)

    def _planned(self, path: str, *fields: bytes, host: bytes) -> object:
        (site,) = compiled(self.config).sites
        return plan(site.proxy, request(b"GET %b HTTP/1.1" % path.encode(), *fields, host=host))


def run(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None:
        pytest.skip("node is not installed (apt-get install nodejs)")
    return run_once(folder, "import", *arguments, environ=environ)


def carried(
    folder: Path,
    name: str,
    text: str,
    environ: Mapping[str, str] | None = None,
    load_with: Mapping[str, str] | None = None,
) -> Carried:
    """What becomes of a file of this name, imported in this environment and loaded in the other."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    done = run(folder, name, environ=environ)
    assert done.returncode == 0, done.stderr
    return Carried(done.stdout, done.stderr, load_text(done.stdout, "imported", load_with or {}))
