"""Runs Node on a configuration file, in a process of its own with a time limit, and reads what it tells."""

import json
import shutil
import subprocess
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from proxy.importer.draft import NotImported

LIMIT_S = 10.0
_OLDEST = 18


def evaluated(file: Path, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """What the file's configuration says of proxying.

    Errors: NotImported where Node is missing or too old, the file does not end within the limit, or cannot be run.
    """
    node = shutil.which("node")
    if node is None:
        raise NotImported(f"{file}: reading it needs Node {_OLDEST} or later, and there is no `node` here", False)
    with as_file(files("proxy.importer")) as folder, tempfile.TemporaryDirectory() as temporary:
        result = Path(temporary) / "result.json"
        command = [node, str(folder / "evaluate.cjs"), str(file.resolve()), str(result)]
        try:
            done = subprocess.run(
                command,
                cwd=file.resolve().parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotImported(f"{file}: it did not end within {limit_s:g} s when it was run", False) from None
        if not result.exists():
            last = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:200]
            raise NotImported(f"{file}: it ended Node before it gave a configuration{f': {last}' if last else ''}")
        told: dict[str, Any] = json.loads(result.read_text("utf-8"))
    if "error" in told:
        line = f":{told['line']}" if told.get("line") else ""
        raise NotImported(f"{_shown(told.get('file'), file)}{line}: {told['error']}")
    return told


def _shown(where: str | None, file: Path) -> str:
    """A path as the user wrote it, or beside what they wrote."""
    if where is None or Path(where) == file.resolve():
        return str(file)
    try:
        return str(file.parent / Path(where).relative_to(file.resolve().parent))
    except ValueError:
        return where
