"""Reads a Dockerfile as far as ours goes: instructions, their JSON forms, and the stages they belong to."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = frozenset(
    [
        *("ARG", "FROM", "WORKDIR", "COPY", "RUN", "LABEL", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"),
        *("ENTRYPOINT", "CMD", "VOLUME", "SHELL", "ADD", "ONBUILD"),
    ]
)


@dataclass
class Stage:
    """What stands between two FROM lines."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The arguments of every instruction of that name."""
        return [arguments for known, arguments in self.instructions if known == name]

    def only(self, name: str) -> str:
        """The arguments of the one instruction of that name."""
        (found,) = self.all(name)
        return found

    def words(self, name: str) -> list[str]:
        """The words of the one instruction of that name, which has to be in JSON form: no shell then takes part."""
        return listed(self.only(name))

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for arguments in self.all("ENV") for pair in arguments.split())


def listed(arguments: str) -> list[str]:
    """The JSON list at the end of an instruction. Errors: AssertionError where there is none."""
    match = re.search(r"\[.*\]\Z", arguments)
    assert match, f"not in JSON form: {arguments}"
    words = json.loads(match[0])
    assert all(isinstance(word, str) for word in words)
    return list(words)


def stages(path: Path) -> list[Stage]:
    """The stages of a Dockerfile. Errors: AssertionError for an instruction that does not exist."""
    text = re.sub(r"^#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, (line.strip() for line in text.split("\n"))):
        name, _, arguments = line.partition(" ")
        assert name in KNOWN, line
        if name == "FROM":
            base, _, stage_name = arguments.partition(" AS ")
            found.append(Stage(base, stage_name))
        elif found:
            found[-1].instructions.append((name, re.sub(r"\s+", " ", arguments)))
        else:
            assert name == "ARG", line
    return found
