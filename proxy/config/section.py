"""What all parts of the configuration share: strict keys, no change once loaded, refusal of what is not built."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    WrapSerializer,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

from proxy.config.available import NOT_YET, refuse_unavailable
from proxy.config.values import is_off


class Section(BaseModel):
    """One map of the configuration; `place` is where it stands, with a dot behind it."""

    # hide_input_in_errors: what was written may be a secret in the wrong place.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    place: ClassVar[str] = ""

    @field_validator("*", mode="after")
    @classmethod
    def _available(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        key = field.alias or info.field_name or ""
        refuse_unavailable(cls.place + key, value, field.get_default(call_default_factory=True))
        return value

    @classmethod
    def written_defaults(cls) -> dict[str, Any]:
        """The default of every key that has one, as one would write it in a file."""
        return cls.model_construct().model_dump(mode="json", by_alias=True)

    @classmethod
    def by_key(cls) -> dict[str, FieldInfo]:
        """The fields by the keys that stand for them in a file."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @classmethod
    def description(cls, key: str) -> str:
        """What the documentation says about a key."""
        not_yet = NOT_YET.get(cls.place + key)
        described = cls.by_key()[key].description or ""
        return f"{described} {not_yet}" if not_yet else described


def section_in(annotation: object) -> type[Section] | None:
    """The section in a field's type, however it is wrapped; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(section_in, get_args(annotation))), None)


# Compared by identity, as dicts have no hash and typing wants one.
@dataclass(frozen=True, slots=True, eq=False)
class AlsoAs:
    """Annotation: the JSON Schema allows this schema beside the type's own, for what a before-validator takes."""

    schema: dict[str, Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), self.schema]}


def _none_if_off(value: object) -> object:
    return None if is_off(value) else value


def _off_if_none(value: object, write: SerializerFunctionWrapHandler) -> object:
    return "off" if value is None else write(value)


T = TypeVar("T")

OrOff = Annotated[
    T | None,
    BeforeValidator(_none_if_off),
    WrapSerializer(_off_if_none, when_used="json"),
    AlsoAs({"enum": ["off", False]}),
]
"""A map, or None for off."""
