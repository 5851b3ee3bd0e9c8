"""What the documents say holds: links lead somewhere, configurations load, commands have the options they are given."""

import contextlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from proxy.cli import main
from proxy.config.load import load_text
from proxy.config.model import Config
from proxy.core.exchange import Exchange
from proxy.edge.access_log import json_line

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DUMMY_KEY = "sk-0123456789abcdefghij"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
# [text](target "title"), with an image inside or not; <a href="target">, <img src="target">; [name]: target
_LINK = re.compile(
    r"""\]\(<?([^)\s>]+)>?(?:\s+["'][^"']*["'])?\)"""
    r"""|<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]+)\""""
    r"""|^\[[^\]]+\]:\s*(\S+)""",
    re.MULTILINE,
)
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


class AnyName(Mapping[str, str]):
    """An environment in which every name is set, to what looks like a key."""

    def __getitem__(self, name: str) -> str:
        return DUMMY_KEY

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def blocks(text: str, *languages: str) -> list[tuple[int, str]]:
    """Line and text of the fenced blocks in these languages."""
    return [
        (text.count("\n", 0, match.start()) + 2, match["body"])
        for match in _FENCE.finditer(text)
        if match["language"] in languages
    ]


def links(text: str) -> list[str]:
    """What is linked to or shown, code left out."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return [next(filter(None, match.groups())) for match in _LINK.finditer(prose)]


def anchors(text: str) -> set[str]:
    """The names by which headings can be linked to, made as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(document: Path, text: str) -> list[str]:
    """The relative links that lead to no file, or to no heading of one."""
    found = []
    for link in links(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        file = document.parent / path
        is_there = not path or (file.exists() and file.resolve().is_relative_to(ROOT))
        if not is_there or (anchor and anchor not in anchors(file.read_text("utf-8") if path else text)):
            found.append(link)
    return found


def configurations(text: str) -> list[tuple[int, str]]:
    """The YAML blocks that are whole configurations; files they name are taken for variables, as they are not here."""
    whole = [(line, body) for line, body in blocks(text, "yaml") if re.search(r"^routes:", body, re.MULTILINE)]
    return [(line, re.sub(r"\$\{file:[^}]*\}", "${FROM_A_FILE}", body)) for line, body in whole]


def commands(text: str) -> list[tuple[int, list[str]]]:
    """Line and words of every `streamsafe ...` in a shell block, as many as a line has."""
    found = []
    for start, body in blocks(text, "sh", "console", "bash", "shell"):
        for match in re.finditer(r"(?:[^\\\n]|\\.|\\\n)+", body):
            words = shlex.shlex(match[0].replace("\\\n", " "), posix=True, punctuation_chars="|&;()<>")
            words.whitespace_split = True
            line = start + body.count("\n", 0, match.start())
            found += [(line, command) for command in in_line(list(words))]
    return found


def in_line(words: list[str]) -> Iterator[list[str]]:
    """The words after each `streamsafe` or `python -m proxy`, up to a pipe, a redirection or the like."""
    for index, word in enumerate(words):
        is_command = word == "streamsafe" or word.endswith("/streamsafe")
        if is_command or words[max(0, index - 1) : index + 1] == ["-m", "proxy"]:
            rest = words[index + 1 :]
            end = next((at for at, part in enumerate(rest) if part and set(part) <= set("|&;()<>")), len(rest))
            if end and re.fullmatch(r"-?-?[a-z-]+", rest[0]):
                yield rest[:end]


def parse(words: list[str]) -> None:
    """Reads the words as the command would, and runs nothing. Errors: click.UsageError."""
    context = main.make_context("streamsafe", list(words))
    if words[0].startswith("-"):
        return
    name, command, rest = main.resolve_command(context, words)
    assert command is not None
    with contextlib.suppress(click.exceptions.Exit):  # that was --help
        command.make_context(name, rest, parent=context)


@every_document
def test_every_relative_link_and_image_is_there(document: Path) -> None:
    assert broken(document, document.read_text("utf-8")) == []


@every_document
def test_every_configuration_in_a_document_loads(document: Path) -> None:
    for line, text in configurations(document.read_text("utf-8")):
        assert isinstance(load_text(text, f"{document.name}, block at line {line}", AnyName()), Config)


@every_document
def test_every_command_in_a_document_has_only_options_that_exist(document: Path) -> None:
    for line, words in commands(document.read_text("utf-8")):
        try:
            parse(words)
        except click.UsageError as error:
            pytest.fail(f"{document.name}:{line}: {' '.join(words)}: {error.format_message()}")


def test_the_readme_shows_a_configuration_and_every_way_to_serve() -> None:
    """So that the rules above are about something."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert configurations(text)
    assert [words for _, words in commands(text) if words[0] == "serve"]
    assert [link for link in links(text) if not re.match(r"[a-z]+:", link)]


def test_every_dependency_is_named_in_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["dev"], *extras["e2e"]]
    names = [match[0] for entry in listed if (match := _REQUIREMENT.match(entry))]
    readme = (ROOT / "README.md").read_text("utf-8").lower()
    assert len(names) == len(listed)
    assert [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", readme)] == []


def test_a_json_line_of_the_log_has_the_keys_that_lines_have() -> None:
    """In their order, as `docs/logs.md` says."""
    keys = list(json.loads(json_line(Exchange("1", 0.0, 0.0))))
    shown = [
        (document.name, json.loads(line))
        for document in DOCUMENTS
        for line in document.read_text("utf-8").splitlines()
        if line.startswith('{"time":') and '"message":' not in line
    ]
    assert {"README.md", "logs.md"} <= {name for name, _ in shown}
    assert all(list(line) == keys for _, line in shown)


def test_a_broken_link_is_found() -> None:
    text = (
        "# One heading, and `code`\n[a](README.md) [b](missing.md) ![c](docs/none.png 'x') [d](#one-heading-and-code)\n"
        '[e](#other) <img alt="" src="gone.svg"> [f](https://example.com/x) `[g](code.md)`\n\n[h]: lost.md\n'
        "```\n[i](fenced.md)\n```\n[j](README.md#no-such-heading) [![k](inner.png)](outer.md) [l](../outside)\n"
    )
    found = broken(ROOT / "imagined.md", text)
    assert found[:5] == ["missing.md", "docs/none.png", "#other", "gone.svg", "lost.md"]
    assert found[5:] == ["README.md#no-such-heading", "inner.png", "outer.md", "../outside"]


def test_a_wrong_command_is_found_wherever_it_stands() -> None:
    text = """
```console
$ KEY=x streamsafe serve http://a --cors http://b  # why
$ python -m proxy check -c x.yaml | head
$ docker run -v a:b image streamsafe serve \\
    -c /x --wrong
$ cat streamsafe serve.log && .venv/bin/streamsafe schema > x
```
```python
streamsafe serve --no
```
"""
    found = commands(text)
    assert [(line, words[0]) for line, words in found] == [(3, "serve"), (4, "check"), (5, "serve"), (7, "schema")]
    assert found[0][1] == ["serve", "http://a", "--cors", "http://b"]
    assert found[1][1] == ["check", "-c", "x.yaml"]
    parse(found[0][1])
    parse(["serve", "--help"])
    with pytest.raises(click.UsageError, match="--wrong"):
        parse(found[2][1])
    for wrong in (["serve", "http://a", "--log", "xml"], ["srv"], ["--colour", "serve"]):
        with pytest.raises(click.UsageError):
            parse(wrong)
