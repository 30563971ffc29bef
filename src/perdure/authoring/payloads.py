"""Values at the boundary: typed Python on one side, JSON bytes that the kernel carries unseen on the other.

**Promise.** What is encoded comes back equal when it is decoded by the same type, or it is refused where it was given,
with an error that names the place: ``charge(): argument 'order' -> $.total: expected int, got str``. The same value
gives the same bytes in every process. Nothing is ever pickled, and no class is looked up by a name found in data:
what to build is told by the declared type alone.

**Types.** Scalars (bool, int of up to 4,300 digits, float, str, bytes as base64, None), date, datetime, time,
timedelta, Decimal, UUID, paths, enums and Literals of str or int, list, tuple, set, frozenset, dict with keys of one
scalar type, dataclasses, msgspec Structs, attrs classes, TypedDicts, NamedTuples, pydantic models when pydantic is
loaded, optional values, and unions that JSON can tell apart. A datetime stays naive or aware, and keeps its offset.
Where no type is declared (or `Any`, `object`), a value comes back as the builtins of its JSON: tuples and sets as
lists, keys as str, datetimes as text.

**How.** Encoding writes the JSON, then reads it by the type. Reading is the whole check of types, and cheap: msgspec
takes 0.13 µs to write and 0.19 µs to read one small argument. The class of the outermost value is compared as well,
so that a dict is not taken for an Order. `payload_types` finds out once per type which of the slower looks of
`payload_values` it needs.

**Limits.** A payload has at most `MAXIMUM_PAYLOAD_BYTES` bytes and `MAXIMUM_PAYLOAD_DEPTH` nested containers. A field
declared with a base class records what the base class declares. Deeper than the outermost value, a text in the right
form passes for a datetime, UUID, Decimal or enum, and comes back as one. A datetime's `fold` is not recorded.

**Rejected.** Checking by `isinstance` only and leaving the fields to the reader: the error would appear in another
process, after the value was recorded. msgspec's own ordering of sets: it fails on sets of enums and on mappings with
keys other than str, and sorts the keys of every dict.
"""

import re
import types
from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, overload

import msgspec

from perdure.authoring.payload_limit import payload_limit
from perdure.authoring.payload_types import (
    TypeTraits,
    UnsupportedTypeError,
    describe_type,
    merge_traits,
    type_name,
)
from perdure.authoring.payload_values import (
    NO_JSON_FORM,
    IrregularValueError,
    encode_json,
    find_fault,
    make_regular,
    read_foreign,
)
from perdure.authoring.pydantic_models import ModelMisfitError
from perdure.configuration import MAXIMUM_PAYLOAD_BYTES, MAXIMUM_PAYLOAD_DEPTH
from perdure.errors import PayloadDecodeError, PayloadError, PayloadTooLargeError
from perdure.kernel.payload import Payload

__all__ = [
    "MAXIMUM_PAYLOAD_BYTES",
    "MAXIMUM_PAYLOAD_DEPTH",
    "MisfitError",
    "ValueType",
    "check_size",
    "decode_value",
    "describe_misfit",
    "encode_value",
    "locate",
    "prepare_type",
    "require_size",
]

T = TypeVar("T")

_TYPES_KEPT: Final = 512
"""How many prepared types `encode_value` and `decode_value` remember."""


def encode_value(
    value: object,
    declared: object = Any,
    *,
    subject: str = "value",
    maximum_bytes: int | None = None,
) -> Payload:
    """Encode one value of a declared type: a signal's body, a state entry, heartbeat details, a side effect.

    `subject` begins the message of an error, such as ``signal 'review'``. Raises PayloadError when the value does not
    fit the type or cannot be recorded, PayloadTooLargeError beyond the limits.

    >>> bytes(encode_value({3, 1}, set[int]))
    b'[1,3]'
    """
    return prepare_type(declared, subject=subject).encode(value, subject=subject, maximum_bytes=maximum_bytes)


@overload
def decode_value(payload: Payload, declared: type[T], *, subject: str = ...) -> T: ...
@overload
def decode_value(payload: Payload, declared: object = ..., *, subject: str = ...) -> Any: ...  # noqa: ANN401 - what `declared` says
def decode_value(payload: Payload, declared: object = Any, *, subject: str = "value") -> Any:
    """Decode a recorded value as the declared type. Raises PayloadDecodeError when it does not fit (any more).

    >>> decode_value(Payload(b'[1,3]'), frozenset[int])
    frozenset({1, 3})
    """
    return prepare_type(declared, subject=subject).decode(payload, subject=subject)


def prepare_type(declared: object, *, subject: str) -> "ValueType":
    """Give the prepared form of a declared type, made at most once for the types in use.

    Raises PayloadError when its values cannot be recorded.
    """
    try:
        try:
            return _prepare(declared)
        except TypeError as error:
            if isinstance(error, UnsupportedTypeError):
                raise
            return ValueType(declared)  # an unhashable annotation cannot be remembered
    except UnsupportedTypeError as error:
        raise PayloadError(f"{subject}: {type_name(declared)} cannot be recorded: {error}") from error


def check_size(payload: bytes | Payload, *, subject: str, maximum_bytes: int | None = None) -> None:
    """Check JSON that came from outside (HTTP, command line) against the limits. Raises PayloadTooLargeError."""
    encoded = bytes(payload)
    require_size(encoded, subject, maximum_bytes)
    if _is_too_deep(encoded):
        raise PayloadTooLargeError(f"{subject}: {_TOO_DEEP}")


class MisfitError(Exception):
    """A value does not fit its type, at `path` (``$`` is the value itself). Callers turn it into a PayloadError."""

    def __init__(self, path: str, what: str, *, error_class: type[PayloadError] = PayloadError) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what
        self.error_class = error_class


class ValueType:
    """A declared type, prepared for encoding and decoding its values any number of times."""

    __slots__ = ("_decode", "_is_irregular", "_is_unbounded", "_may_lose_floats", "classes", "declared", "traits")

    def __init__(self, declared: object, traits: TypeTraits | None = None) -> None:
        """Prepare `declared`. Raises UnsupportedTypeError, or NameError for a class that is not defined yet."""
        self.declared = declared
        self.traits = describe_type(declared) if traits is None else traits
        self.classes = self.traits.classes
        self._is_irregular = self.traits.is_irregular
        self._may_lose_floats = self.traits.has_floats and not self.traits.is_irregular
        self._is_unbounded = self.traits.is_unbounded
        self._decode = msgspec.json.Decoder(declared, dec_hook=read_foreign).decode

    @classmethod
    def tuple_of(cls, parts: Sequence["ValueType"]) -> "ValueType":
        """Prepare the tuple of these types, without looking into them again."""
        declared: object = types.GenericAlias(tuple, tuple(part.declared for part in parts))
        return cls(declared, merge_traits(part.traits for part in parts))

    def encode(self, value: object, *, subject: str, maximum_bytes: int | None = None) -> Payload:
        """Encode a value. Raises PayloadError or PayloadTooLargeError, whose message begins with `subject`."""
        try:
            encoded = self.dump(value)
        except MisfitError as misfit:
            raise misfit.error_class(f"{locate(subject, misfit.path)}: {misfit.what}") from misfit.__cause__
        require_size(encoded, subject, maximum_bytes)
        return Payload(encoded)

    def decode(self, payload: Payload, *, subject: str) -> Any:  # noqa: ANN401 - what the declared type says
        """Decode a recorded value. Raises PayloadDecodeError, whose message begins with `subject`."""
        try:
            return self.load(payload)
        except MisfitError as misfit:
            message = describe_misfit(locate(subject, misfit.path), misfit.what, self.declared)
            raise PayloadDecodeError(message) from misfit.__cause__

    def dump(self, value: object) -> bytes:
        """Encode a value of any size. Raises MisfitError."""
        if not isinstance(value, self.classes):
            got = type_name(type(value))
            hint = "; an await is missing" if isinstance(value, Coroutine) else ""
            raise MisfitError("$", f"expected {type_name(self.declared)}, got {got}{hint}")
        return self.dump_unchecked(value)

    def dump_unchecked(self, value: object) -> bytes:
        """Do as `dump` for a value whose class the caller has compared with `classes`. Raises MisfitError."""
        try:
            encoded = encode_json(make_regular(value) if self._is_irregular else value)
            if self._may_lose_floats and b"null" in encoded:
                make_regular(value)  # a NaN would have become the null
            self._decode(encoded)
        except Exception as error:  # the value's own code may run here: serializers, validators, __post_init__
            raise _explain(value, error) from error
        if self._is_unbounded and _is_too_deep(encoded):
            raise MisfitError("$", _TOO_DEEP, error_class=PayloadTooLargeError)
        return encoded

    def load(self, payload: Payload | bytes) -> Any:  # noqa: ANN401 - what the declared type says
        """Decode a value. Raises MisfitError."""
        try:
            return self._decode(payload)
        except Exception as error:  # as above: validators and __post_init__ run here
            raise _explain_reading(error) from error


def locate(subject: str, path: str) -> str:
    """Name the place of an error."""
    return subject if path == "$" else f"{subject} -> {path}"


def describe_misfit(place: str, what: str, declared: object) -> str:
    """Say what is wrong with recorded JSON, and what to do."""
    return (
        f"{place}: {what}; the recorded JSON does not fit {type_name(declared)}. "
        "If the type has changed since, give new fields a default or keep accepting the old form"
    )


def require_size(encoded: bytes, subject: str, maximum_bytes: int | None) -> None:
    """Raise PayloadTooLargeError when an encoded value is larger than `maximum_bytes` (None: the process' limit)."""
    if maximum_bytes is None:
        maximum_bytes = MAXIMUM_PAYLOAD_BYTES if len(encoded) <= MAXIMUM_PAYLOAD_BYTES else payload_limit()
    if len(encoded) > maximum_bytes:
        raise PayloadTooLargeError(
            f"{subject}: {len(encoded):,} bytes of JSON, the limit is {maximum_bytes:,}; "
            "store the data elsewhere and pass a reference (a path, a key), or give the engine a place for large "
            "values: Payloads(blobs=...)"
        )


@lru_cache(maxsize=_TYPES_KEPT)
def _prepare(declared: object) -> ValueType:
    return ValueType(declared)


_TOO_DEEP: Final = (
    f"nested deeper than {MAXIMUM_PAYLOAD_DEPTH} containers (or contains itself); flatten it, or pass a reference"
)

_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_AS_SQUARES: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def _is_too_deep(encoded: bytes) -> bool:
    if len(encoded) <= 2 * MAXIMUM_PAYLOAD_DEPTH or encoded.count(b"[") + encoded.count(b"{") <= MAXIMUM_PAYLOAD_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", encoded).translate(_AS_SQUARES, _NO_BRACKETS)
    for _ in range(MAXIMUM_PAYLOAD_DEPTH):  # each turn takes away the innermost level
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _explain(value: object, error: Exception) -> MisfitError:
    if isinstance(error, RecursionError | msgspec.DecodeError):
        return _explain_reading(error)
    fault = find_fault(value, _check)
    if fault is None:
        return MisfitError("$", _describe_raised(error))
    path, part, cause = fault
    return MisfitError(f"${path}", _describe_fault(part, cause))


def _check(value: object) -> None:
    encode_json(make_regular(value))


def _describe_fault(part: object, error: Exception) -> str:
    match error:
        case IrregularValueError():
            return str(error)
        case UnicodeEncodeError():
            return "text with half of a surrogate pair has no JSON form"
        case TypeError() if isinstance(part, dict):
            keys = cast("dict[object, object]", part)
            kinds = sorted({type_name(type(key)) for key in keys if find_fault({key: None}, _check)})
            return f"keys of type {', '.join(kinds)} have no JSON form; use str, int, an enum, UUID, date or datetime"
        case TypeError() if str(error).endswith(NO_JSON_FORM):
            return f"{error}; use a dataclass, Struct, TypedDict, pydantic model, enum, list, dict or a scalar"
        case _:
            return _describe_raised(error)


def _describe_raised(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


_VALIDATION: Final = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`(?P<path>\$.*)`)?", re.DOTALL)


def _explain_reading(error: Exception) -> MisfitError:
    match error:
        case msgspec.ValidationError():
            return _explain_validation(error)
        case msgspec.DecodeError():
            return MisfitError("$", f"not valid JSON: {error}")
        case RecursionError():
            return MisfitError("$", _TOO_DEEP, error_class=PayloadTooLargeError)
        case _:
            return MisfitError("$", _describe_raised(error))


def _explain_validation(error: msgspec.ValidationError) -> MisfitError:
    found = _VALIDATION.fullmatch(str(error))
    assert found is not None, "the pattern's parts are optional"
    path = found["path"] or "$"
    cause = error.__cause__
    if isinstance(cause, ModelMisfitError):
        return MisfitError(path + cause.path, cause.what)
    what = found["what"] if cause is not None else _plain(found["what"])
    return MisfitError(path, f"a key: {what}" if found["key"] else what)


def _plain(text: str) -> str:
    quote = "" if text.startswith("Expected") else "'"
    return text[:1].lower() + text[1:].replace("`", quote)
