"""The signature of an activity or workflow: its arguments and result, prepared once for the boundary.

**Promise.** Arguments are bound as Python binds a call, checked against the annotations, and arrive at the function
as they were given. A wrong call raises where it is made, and the message names the callable, the parameter and the
path: ``charge(): argument 'order' -> $.total: expected int, got str``.

**Layout of recorded arguments.** Usually a JSON array of the positional arguments in the order of declaration,
however the call was written: ``charge(order, note="x")`` and ``charge(order=order, note="x")`` give the same bytes.
Arguments left out at the end are not recorded: the code that runs later supplies its own default. When an argument
can only be told by name (keyword-only, ``**options``, or after one that was left out) the payload is an object::

    {"arguments": [positional arguments], "keywords": {name: argument}}

The first byte tells the layouts apart, so a function may gain parameters with defaults, of any kind, and still read
what was recorded before. A context parameter in front is never recorded.

**Limits.** Annotations are resolved when the function is decorated. One that names a class defined further down is
resolved at the first call; the class must stand at module level by then.
"""

import contextlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any, Final, NamedTuple, Never, NoReturn, Self, TypeAlias

import msgspec

from perdure.authoring.payload_types import UnsupportedTypeError, type_name
from perdure.authoring.payload_values import encode_json
from perdure.authoring.payloads import (
    MisfitError,
    ValueType,
    describe_misfit,
    locate,
    require_size,
)
from perdure.errors import InvalidArgumentError, PayloadDecodeError, PayloadError, UsageError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.payload import Payload

__all__ = ["Signature"]

Call: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""What a function is called with: ``function(*call[0], **call[1])``."""


class Signature:
    """What a callable takes and gives, prepared for encoding and decoding calls and results."""

    __slots__ = ("_function", "_prepared", "_shape", "name")

    def __init__(self, function: Callable[..., object], *, shape: inspect.Signature, name: str) -> None:
        """Build from parts; use `Signature.of`."""
        self.name = name
        self._function = function
        self._shape = shape
        self._prepared: _Prepared | None = None

    @classmethod
    def of(cls, function: Callable[..., object], *, skip_first: bool = False, name: str | None = None) -> Self:
        """Inspect a function. With `skip_first` its first parameter (the context) is not an argument.

        `name` stands in messages, by default the function's own. Raises PayloadError for a parameter or result
        whose type cannot be recorded, InvalidArgumentError where the context parameter is missing.
        """
        known_as: str = name or getattr(function, "__name__", "") or type(function).__name__
        shape = inspect.signature(function)
        if skip_first:
            shape = _without_first(shape, known_as)
        signature = cls(function, shape=shape, name=known_as)
        with contextlib.suppress(NameError):  # a class defined further down: resolved at the first call
            signature._prepared = signature._prepare()
        return signature

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the parameters that are recorded, in the order of their declaration."""
        return tuple(self._shape.parameters)

    @property
    def result_type(self) -> object:
        """The declared type of the result; `Any` where none is declared."""
        return self._require_prepared().result.declared

    def encode_arguments(
        self, args: tuple[object, ...], kwargs: Mapping[str, object], *, maximum_bytes: int | None = None
    ) -> Payload:
        """Encode a call's arguments.

        Raises InvalidArgumentError when they do not bind, PayloadError when one does not fit its annotation or cannot
        be recorded, PayloadTooLargeError beyond the limits.

        >>> def add(a: int, b: int = 2) -> int: return a + b
        >>> bytes(Signature.of(add).encode_arguments((1,), {"b": 5}))
        b'[1,5]'
        """
        arguments = (self._prepared or self._require_prepared()).arguments
        try:
            positional = arguments.straighten(args, kwargs)
            if positional is None:
                encoded = arguments.dump_each(*self._bind(args, kwargs))
            else:
                encoded = arguments.dump(positional)
        except _ArgumentMisfitError as error:
            misfit = error.misfit
            place = locate(f"{self.name}(): {error.label}", misfit.path)
            raise misfit.error_class(f"{place}: {misfit.what}") from misfit.__cause__
        require_size(encoded, f"{self.name}(): arguments", maximum_bytes)
        return Payload(encoded)

    def decode_arguments(self, payload: Payload) -> Call:
        """Decode recorded arguments, ready for ``function(*args, **kwargs)``. Raises PayloadDecodeError."""
        arguments = (self._prepared or self._require_prepared()).arguments
        try:
            call = arguments.load(payload)
        except _ArgumentMisfitError as error:
            raise self._unreadable(error.label, error.misfit, error.declared) from error.misfit.__cause__
        if len(call[0]) not in arguments.by_count or call[1]:
            self._require_bound(call)
        return call

    def encode_result(self, value: object, *, maximum_bytes: int | None = None) -> Payload:
        """Encode a result. Raises PayloadError or PayloadTooLargeError."""
        result = (self._prepared or self._require_prepared()).result
        return result.encode(value, subject=f"{self.name}(): result", maximum_bytes=maximum_bytes)

    def decode_result(self, payload: Payload) -> Any:  # noqa: ANN401 - what the annotation says
        """Decode a recorded result. Raises PayloadDecodeError."""
        result = (self._prepared or self._require_prepared()).result
        return result.decode(payload, subject=f"{self.name}(): recorded result")

    def _require_prepared(self) -> "_Prepared":
        if self._prepared is None:
            try:
                self._prepared = self._prepare()
            except NameError as error:
                raise UsageError(
                    f"{self.name}(): an annotation cannot be resolved: {error}; "
                    "define or import it at module level, not inside a function or under TYPE_CHECKING"
                ) from error
        return self._prepared

    def _prepare(self) -> "_Prepared":
        annotations = _resolve_annotations(self._function, self._shape)
        types_by_name = {
            name: self._prepare_type(annotations.get(name, Any), f"argument '{name}'")
            for name in self._shape.parameters
        }
        result = self._prepare_type(annotations.get("return", Any), "result")
        return _Prepared(arguments=_ArgumentTypes(self._shape, types_by_name), result=result)

    def _prepare_type(self, declared: object, part: str) -> ValueType:
        if declared is Never or declared is NoReturn:
            declared = Any  # no value will ever come
        try:
            return ValueType(declared)
        except UnsupportedTypeError as error:
            raise PayloadError(f"{self.name}(): {part}: {type_name(declared)} cannot be recorded: {error}") from error

    def _bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Call:
        try:
            bound = self._shape.bind(*args, **kwargs)
        except TypeError as error:
            what = self._describe_unexpected(kwargs) or str(error)
            raise InvalidArgumentError(f"{self.name}(): {what}; it takes {_describe_shape(self._shape)}") from error
        return _normalize(bound)

    def _describe_unexpected(self, kwargs: Mapping[str, object]) -> str:
        """Name a misspelt keyword, which says more than the parameter that it leaves missing."""
        takes_any = _names(self._shape, Parameter.VAR_KEYWORD)
        unexpected = [] if takes_any else sorted(kwargs.keys() - set(_names(self._shape, *_NAMED)))
        return f"got an unexpected keyword argument '{unexpected[0]}'" if unexpected else ""

    def _require_bound(self, call: Call) -> None:
        try:
            self._shape.bind(*call[0], **call[1])
        except TypeError as error:
            raise PayloadDecodeError(
                f"{self.name}(): recorded arguments: {error}; it takes {_describe_shape(self._shape)}. "
                "If the function has changed since, give new parameters a default and keep the old ones"
            ) from error

    def _unreadable(self, label: str, misfit: MisfitError, declared: object) -> PayloadDecodeError:
        place = locate(f"{self.name}(): recorded {label}", misfit.path)
        return PayloadDecodeError(describe_misfit(place, misfit.what, declared))


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    arguments: "_ArgumentTypes"
    result: ValueType


class _Slot(NamedTuple):
    """Where one argument goes: its name in messages, and its type."""

    label: str
    type: ValueType


class _ArgumentMisfitError(Exception):
    """One argument does not fit. `label` names it."""

    def __init__(self, label: str, misfit: MisfitError, declared: object) -> None:
        super().__init__(label)
        self.label = label
        self.misfit = misfit
        self.declared = declared


class _Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The layout with keywords, and what the array layout is read into."""

    arguments: list[msgspec.Raw]
    keywords: dict[str, msgspec.Raw] = {}


_POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_ANYTHING: Final = ValueType(Any)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT: Final = msgspec.json.Decoder(_Recorded)


class _ArgumentTypes:
    """The types of a function's parameters, and the two layouts.

    `by_count` holds, for each number of positional arguments that makes a whole call, the type of their tuple. All
    work is done by these tuples where it can be; one by one where names are involved, or where an error needs one.
    """

    def __init__(self, shape: inspect.Signature, types_by_name: Mapping[str, ValueType]) -> None:
        self._positional = [(name, types_by_name[name]) for name in _names(shape, *_POSITIONAL)]
        self._named = {name: types_by_name[name] for name in _names(shape, *_NAMED)}
        self._extra_positional = _names(shape, Parameter.VAR_POSITIONAL)
        self._extra_named = _names(shape, Parameter.VAR_KEYWORD)
        self._types_by_name = types_by_name
        parts = [part for _, part in self._positional]
        self._classes = [part.classes for part in parts]
        self.by_count = {count: ValueType.tuple_of(parts[:count]) for count in _whole_counts(shape)}
        # Where only one number of arguments makes a call, it need not be looked up before reading.
        self._usual = next(iter(self.by_count.values())) if len(self.by_count) == 1 else None

    def straighten(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[object, ...] | None:
        """Give the arguments of an ordinary call as positional ones; None for one that has to be bound with care."""
        count = len(args) + len(kwargs)
        if count not in self.by_count:
            return None
        if not kwargs:
            return args
        named = [
            kwargs[name] for name, _ in self._positional[len(args) : count] if name in kwargs and name in self._named
        ]
        return (*args, *named) if len(named) == len(kwargs) else None

    def dump(self, args: tuple[object, ...]) -> bytes:
        """Encode positional arguments whose number is in `by_count`. Raises _ArgumentMisfitError."""
        if not all(map(isinstance, args, self._classes)):
            return self.dump_each(args, {})
        try:
            return self.by_count[len(args)].dump_unchecked(args)
        except MisfitError:
            return self.dump_each(args, {})

    def dump_each(self, args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
        """Encode arguments that bind, one by one. Raises _ArgumentMisfitError."""
        array = b",".join(_dump(self._slot_at(index), value) for index, value in enumerate(args))
        if not kwargs:
            return b"[%b]" % array
        members = b",".join(
            encode_json(name) + b":" + _dump(self._slot_of(name), value) for name, value in kwargs.items()
        )
        return b'{"arguments":[%b],"keywords":{%b}}' % (array, members)

    def load(self, payload: Payload) -> Call:
        """Decode arguments in either layout; whether they bind is not checked. Raises _ArgumentMisfitError."""
        if self._usual is not None:
            try:
                return self._usual.load(payload), {}
            except MisfitError:
                return self._load_each(_read_layout(payload))
        recorded = _read_layout(payload)
        whole = self.by_count.get(len(recorded.arguments))
        if whole is None or recorded.keywords:
            return self._load_each(recorded)
        try:
            return whole.load(payload), {}
        except MisfitError:
            return self._load_each(recorded)

    def _load_each(self, recorded: _Recorded) -> Call:
        args = tuple(_load(self._slot_at(index), raw) for index, raw in enumerate(recorded.arguments))
        return args, {name: _load(self._slot_of(name), raw) for name, raw in recorded.keywords.items()}

    def _slot_at(self, index: int) -> _Slot:
        if index < len(self._positional):
            name, part = self._positional[index]
            return _Slot(f"argument '{name}'", part)
        for name in self._extra_positional:
            return _Slot(f"argument '{name}[{index - len(self._positional)}]'", self._types_by_name[name])
        return _Slot(f"argument {index + 1}", _ANYTHING)

    def _slot_of(self, name: str) -> _Slot:
        part = self._named.get(name)
        for extra in self._extra_named if part is None else ():
            part = self._types_by_name[extra]
        return _Slot(f"argument '{name}'", part or _ANYTHING)


def _dump(slot: _Slot, value: object) -> bytes:
    try:
        return slot.type.dump(value)
    except MisfitError as misfit:
        raise _ArgumentMisfitError(slot.label, misfit, slot.type.declared) from misfit


def _load(slot: _Slot, raw: Payload) -> object:
    try:
        return slot.type.load(raw)
    except MisfitError as misfit:
        raise _ArgumentMisfitError(slot.label, misfit, slot.type.declared) from misfit


def _read_layout(payload: Payload) -> _Recorded:
    try:
        if memoryview(payload)[:1].tobytes() == b"{":
            return _OBJECT.decode(payload)
        return _Recorded(arguments=_ARRAY.decode(payload))
    except UNDECODABLE as error:
        misfit = MisfitError("$", f"neither an array nor an object of arguments and keywords ({error})")
        raise _ArgumentMisfitError("arguments", misfit, list | dict) from error


def _without_first(shape: inspect.Signature, name: str) -> inspect.Signature:
    parameters = list(shape.parameters.values())
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise InvalidArgumentError(f"{name}(): the first parameter must be the context; add it: {name}(ctx, ...)")
    return shape.replace(parameters=parameters[1:])


def _resolve_annotations(function: Callable[..., object], shape: inspect.Signature) -> dict[str, object]:
    """Evaluate the annotations of the recorded parameters and the result. Raises NameError."""
    plain = inspect.unwrap(function)
    recorded = {*shape.parameters, "return"}
    declared = {name: part for name, part in getattr(plain, "__annotations__", {}).items() if name in recorded}
    # A stand-in, so that the annotation of the context, which may be for type checkers only, is left alone.
    stand_in = types.SimpleNamespace(__annotations__=declared)
    return typing.get_type_hints(stand_in, globalns=getattr(plain, "__globals__", {}), include_extras=True)


def _names(shape: inspect.Signature, *kinds: object) -> list[str]:
    return [parameter.name for parameter in shape.parameters.values() if parameter.kind in kinds]


def _whole_counts(shape: inspect.Signature) -> range:
    """Say how many positional arguments alone may make a call, from fewest to most; extra ones aside."""
    parameters = shape.parameters.values()
    if any(
        parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty for parameter in parameters
    ):
        return range(0)
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    fewest = sum(parameter.default is Parameter.empty for parameter in positional)
    return range(fewest, len(positional) + 1)


def _normalize(bound: inspect.BoundArguments) -> Call:
    """Write a call with as many positional arguments as it allows, in the order of declaration."""
    args: list[object] = []
    kwargs: dict[str, object] = {}
    has_gap = False
    for name, parameter in bound.signature.parameters.items():
        if name not in bound.arguments:
            has_gap = True
            continue
        value = bound.arguments[name]
        match parameter.kind:
            case Parameter.VAR_POSITIONAL:
                args.extend(value)
            case Parameter.VAR_KEYWORD:
                kwargs.update(value)
            case Parameter.KEYWORD_ONLY:
                kwargs[name] = value
            case _ if has_gap:
                kwargs[name] = value
            case _:
                args.append(value)
    return tuple(args), kwargs


def _describe_shape(shape: inspect.Signature) -> str:
    bare = [parameter.replace(annotation=Parameter.empty) for parameter in shape.parameters.values()]
    return str(inspect.Signature(bare))
