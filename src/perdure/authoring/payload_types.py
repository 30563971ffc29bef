"""What a declared type says about its values in JSON, found out once when the type is prepared.

Promise: a type whose values could not come back as they were is refused here, at the definition, with the reason;
what passes is described by `TypeTraits`, so that encoding looks only for the dangers that the type can hold.
"""

import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import PurePath

import msgspec
from msgspec import inspect as shapes

from perdure.authoring.pydantic_models import is_model_class

__all__ = ["TypeTraits", "UnsupportedTypeError", "describe_type", "merge_traits", "type_name"]

_WIDENED: dict[type, tuple[type, ...]] = {
    float: (float, int),
    bytes: (bytes, bytearray, memoryview),
}
"""Classes that Python's typing rules let pass for another one."""

_KEY_SHAPES = (
    shapes.AnyType,
    shapes.StrType,
    shapes.IntType,
    shapes.FloatType,
    shapes.EnumType,
    shapes.LiteralType,
    shapes.DateTimeType,
    shapes.DateType,
    shapes.TimeType,
    shapes.TimeDeltaType,
    shapes.UUIDType,
    shapes.DecimalType,
    shapes.BytesType,
)
"""Types of which msgspec writes a mapping's key as text and reads it back."""


class UnsupportedTypeError(TypeError):
    """Values of a type cannot be recorded. The text is the reason; callers add who declared it."""


class TypeTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be looked at when a value of a type is encoded.

    `classes`: the value is an instance of one of them. `is_irregular`: it may hold sets, points in time or anything
    at all, and has to be walked first. `has_floats`: it may hold floats, which JSON cannot write when they are not
    finite. `is_unbounded`: its nesting has no limit by its type.
    """

    classes: tuple[type, ...]
    is_irregular: bool
    has_floats: bool
    is_unbounded: bool


def describe_type(declared: object) -> TypeTraits:
    """Describe `declared`, a class or any typing construct.

    Raises UnsupportedTypeError when its values would not survive JSON, NameError when it names a class that is not
    defined (yet).
    """
    try:
        msgspec.json.Decoder(declared)  # knows which unions JSON cannot tell apart; the inspection does not
        shape = shapes.type_info(declared)
    except TypeError as error:
        raise UnsupportedTypeError(_plain_reason(str(error))) from error
    findings = _Findings()
    findings.visit(shape)
    return TypeTraits(
        classes=_classes(declared),
        is_irregular=findings.is_irregular,
        has_floats=findings.has_floats,
        is_unbounded=findings.is_unbounded,
    )


def merge_traits(parts: Iterable[TypeTraits]) -> TypeTraits:
    """Describe a tuple of values whose types have these traits."""
    known = tuple(parts)
    return TypeTraits(
        classes=(tuple,),
        is_irregular=any(part.is_irregular for part in known),
        has_floats=any(part.has_floats for part in known),
        is_unbounded=any(part.is_unbounded for part in known),
    )


def type_name(declared: object) -> str:
    """Name a class or typing construct as its author writes it.

    >>> type_name(int), type_name(None), type_name(dict[str, float | None])
    ('int', 'None', 'dict[str, float | None]')
    """
    if declared is None or declared is type(None):
        return "None"
    if declared is ...:
        return "..."
    origin = typing.get_origin(declared)
    if origin is typing.Annotated:
        return type_name(typing.get_args(declared)[0])
    if origin is typing.Union or origin is types.UnionType:
        return " | ".join(type_name(member) for member in typing.get_args(declared))
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(value) for value in typing.get_args(declared))}]"
    name: str = getattr(declared, "__name__", None) or str(declared).removeprefix("typing.")
    arguments = typing.get_args(declared) if origin is not None else ()
    return f"{name}[{', '.join(type_name(argument) for argument in arguments)}]" if arguments else name


class _Findings:
    """Collects the traits of a shape and of everything inside it."""

    def __init__(self) -> None:
        self.is_irregular = False
        self.has_floats = False
        self.is_unbounded = False
        self._entered: set[object] = set()
        self._left: set[object] = set()

    def visit(self, shape: shapes.Type) -> None:
        """Take in one shape; raises UnsupportedTypeError."""
        match shape:
            case shapes.AnyType() | shapes.RawType():
                self._expect_anything()
            case shapes.CustomType():
                self._visit_class(shape.cls)
            case shapes.FloatType():
                self.has_floats = True
            case shapes.DateTimeType() | shapes.TimeType():
                self.is_irregular = True
            case shapes.SetType() | shapes.FrozenSetType():
                self.is_irregular = True
                self.visit(shape.item_type)
            case shapes.CollectionType():
                self.visit(shape.item_type)
            case shapes.TupleType() as group:
                self._visit_all(group.item_types)
            case shapes.UnionType() as union:
                self._visit_all(union.types)
            case shapes.DictType():
                self._visit_key(shape.key_type)
                self.visit(shape.value_type)
            case shapes.Metadata():
                self.visit(shape.type)
            case shapes.StructType() | shapes.DataclassType() | shapes.TypedDictType() | shapes.NamedTupleType():
                self._visit_fields(shape.cls, shape.fields)
            case _:
                pass  # a scalar that JSON holds as it is

    def _visit_all(self, members: Sequence[shapes.Type]) -> None:
        for member in members:
            self.visit(member)

    def _visit_fields(self, owner: object, fields: Sequence[shapes.Field]) -> None:
        if owner in self._entered:
            self.is_unbounded = self.is_unbounded or owner not in self._left
            return
        self._entered.add(owner)
        for field in fields:
            self.visit(field.type)
        self._left.add(owner)

    def _visit_key(self, key: shapes.Type) -> None:
        if not isinstance(key, _KEY_SHAPES):
            text = "a mapping's keys must be of one type out of "
            raise UnsupportedTypeError(
                text + "str, int, float, an enum, date, datetime, time, timedelta, UUID, Decimal and bytes"
            )
        # JSON writes keys as text, where a float may be `nan` unseen.
        self.is_irregular = self.is_irregular or isinstance(key, shapes.FloatType | shapes.AnyType)
        self.visit(key)

    def _visit_class(self, cls: type) -> None:
        if cls is object or is_model_class(cls):
            self._expect_anything()
        elif not issubclass(cls, PurePath):
            raise UnsupportedTypeError(
                f"{cls.__name__} has no JSON form; use a dataclass, msgspec.Struct, TypedDict, pydantic model, "
                "enum, list, dict, set, tuple or a scalar"
            )

    def _expect_anything(self) -> None:
        self.is_irregular = self.has_floats = self.is_unbounded = True


def _plain_reason(text: str) -> str:
    reason = text.partition(" - type ")[0].replace("`", "")
    reason = reason[:1].lower() + reason[1:]
    if "unions" in reason:
        return f"{reason}; use one type, or msgspec.Struct classes with tag=True"
    return reason


def _classes(declared: object) -> tuple[type, ...]:
    """List the classes whose instances may stand for `declared`; `object` where any may."""
    if declared is None:
        return (types.NoneType,)
    if declared is typing.Any:  # a class since Python 3.11, but one that refuses isinstance
        return (object,)
    if isinstance(declared, typing.NewType):
        return _classes(declared.__supertype__)
    origin = typing.get_origin(declared)
    if origin is typing.Annotated:
        return _classes(typing.get_args(declared)[0])
    if origin is typing.Union or origin is types.UnionType:
        return tuple(cls for member in typing.get_args(declared) for cls in _classes(member))
    if isinstance(origin, type):
        return (origin,)
    if typing.is_typeddict(declared):
        return (dict,)
    if isinstance(declared, type):
        return _WIDENED.get(declared, (declared,))
    alias_target = getattr(declared, "__value__", None)  # `type X = ...` of Python 3.12
    return (object,) if alias_target is None else _classes(alias_target)
