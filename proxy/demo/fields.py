"""The fields of a request's JSON, read with their types checked.

What is wrong is said by name and expected type, never by repeating the value: it can be huge, or no valid UTF-8.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Self

from aiohttp import web

_TYPE_NAMES = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


class Refused(Exception):
    """The request cannot be answered, by the client's fault. `param` is the field at fault, None for the whole body."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status


class Fields:
    """One JSON object of the request. `path` is where it stands, for messages."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path

    @classmethod
    async def read(cls, request: web.Request) -> Self:
        """The request's body as fields. Raises Refused where it is no JSON object or too large."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused("The request body is too large.", status=413) from error
        try:
            values = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused("The request body is not valid JSON.") from error
        if not isinstance(values, dict):
            raise Refused(f"The request body must be an object, not {_type_name(values)}.")
        return cls(values)

    def text(self, name: str, default: str | None = None) -> str:
        """The string `name`. Raises Refused if it is of another type, or missing without a default."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """The boolean `name`. Raises Refused if it is of another type."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, "a boolean")
        return value

    def whole_number(self, name: str, minimum: int) -> int | None:
        """The integer `name`, None if missing. Raises Refused if it is no integer or below `minimum`."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, "an integer")
        if value < minimum:
            raise Refused(f"{self._where(name)} must be at least {minimum}.", self._where(name))
        return value

    def child(self, name: str) -> "Fields":
        """The object `name`, empty if missing. Raises Refused if it is of another type."""
        value = self._values.get(name)
        if value is None:
            return Fields({}, self._where(name))
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return Fields(value, self._where(name))

    def children(self, name: str) -> list["Fields"]:
        """The array of objects `name`. Raises Refused if it is missing, empty or holds anything else."""
        value = self._values.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        if not value:
            raise Refused(f"{self._where(name)} must not be empty.", self._where(name))
        return list(self._objects(name, value))

    def content(self, name: str) -> str:
        """The words of the message content `name`: a string, or the `text` of each part in an array of parts.

        Parts without text (images, tool calls) say nothing here. Missing content is empty, as in a message that
        only calls tools.
        """
        value = self._values.get(name)
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return " ".join(part.text("text", "") for part in self._objects(name, value))
        raise self._wrong(name, "a string or an array of parts")

    def holds_array(self, name: str) -> bool:
        """Whether `name` is an array, for the fields that may be a string or an array."""
        return isinstance(self._values.get(name), list)

    def _objects(self, name: str, values: list[object]) -> Iterator["Fields"]:
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                raise self._wrong(f"{name}[{index}]", "an object", value)
            yield Fields(value, self._where(f"{name}[{index}]"))

    def _where(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _wrong(self, name: str, expected: str, value: object = None) -> Refused:
        found = _type_name(self._values.get(name) if value is None else value)
        return Refused(f"{self._where(name)} must be {expected}, not {found}.", self._where(name))


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "missing")
