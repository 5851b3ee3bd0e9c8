"""YAML text -> plain values, each with its line and column.

PyYAML parses; the values are made here, because its own constructors forget where they were. Only null, booleans,
numbers and text exist; keys are always text, so that YAML 1.1 does not turn the key `on` into true. Aliases and merge
keys work, and are bounded: what they expand to is counted.
"""

import re

import yaml

from proxy.config.messages import ConfigError, Document, Mark, Message, Place, quoted, write_place

_MOST_VALUES = 100_000
_DEEPEST = 32
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(
    _TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "value", "merge", "seq", "map")
)
_TRUE = frozenset({"yes", "true", "on"})
_SURROGATE = re.compile("[\ud800-\udfff]")

Pair = tuple[yaml.Node, yaml.Node, bool]
"""A key, its value, and whether both came through a merge key."""


class _TooMuch(Exception):
    """The text expands to more, or nests deeper, than any configuration; raised with what to say."""


def read(text: str, file: str) -> Document:
    """The document in a YAML text. Errors: ConfigError, for all repeated keys or for the first fault of syntax."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        raise _syntax_error(file, text, error.position, f"expected text, found U+{_code(error):04X}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _syntax_error(file, text, mark.index if mark else 0, _problem(error)) from None
    except RecursionError:
        raise ConfigError([Message(file, 1, 1, "", f"expected at most {_DEEPEST} levels, found more")]) from None
    except (ValueError, OverflowError):
        # PyYAML lets the escape of a character that does not exist through.
        raise _syntax_error(file, text, 0, "expected valid YAML, found an escape that is no character") from None
    if node is None:
        raise ConfigError([Message(file, 1, 1, "", "expected a configuration, found nothing")])
    reader = _Reader(file)
    try:
        value = reader.value(node, ())
    except _TooMuch as error:
        raise ConfigError([Message(file, 1, 1, "", str(error))]) from None
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(value, reader.marks, reader.keys)


def _code(error: yaml.reader.ReaderError) -> int:
    return ord(error.character) if isinstance(error.character, str) else int(error.character)


# The mistakes of every day, in words of everyday; PyYAML tells them from its grammar's point of view.
_SAID = {
    "found '<block mapping start>'": "expected this line to begin in the same column as those it belongs with",
    "found character '\\t'": "expected blanks for indentation, found a tab",
    "mapping values are not allowed here": "expected one `key: value` a line, with a blank after the colon",
    "expected alphabetic or numeric character": 'expected quotes around a value that begins with * or &, as in "*"',
}


def _problem(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words in our form, without the names it quotes, which may be a secret in the wrong place."""
    problem = error.problem or error.context or "something else"
    if isinstance(error, yaml.composer.ComposerError) or "tag handle" in problem:
        problem = re.sub(r" ?'.*", "", problem, flags=re.DOTALL).partition(";")[0]
    problem = " ".join(problem.split())
    for jargon, said in _SAID.items():
        if jargon in problem:
            return said
    if problem.startswith("but found "):
        return f"{error.context}, {problem.removeprefix('but ')}"
    if match := re.fullmatch(r"expected (.*), but (?:got|found) (.*)", problem):
        return f"expected {match[1]}, found {match[2]}"
    if problem.startswith("found "):
        return f"expected valid YAML, {problem}"
    return f"expected valid YAML: {problem}"


def _syntax_error(file: str, text: str, index: int, problem: str) -> ConfigError:
    before = text[:index]
    line = before.count("\n") + 1
    column = index - (before.rfind("\n") + 1) + 1
    return ConfigError([Message(file, line, column, "", problem)])


def _scalar(node: yaml.ScalarNode) -> object:
    """The value of a scalar: what looks like a number in YAML 1.1 only (a time, an octal) is text."""
    tag, text = node.tag, node.value
    if tag == _TAG + "null":
        return None
    if tag == _TAG + "bool":
        return text.lower() in _TRUE
    try:
        if tag == _TAG + "int":
            return int(text.replace("_", ""), 0) if len(text) < 100 else text
        if tag == _TAG + "float":
            return float(text.replace("_", ""))
    except ValueError:
        pass
    return text


class _Reader:
    """Makes values of nodes, noting where each is. One document per reader."""

    def __init__(self, file: str) -> None:
        self.marks: dict[Place, Mark] = {}
        self.keys: dict[Place, Mark] = {}
        self.problems: list[Message] = []
        self._file = file
        self._count = 0
        self._names: dict[str, object] = {}

    def value(self, node: yaml.Node, place: Place) -> object:
        """The value of a node, and of all below it. Errors: _TooMuch."""
        self._count_one(len(place))
        self.marks[place] = self._mark(node)
        if node.tag not in _KNOWN_TAGS:
            self._note(node, place, "expected a plain value, found a YAML tag")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._map(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(entry, (*place, index)) for index, entry in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        value = _scalar(node)
        if isinstance(value, str) and _SURROGATE.search(value):
            self._note(node, place, "expected text, found half of a surrogate pair")
        bare = not isinstance(value, str) and node.value
        written = quoted(node.value)[1:-1] if bare else quoted(value)
        self.marks[place] = self._mark(node, written)
        return value

    def _map(self, node: yaml.MappingNode, place: Place) -> dict[str, object]:
        result: dict[str, object] = {}
        own: dict[str, yaml.Node] = {}
        for key_node, value_node, merged in self._pairs(node, place, 0):
            if not isinstance(key_node, yaml.ScalarNode) or _SURROGATE.search(key_node.value):
                self._note(key_node, place, "expected a plain key, found something else")
                continue
            key = key_node.value
            if key in own:
                # A merged key gives way to the map's own, and to one merged before it.
                if not merged:
                    first = own[key].start_mark
                    seen = f"the same key in line {first.line + 1}, column {first.column + 1}"
                    self._note(key_node, (*place, key), f"expected each key once, found {seen}")
                continue
            own[key] = key_node
            self.keys[(*place, key)] = self._mark(key_node)
            result[key] = self.value(value_node, (*place, key))
        return result

    def _pairs(self, node: yaml.MappingNode, place: Place, depth: int) -> list[Pair]:
        """A map's own keys and values, then those of its merge keys in order. Errors: _TooMuch."""
        self._count_one(len(place) + depth)
        own: list[Pair] = []
        merged: list[Pair] = []
        for key, value in node.value:
            if key.tag != _TAG + "merge":
                own.append((key, value, depth > 0))
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    inherited = self._pairs(source, place, depth + 1)
                    # Counted by what is copied: a wide map merged many times is as big as a deep one.
                    self._count += len(inherited)
                    merged += [(key, value, True) for key, value, _ in inherited]
                else:
                    self._note(source, place, "expected a map to merge, found something else")
        return own + merged

    def _count_one(self, depth: int) -> None:
        self._count += 1
        if self._count > _MOST_VALUES:
            raise _TooMuch(f"expected at most {_MOST_VALUES} values, found more (aliases are counted each time)")
        if depth > _DEEPEST:
            raise _TooMuch(f"expected at most {_DEEPEST} levels, found more")

    def _mark(self, node: yaml.Node, written: str | None = None) -> Mark:
        return Mark(self._file, node.start_mark.line + 1, node.start_mark.column + 1, written)

    def _note(self, node: yaml.Node, place: Place, text: str) -> None:
        mark = self._mark(node)
        self.problems.append(Message(mark.file, mark.line, mark.column, write_place(place, None), text))


def of_values(values: object, origin: str) -> Document:
    """The document of values that did not come from a text: its marks say only where from and what."""
    marks: dict[Place, Mark] = {}

    def walk(value: object, place: Place) -> object:
        if isinstance(value, dict):
            marks[place] = Mark(origin)
            return {str(key): walk(entry, (*place, str(key))) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            marks[place] = Mark(origin)
            return [walk(entry, (*place, index)) for index, entry in enumerate(value)]
        marks[place] = Mark(origin, written=quoted(value))
        return value

    return Document(walk(values, ()), marks)
