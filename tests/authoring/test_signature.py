import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.authoring.signature import Signature
from perdure.errors import (
    InvalidArgumentError,
    PayloadDecodeError,
    PayloadError,
    PayloadTooLargeError,
    UsageError,
)
from perdure.kernel.payload import Payload

if TYPE_CHECKING:
    OnlyForCheckers = object


class Order(msgspec.Struct, frozen=True):
    id: str
    total: int


@dataclass
class Refund:
    id: str
    total: int


async def charge(order: Order, note: str = "", *, urgent: bool = False) -> str:
    return f"{order.id}{note}{urgent}"


def quote(carrier: str, order: Order) -> int:
    return len(carrier) + order.total


def tally(first: int, /, *rest: int, scale: Decimal = Decimal(1), **named: list[int]) -> None: ...


def pick(a: int = 1, b: int = 2, c: int = 3) -> None: ...


def untyped(a, b=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return a, b


CHARGE, QUOTE, TALLY, PICK = Signature.of(charge), Signature.of(quote), Signature.of(tally), Signature.of(pick)
ORDER = Order("o-1", 5)


def encoded(signature: Signature, *args: object, **kwargs: object) -> bytes:
    return bytes(signature.encode_arguments(args, kwargs))


# -- layout and round trip --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "payload"),
    [
        (QUOTE, ("dhl", ORDER), {}, b'["dhl",{"id":"o-1","total":5}]'),
        (QUOTE, ("dhl",), {"order": ORDER}, b'["dhl",{"id":"o-1","total":5}]'),
        (QUOTE, (), {"order": ORDER, "carrier": "dhl"}, b'["dhl",{"id":"o-1","total":5}]'),
        (CHARGE, (ORDER,), {}, b'[{"id":"o-1","total":5}]'),
        (CHARGE, (ORDER, "x"), {}, b'[{"id":"o-1","total":5},"x"]'),
        (CHARGE, (ORDER,), {"urgent": True}, b'{"arguments":[{"id":"o-1","total":5}],"keywords":{"urgent":true}}'),
        (PICK, (), {}, b"[]"),
        (PICK, (7,), {"b": 8}, b"[7,8]"),
        (PICK, (7,), {"c": 9}, b'{"arguments":[7],"keywords":{"c":9}}'),
        (TALLY, (1, 2, 3), {}, b"[1,2,3]"),
        (TALLY, (1,), {"x": [2]}, b'{"arguments":[1],"keywords":{"x":[2]}}'),
        (TALLY, (1,), {"first": [2]}, b'{"arguments":[1],"keywords":{"first":[2]}}'),
        (Signature.of(untyped), ({"a": 1}, [2]), {}, b'[{"a":1},[2]]'),
    ],
)
def test_a_call_has_one_layout_however_it_is_written(
    signature: Signature, args: tuple[object, ...], kwargs: dict[str, object], payload: bytes
) -> None:
    assert encoded(signature, *args, **kwargs) == payload


INTEGERS = st.integers()
CALLS: st.SearchStrategy[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = st.one_of(
    st.tuples(st.just(pick), st.lists(INTEGERS, max_size=3).map(tuple), st.just({})),
    st.tuples(st.just(pick), st.just(()), st.dictionaries(st.sampled_from("abc"), INTEGERS)),
    st.tuples(st.just(pick), st.tuples(INTEGERS), st.dictionaries(st.sampled_from("bc"), INTEGERS)),
    st.tuples(
        st.just(tally),
        st.lists(INTEGERS, min_size=1, max_size=4).map(tuple),
        st.dictionaries(st.sampled_from(["first", "x", "y"]), st.lists(INTEGERS)),
    ),
    st.tuples(
        st.just(charge),
        st.tuples(st.builds(Order, st.text("ab"), INTEGERS), st.text("ab")),
        st.dictionaries(st.just("urgent"), st.booleans()),
    ),
)


@given(CALLS)
def test_a_decoded_call_binds_as_the_call_that_was_made(
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
) -> None:
    function, args, kwargs = call
    signature = Signature.of(function)
    decoded_args, decoded_kwargs = signature.decode_arguments(signature.encode_arguments(args, kwargs))
    shape = inspect.signature(function)
    assert shape.bind(*decoded_args, **decoded_kwargs) == shape.bind(*args, **kwargs)


def test_arguments_arrive_as_the_declared_classes() -> None:
    args, kwargs = QUOTE.decode_arguments(Payload(b'["dhl",{"id":"o-1","total":5}]'))
    assert (args, kwargs) == (("dhl", ORDER), {})
    assert quote(*args, **kwargs) == 8


def test_results_arrive_as_the_declared_class() -> None:
    async def load() -> dict[int, Order]:
        raise NotImplementedError

    signature = Signature.of(load)
    payload = signature.encode_result({1: ORDER})
    assert bytes(payload) == b'{"1":{"id":"o-1","total":5}}'
    assert signature.decode_result(payload) == {1: ORDER}
    assert signature.result_type == dict[int, Order]


def test_a_function_that_returns_nothing_records_null() -> None:
    assert bytes(PICK.encode_result(None)) == b"null"
    assert PICK.decode_result(Payload(b"null")) is None
    with pytest.raises(PayloadError, match=r"^pick\(\): result: expected None, got int$"):
        PICK.encode_result(5)


def test_a_function_that_never_returns_is_taken() -> None:
    def fail() -> NoReturn:
        raise ValueError

    assert Signature.of(fail).result_type is Any


def test_the_context_in_front_is_no_argument_and_its_annotation_is_left_alone() -> None:
    async def process(ctx: "OnlyForCheckers", order: "Order") -> "str":
        raise NotImplementedError

    signature = Signature.of(process, skip_first=True)
    assert signature.parameter_names == ("order",)
    assert encoded(signature, ORDER) == b'[{"id":"o-1","total":5}]'


def test_a_function_without_a_context_cannot_skip_it() -> None:
    def empty() -> None: ...
    def named_only(*, ctx: int) -> None: ...

    for function in (empty, named_only):
        with pytest.raises(InvalidArgumentError, match=r"the first parameter must be the context"):
            Signature.of(function, skip_first=True)


def test_a_keyword_without_a_default_is_recorded_by_name() -> None:
    def ship(*, to: str) -> None: ...

    signature = Signature.of(ship)
    payload = signature.encode_arguments((), {"to": "Ulm"})
    assert bytes(payload) == b'{"arguments":[],"keywords":{"to":"Ulm"}}'
    assert signature.decode_arguments(payload) == ((), {"to": "Ulm"})


def test_a_wrapped_function_keeps_its_signature() -> None:
    @functools.wraps(quote)
    def logged(*args: Any, **kwargs: Any) -> Any:
        return quote(*args, **kwargs)

    assert encoded(Signature.of(logged), "dhl", order=ORDER) == b'["dhl",{"id":"o-1","total":5}]'


def test_a_class_defined_further_down_is_resolved_at_the_first_call() -> None:
    def later(value: "DefinedLater") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    signature = Signature.of(later)
    with pytest.raises(UsageError) as caught:
        encoded(signature, 1)
    assert str(caught.value) == (
        "later(): an annotation cannot be resolved: name 'DefinedLater' is not defined; "
        "define or import it at module level, not inside a function or under TYPE_CHECKING"
    )
    globals()["DefinedLater"] = Order
    try:
        assert encoded(signature, ORDER) == b'[{"id":"o-1","total":5}]'
    finally:
        del globals()["DefinedLater"]


# -- refused at the call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "message"),
    [
        (CHARGE, (), {}, "charge(): missing a required argument: 'order'; it takes (order, note='', *, urgent=False)"),
        (CHARGE, (ORDER,), {"nte": "x"},
         "charge(): got an unexpected keyword argument 'nte'; it takes (order, note='', *, urgent=False)"),
        (CHARGE, (), {"odrer": ORDER},
         "charge(): got an unexpected keyword argument 'odrer'; it takes (order, note='', *, urgent=False)"),
        (CHARGE, (ORDER,), {"order": ORDER},
         "charge(): multiple values for argument 'order'; it takes (order, note='', *, urgent=False)"),
        (QUOTE, ("dhl",), {"carrier": "dhl"},
         "quote(): multiple values for argument 'carrier'; it takes (carrier, order)"),
        (QUOTE, (1, 2, 3), {}, "quote(): too many positional arguments; it takes (carrier, order)"),
    ],
)  # fmt: skip
def test_a_call_that_does_not_bind_names_the_parameter(
    signature: Signature, args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        signature.encode_arguments(args, kwargs)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "message"),
    [
        (CHARGE, ("o-1",), {}, "charge(): argument 'order': expected Order, got str"),
        (CHARGE, (Refund("o-1", 5),), {}, "charge(): argument 'order': expected Order, got Refund"),
        (CHARGE, (Order("o-1", "5"),), {}, "charge(): argument 'order' -> $.total: expected int, got str"),  # type: ignore[arg-type]
        (CHARGE, (ORDER,), {"urgent": 1}, "charge(): argument 'urgent': expected bool, got int"),
        (QUOTE, ("dhl", None), {}, "quote(): argument 'order': expected Order, got None"),
        (TALLY, (1, 2, "3"), {}, "tally(): argument 'rest[1]': expected int, got str"),
        (TALLY, (1,), {"x": [1, None]}, "tally(): argument 'x' -> $[1]: expected int, got null"),
        (PICK, (), {"b": 1.5}, "pick(): argument 'b': expected int, got float"),
        (Signature.of(untyped), ({"k": [float("nan")]},), {},
         "untyped(): argument 'a' -> $['k'][0]: nan has no JSON form; use None, Decimal or a text"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_fit_names_the_parameter_and_the_path(
    signature: Signature, args: tuple[object, ...], kwargs: dict[str, object], message: str
) -> None:
    with pytest.raises(PayloadError) as caught:
        signature.encode_arguments(args, kwargs)
    assert str(caught.value) == message


def test_a_result_that_does_not_fit_names_the_path() -> None:
    def find() -> list[Order]:
        raise NotImplementedError

    with pytest.raises(PayloadError, match=r"^find\(\): result -> \$\[0\]\.total: expected int, got str$"):
        Signature.of(find).encode_result([Order("o-1", "5")])  # type: ignore[arg-type]


def test_a_parameter_that_cannot_be_recorded_is_refused_at_the_definition() -> None:
    def bad(when: complex) -> None: ...

    def worse() -> Callable[[], int]:
        raise NotImplementedError

    with pytest.raises(
        PayloadError, match=r"^bad\(\): argument 'when': complex cannot be recorded: complex has no JSON"
    ):
        Signature.of(bad)
    with pytest.raises(PayloadError, match=r"^worse\(\): result: Callable.* cannot be recorded: Callable has no JSON"):
        Signature.of(worse)


def test_arguments_together_are_held_to_the_limit() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"^quote\(\): arguments: 34 bytes of JSON, the limit is 33; "):
        QUOTE.encode_arguments(("x" * 7, ORDER), {}, maximum_bytes=33)
    with pytest.raises(PayloadTooLargeError, match=r"^charge\(\): result: "):
        CHARGE.encode_result("x" * 9, maximum_bytes=10)


def test_an_argument_that_contains_itself_is_named() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PayloadTooLargeError, match=r"^untyped\(\): argument 'b': nested deeper than 64"):
        encoded(Signature.of(untyped), 1, loop)


def test_the_registered_name_stands_in_messages() -> None:
    with pytest.raises(PayloadError, match=r"^billing\.charge\(\): argument 'order'"):
        encoded(Signature.of(charge, name="billing.charge"), 5)


# -- reading what was recorded ----------------------------------------------------------------------------------------


TYPE_ADVICE = "If the type has changed since, give new fields a default or keep accepting the old form"
SHAPE_ADVICE = "If the function has changed since, give new parameters a default and keep the old ones"


@pytest.mark.parametrize(
    ("signature", "payload", "what"),
    [
        (
            QUOTE,
            b'["dhl",{"id":"o-1"}]',
            " 'order': object missing required field 'total'; the recorded JSON does not fit Order",
        ),
        (
            CHARGE,
            b'{"arguments":[{"id":"o-1","total":"5"}],"keywords":{}}',
            " 'order' -> $.total: expected int, got str; the recorded JSON does not fit Order",
        ),
        (TALLY, b'[1,2,"3"]', " 'rest[1]': expected int, got str; the recorded JSON does not fit int"),
        (PICK, b'[1,"2"]', " 'b': expected int, got str; the recorded JSON does not fit int"),
        (
            CHARGE,
            b"5",
            (
                "s: neither an array nor an object of arguments and keywords (Expected `array`, got `int`); "
                "the recorded JSON does not fit list | dict"
            ),
        ),
    ],
)
def test_recorded_arguments_of_another_type_are_an_error_with_the_path(
    signature: Signature, payload: bytes, what: str
) -> None:
    with pytest.raises(PayloadDecodeError) as caught:
        signature.decode_arguments(Payload(payload))
    assert str(caught.value) == f"{signature.name}(): recorded argument{what}. {TYPE_ADVICE}"


@pytest.mark.parametrize(
    ("signature", "payload", "what"),
    [
        (QUOTE, b'["dhl"]', "missing a required argument: 'order'; it takes (carrier, order)"),
        (QUOTE, b'["dhl",null,6]', "too many positional arguments; it takes (carrier, order)"),
        (PICK, b"[1,2,3,4]", "too many positional arguments; it takes (a=1, b=2, c=3)"),
        (
            PICK,
            b'{"arguments":[1],"keywords":{"fast":true}}',
            "got an unexpected keyword argument 'fast'; it takes (a=1, b=2, c=3)",
        ),
    ],
)
def test_recorded_arguments_that_no_longer_bind_are_an_error_that_names_the_parameter(
    signature: Signature, payload: bytes, what: str
) -> None:
    with pytest.raises(PayloadDecodeError) as caught:
        signature.decode_arguments(Payload(payload.replace(b"null", b'{"id":"o-1","total":5}')))
    assert str(caught.value) == f"{signature.name}(): recorded arguments: {what}. {SHAPE_ADVICE}"


def test_a_recorded_result_that_fits_no_more_says_why() -> None:
    with pytest.raises(PayloadDecodeError) as caught:
        CHARGE.decode_result(Payload(b"5"))
    assert str(caught.value) == (
        f"charge(): recorded result: expected str, got int; the recorded JSON does not fit str. {TYPE_ADVICE}"
    )


def test_a_function_that_gained_parameters_with_defaults_reads_what_was_recorded_before() -> None:
    def before(a: int) -> None: ...
    def after(a: int, b: dict[str, int] | None = None, *rest: int, c: int = 5, **named: int) -> None: ...

    recorded = Signature.of(before).encode_arguments((1,), {})
    assert Signature.of(after).decode_arguments(recorded) == ((1,), {})


def test_a_function_whose_keyword_became_required_reads_what_was_recorded_by_name() -> None:
    def before(a: int = 0, b: int = 0) -> None: ...
    def after(a: int, b: int) -> None: ...

    recorded = Signature.of(before).encode_arguments((), {"a": 1, "b": 2})
    assert Signature.of(after).decode_arguments(recorded) == ((1, 2), {})
    by_name = Payload(b'{"arguments":[1],"keywords":{"b":2}}')
    assert Signature.of(after).decode_arguments(by_name) == ((1,), {"b": 2})


@pytest.mark.parametrize("hostile", [b"", b"[", b"{", b"null", b"[" * 100_000, b'{"arguments":' * 50_000, b"\xff"])
@pytest.mark.parametrize("signature", [CHARGE, QUOTE, TALLY, PICK])
def test_hostile_arguments_are_an_error_and_nothing_worse(signature: Signature, hostile: bytes) -> None:
    with pytest.raises(PayloadDecodeError, match=r"\(\): recorded argument"):
        signature.decode_arguments(Payload(hostile))
