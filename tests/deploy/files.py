"""Reads what stands in `deploy/`."""

import re
from pathlib import Path
from typing import Any

import yaml

from proxy.config.load import load_text
from proxy.config.model import Config
from tests.test_readme import AnyName

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file that are not empty."""
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def configuration(text: str) -> Config:
    """Loads a configuration; files it names are taken for variables, as they are not here."""
    return load_text(re.sub(r"\$\{file:[^}]*\}", "${FROM_A_FILE}", text), "deployed", AnyName())
