import contextlib
import os
import subprocess
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag
from pathlib import PurePosixPath
from types import GenericAlias
from typing import Any, NamedTuple, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.authoring.payloads import (
    MAXIMUM_PAYLOAD_BYTES,
    MAXIMUM_PAYLOAD_DEPTH,
    ValueType,
    check_size,
    decode_value,
    encode_value,
    prepare_type,
)
from perdure.errors import PayloadDecodeError, PayloadError, PayloadTooLargeError
from perdure.kernel.payload import Payload


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Fraction(Enum):
    HALF = 0.5


class Rights(IntFlag):
    READ = 1
    WRITE = 2


class Item(msgspec.Struct, frozen=True, rename="camel"):
    unit_price: Decimal
    sold_at: datetime | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Address:
    street: str
    labels: set[Color] = field(default_factory=set)


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    color: Color
    retries: int


class Tree(msgspec.Struct):
    children: list["Tree"] = []


class Customer(pydantic.BaseModel):
    email: str
    born: date | None = None
    tags: set[str] = set()
    balance: Decimal = Decimal(0)


class Strict(pydantic.BaseModel, strict=True, frozen=True):
    seen: datetime
    labels: frozenset[Size] = frozenset()


class Basket(msgspec.Struct):
    owner: Customer | None
    others: dict[str, Customer] = {}


class Loud:
    pass


@dataclass
class Checked:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("ID must not be negative")
        if self.n > 9:
            raise KeyError("big")


# -- round trips ------------------------------------------------------------------------------------------------------

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, places=None)
KEYS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXT),
    (int, st.integers()),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (date, st.dates()),
    (UUID, st.uuids()),
    (float, FINITE),
    (Decimal, DECIMALS),
    (bytes, st.binary(max_size=6)),
    (timedelta, st.timedeltas()),
    (datetime, st.datetimes(timezones=OFFSETS)),
]
SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    *KEYS,
    (bool, st.booleans()),
    (type(None), st.none()),
    (datetime, st.datetimes()),
    (time, st.times()),
    (Rights, st.integers(0, 3).map(Rights)),
    (PurePosixPath, st.sampled_from(["/a/b", "c", "."]).map(PurePosixPath)),
    (Item, st.builds(Item, DECIMALS, st.none() | st.datetimes(timezones=OFFSETS), st.frozensets(TEXT))),
    (Address, st.builds(Address, TEXT, st.sets(st.sampled_from(Color)))),
    (Point, st.builds(Point, FINITE, FINITE)),  # both: hypothesis infers fields of a NamedTuple that have defaults, too
    (Options, st.fixed_dictionaries({}, optional={"color": st.sampled_from(Color), "retries": st.integers()})),
    (
        Customer,
        st.builds(
            Customer,
            email=TEXT,
            born=st.none() | st.dates(),
            tags=st.sets(TEXT),
            balance=st.decimals(allow_nan=False, allow_infinity=False),
        ),
    ),
    (Strict, st.builds(Strict, seen=st.datetimes(timezones=OFFSETS), labels=st.frozensets(st.sampled_from(Size)))),
]

Case = tuple[Any, Any]


def typed(pairs: list[tuple[Any, st.SearchStrategy[Any]]]) -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.sampled_from(range(len(pairs))).map(lambda index: pairs[index])


def containers(
    inner: st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]],
) -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.one_of(
        inner.map(lambda part: (GenericAlias(list, part[0]), st.lists(part[1], max_size=3))),
        inner.map(lambda part: (GenericAlias(tuple, (part[0], ...)), st.lists(part[1], max_size=3).map(tuple))),
        inner.map(lambda part: (part[0] | None, st.none() | part[1])),
        st.tuples(typed(KEYS), inner).map(
            lambda pair: (
                GenericAlias(dict, (pair[0][0], pair[1][0])),
                st.dictionaries(pair[0][1], pair[1][1], max_size=3),
            )
        ),
        st.tuples(inner, inner).map(
            lambda pair: (GenericAlias(tuple, (pair[0][0], pair[1][0])), st.tuples(pair[0][1], pair[1][1]))
        ),
        typed(KEYS).map(lambda part: (GenericAlias(set, part[0]), st.sets(part[1], max_size=4))),
        typed(KEYS).map(
            lambda part: (
                GenericAlias(frozenset, GenericAlias(frozenset, part[0])),
                st.frozensets(st.frozensets(part[1], max_size=3)),
            )
        ),
    )


CASES: st.SearchStrategy[Case] = st.recursive(typed(SCALARS), containers, max_leaves=4).flatmap(
    lambda part: part[1].map(lambda value: (part[0], value))
)


@given(CASES)
def test_what_is_encoded_comes_back_equal_and_of_the_same_class(case: Case) -> None:
    declared, value = case
    decoded = decode_value(encode_value(value, declared), declared)
    assert decoded == value
    assert type(decoded) is type(value)


@given(CASES)
def test_a_value_that_came_back_is_encoded_to_the_same_bytes(case: Case) -> None:
    declared, value = case
    encoded = encode_value(value, declared)
    assert bytes(encode_value(value, declared)) == bytes(encoded)
    assert bytes(encode_value(decode_value(encoded, declared), declared)) == bytes(encoded)


@given(st.datetimes(timezones=OFFSETS))
def test_an_aware_datetime_keeps_its_offset(moment: datetime) -> None:
    decoded = decode_value(encode_value(moment, datetime), datetime)
    assert decoded.utcoffset() == moment.utcoffset()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
    )
)
def test_values_of_json_need_no_declared_type(value: object) -> None:
    assert decode_value(encode_value(value)) == value


@pytest.mark.parametrize("text", ["0.10", "1E+5", "-0", "123456789012345678901234567890.000000000000001", "Infinity"])
def test_a_decimal_keeps_its_digits(text: str) -> None:
    assert str(decode_value(encode_value(Decimal(text), Decimal), Decimal)) == text


def test_integers_beyond_64_bits_come_back_exactly() -> None:
    assert decode_value(encode_value([2**63, -(2**80), 10**400], list[int]), list[int]) == [2**63, -(2**80), 10**400]


def test_the_order_of_a_dict_is_kept_beside_a_set() -> None:
    value = {"b": {3, 20, 1}, "a": {2}}
    assert bytes(encode_value(value, dict[str, set[int]])) == b'{"b":[1,3,20],"a":[2]}'


def test_without_a_declared_type_builtins_come_back() -> None:
    value = {"when": date(2026, 1, 2), "pair": (1, 2), "colors": {Color.RED}, 7: Address("x")}
    expected = {"when": "2026-01-02", "pair": [1, 2], "colors": ["red"], "7": {"street": "x", "labels": []}}
    assert decode_value(encode_value(value)) == expected


def subclass_of(base: type) -> Any:
    return type(f"Own{base.__name__}", (base,), {})


@pytest.mark.parametrize("value", ["ada", 5, 1.5, b"x", Decimal("1.0"), [1], {"a": 1}, {2, 1}, (1, 2)])
def test_a_value_of_a_subclass_is_recorded_as_its_plain_class(value: Any) -> None:
    base = type(value)
    decoded = decode_value(encode_value(subclass_of(base)(value), base), base)
    assert (decoded, type(decoded)) == (value, base)


def test_points_in_time_of_a_subclass_are_recorded_as_plain_ones() -> None:
    moment, day = subclass_of(datetime)(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), subclass_of(date)(2026, 1, 2)
    assert bytes(encode_value([moment, day])) == b'["2026-01-02T03:04:05.000006Z","2026-01-02"]'


def test_models_cross_inside_containers_and_structs() -> None:
    ada, bob = Customer(email="ada@example.org", tags={"a", "b"}), Customer(email="bob@example.org")
    assert decode_value(encode_value(Basket(ada, {"bob": bob}), Basket), Basket) == Basket(ada, {"bob": bob})


def test_extra_fields_and_aliases_of_a_model_come_back() -> None:
    class Open(pydantic.BaseModel, extra="allow"):
        customer_id: int = pydantic.Field(alias="customerId")

    value = Open.model_validate({"customerId": 1, "marks": {3, 1, 2}})
    assert bytes(encode_value(value, Open)) == b'{"customerId":1,"marks":[1,2,3]}'
    assert decode_value(encode_value(value, Open), Open).customer_id == 1


def test_objects_of_any_type_are_taken_where_object_is_declared() -> None:
    value = {"a": [1, {"b": "c"}]}
    assert decode_value(encode_value(value, dict[str, object]), dict[str, object]) == value


def test_a_path_is_recorded_as_its_text() -> None:
    payload = encode_value([PurePosixPath("/a/b")], list[PurePosixPath])
    assert bytes(payload) == b'["/a/b"]'
    assert decode_value(payload, list[PurePosixPath]) == [PurePosixPath("/a/b")]


def test_sets_in_every_kind_of_record_stand_in_order() -> None:
    colors, tags = {Color.RED, Color.BLUE}, frozenset({"b", "a"})
    value = [Address("x", colors), Item(Decimal(1), tags=tags), Customer(email="x", tags=set(tags))]
    assert bytes(encode_value(value)) == (
        b'[{"street":"x","labels":["blue","red"]},{"unitPrice":"1","soldAt":null,"tags":["a","b"]},'
        b'{"email":"x","born":null,"tags":["a","b"],"balance":"0"}]'
    )


def test_encoding_a_value_leaves_it_as_it_was() -> None:
    tags = frozenset({"x", "y"})
    item, ada = Item(Decimal(1), tags=tags), Customer(email="a", tags={"x", "y"})
    encode_value([item], list[Item])
    encode_value(ada, Customer)
    assert item.tags is tags
    assert ada.tags == {"x", "y"}


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_sets_give_the_same_bytes_in_every_process(hash_seed: str) -> None:
    program = """
from enum import Enum
from pydantic import BaseModel
from perdure.authoring.payloads import encode_value
class Letter(Enum):
    A = "a"; B = "b"; C = "c"
class Model(BaseModel):
    letters: set[Letter]
nested = {frozenset("ab"), frozenset("cd"), frozenset("ef")}
value = [set("hello world"), {Letter.A, Letter.B, Letter.C}, {1, "1", None}, nested, Model(letters=set(Letter))]
print(bytes(encode_value(value)).decode())
"""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == (
        '[[" ","d","e","h","l","o","r","w"],["a","b","c"],["1",1,null],[["a","b"],["c","d"],["e","f"]],'
        '{"letters":["a","b","c"]}]\n'
    )


# -- refused where it is given ----------------------------------------------------------------------------------------

LOCAL_MEAN_TIME = datetime(1800, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("value", "declared", "message"),
    [
        ("x", Item, "value: expected Item, got str"),
        ({"unitPrice": "1"}, Item, "value: expected Item, got dict"),
        (Item("1x"), Item, "value -> $.unitPrice: invalid decimal string"),  # type: ignore[arg-type]
        ([1, "2"], list[int], "value -> $[1]: expected int, got str"),
        ({"a": {"b": None}}, dict[str, dict[str, int]], "value -> $[...][...]: expected int, got null"),
        ({"x": 1}, dict[int, int], "value: a key: expected int, got str"),
        (True, int, "value: expected int, got bool"),
        (None, str, "value: expected str, got None"),
        (1.5, int | None, "value: expected int | None, got float"),
        ([1], tuple[int, ...], "value: expected tuple[int, ...], got list"),
        ("2026-01-01T00:00:00", datetime, "value: expected datetime, got str"),
        ("red", Color, "value: expected Color, got str"),
        ("c", typing.Literal["a", "b"], "value: invalid enum value 'c'"),
        (float("nan"), float, "value: nan has no JSON form; use None, Decimal or a text"),
        ([{"x": float("-inf")}], Any, "value -> $[0]['x']: -inf has no JSON form; use None, Decimal or a text"),
        (Point(float("inf")), Point, "value -> $[0]: inf has no JSON form; use None, Decimal or a text"),
        ([1.0, float("nan")], list[float | None], "value -> $[1]: nan has no JSON form; use None, Decimal or a text"),
        ({float("nan"): 1}, dict[float, int], "value: nan has no JSON form; use None, Decimal or a text"),
        (
            [LOCAL_MEAN_TIME],
            list[datetime],
            "value -> $[0]: a UTC offset of 0:53:28 would lose its seconds; convert to UTC first",
        ),
        ({1: "a", "1": "b"}, dict, "value: two keys of a mapping have the same JSON text; use keys of one type"),
        (
            {"deep": [{True: 1, (1, 2): 2}]},
            Any,
            (
                "value -> $['deep'][0]: keys of type bool, tuple have no JSON form; "
                "use str, int, an enum, UUID, date or datetime"
            ),
        ),
        (
            {"deep": [Loud()]},
            Any,
            (
                "value -> $['deep'][0]: Loud has no JSON form; "
                "use a dataclass, Struct, TypedDict, pydantic model, enum, list, dict or a scalar"
            ),
        ),
        (Address("\ud800"), Address, "value -> $.street: text with half of a surrogate pair has no JSON form"),
        ({"\ud800"}, set[str], "value -> $[...]: text with half of a surrogate pair has no JSON form"),
        ([{"n": -1}], list[Checked], "value -> $[0]: ID must not be negative"),
        ([{"n": 10}], list[Checked], "value: KeyError: 'big'"),
        (Customer.model_construct(email=5), Customer, "value -> $.email: input should be a valid string, got int"),
        (
            {"a": Customer.model_construct(email=5, balance="x")},
            dict[str, Customer],
            "value -> $[...].email: input should be a valid string, got int (and 1 more)",
        ),
        (Customer.model_construct(tags={"a"}), Customer, "value -> $.email: field required"),
        (Customer(email="x").model_copy(update={"balance": float("nan")}), Customer,
         "value -> $.balance: nan has no JSON form; use None, Decimal or a text"),
        (5, PurePosixPath, "value: expected PurePosixPath, got int"),
        ([5], list[PurePosixPath], "value -> $[0]: expected str, got int"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_path(value: object, declared: object, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode_value(value, declared)
    assert str(caught.value) == message


def test_an_integer_of_more_digits_than_python_reads_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"^value: "):
        encode_value(10**5000, int)


def test_the_subject_stands_in_front() -> None:
    with pytest.raises(PayloadError, match=r"^signal 'review' -> \$\[0\]: expected bool, got int$"):
        encode_value([1], list[bool], subject="signal 'review'")


USE_ANOTHER = "use a dataclass, msgspec.Struct, TypedDict, pydantic model, enum, list, dict, set, tuple or a scalar"
KEYS_OF_ONE_TYPE = (
    "a mapping's keys must be of one type out of str, int, float, an enum, date, datetime, time, timedelta, UUID, "
    "Decimal and bytes"
)


@pytest.mark.parametrize(
    ("declared", "name", "reason"),
    [
        (complex, "complex", f"complex has no JSON form; {USE_ANOTHER}"),
        (list[Loud], "list[Loud]", f"Loud has no JSON form; {USE_ANOTHER}"),
        (dict[bool, int], "dict[bool, int]", KEYS_OF_ONE_TYPE),
        (dict[int | str, int], "dict[int | str, int]", KEYS_OF_ONE_TYPE),
        (
            Checked | Address,
            "Checked | Address",
            (
                "type unions may not contain more than one dataclass or attrs type; "
                "use one type, or msgspec.Struct classes with tag=True"
            ),
        ),
        (Fraction, "Fraction", "enums must contain either all str or all int values"),
    ],
)
def test_a_type_that_would_not_come_back_is_refused_with_the_reason(declared: object, name: str, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        encode_value(None, declared)
    assert str(caught.value) == f"value: {name} cannot be recorded: {reason}"


def test_unions_of_tagged_structs_and_generics_are_told_apart() -> None:
    class Card(msgspec.Struct, tag=True):
        number: str

    class Cash(msgspec.Struct, tag=True):
        amount: int

    payments = [Cash(5), Card("1")]
    assert decode_value(encode_value(payments, list[Card | Cash]), list[Card | Cash]) == payments


def test_abstract_collections_and_annotated_types_are_taken() -> None:
    percent = typing.Annotated[int, msgspec.Meta(ge=0, le=100, title="percent"), ["unhashable"]]
    amount = typing.NewType("amount", int)
    assert decode_value(encode_value((1, 2), Sequence[int]), Sequence[int]) == [1, 2]
    assert decode_value(encode_value({"a": 1}, Mapping[str, int]), Mapping[str, int]) == {"a": 1}
    assert decode_value(encode_value(amount(5), amount), amount) == 5
    assert decode_value(encode_value(7, percent), percent) == 7
    assert decode_value(encode_value(None, None), None) is None
    assert decode_value(encode_value([amount(5)], list[percent]), list[percent]) == [5]
    with pytest.raises(PayloadError, match=r"^value: expected int <= 100$"):
        encode_value(101, percent)
    with pytest.raises(PayloadError, match=r"^value: expected int, got str$"):
        encode_value("x", percent)
    with pytest.raises(PayloadError, match=r"^value: expected tuple\[Literal\['a', 1\], \.\.\.\], got int$"):
        encode_value(1, tuple[typing.Literal["a", 1], ...])


# -- limits -----------------------------------------------------------------------------------------------------------


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_a_payload_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert len(bytes(encode_value("x" * 8, str, maximum_bytes=10))) == 10
    with pytest.raises(PayloadTooLargeError) as caught:
        encode_value("x" * MAXIMUM_PAYLOAD_BYTES, str, subject="signal 'scan'")
    assert str(caught.value) == (
        "signal 'scan': 2,097,154 bytes of JSON, the limit is 2,097,152; "
        "store the data elsewhere and pass a reference (a path, a key), or give the engine a place for large "
        "values: Payloads(blobs=...)"
    )


def test_a_payload_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    flat = [["]]["] * 3 for _ in range(MAXIMUM_PAYLOAD_DEPTH)]
    for value in (nested(MAXIMUM_PAYLOAD_DEPTH), flat, ['"{[' * MAXIMUM_PAYLOAD_DEPTH]):
        assert decode_value(encode_value(value)) == value
    with pytest.raises(PayloadTooLargeError) as caught:
        encode_value(nested(MAXIMUM_PAYLOAD_DEPTH + 1))
    assert str(caught.value) == (
        "value: nested deeper than 64 containers (or contains itself); flatten it, or pass a reference"
    )


def test_a_type_that_contains_itself_is_bounded_too() -> None:
    tree = Tree()
    for _ in range(40):
        tree = Tree([tree])
    with pytest.raises(PayloadTooLargeError):
        encode_value(tree, Tree)


def test_a_value_that_contains_itself_is_too_deep() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for declared in (Any, list):
        with pytest.raises(PayloadTooLargeError, match="contains itself"):
            encode_value(loop, declared)


def test_json_from_outside_is_measured_before_it_is_read() -> None:
    check_size(b'{"a":[1]}', subject="input")
    with pytest.raises(PayloadTooLargeError, match=r"^input: 9 bytes"):
        check_size(b'{"a":[1]}', subject="input", maximum_bytes=8)
    with pytest.raises(PayloadTooLargeError, match=r"^input: nested deeper"):
        check_size(b'{"a":' * 70 + b"1" + b"}" * 70, subject="input")


# -- reading what was recorded ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "declared", "what", "name"),
    [
        (b'{"street":5}', Address, " -> $.street: expected str, got int", "Address"),
        (b"{}", Address, ": object missing required field 'street'", "Address"),
        (b'["green"]', list[Color], " -> $[0]: invalid enum value 'green'", "list[Color]"),
        (b'{"email":[]}', Customer, " -> $.email: input should be a valid string, got list", "Customer"),
        (b'{"n":10}', Checked, ": KeyError: 'big'", "Checked"),
        (b"[1", Any, ": not valid JSON: Input data was truncated", "Any"),
    ],
)
def test_recorded_json_that_fits_no_more_says_where_and_what_to_do(
    payload: bytes, declared: object, what: str, name: str
) -> None:
    with pytest.raises(PayloadDecodeError) as caught:
        decode_value(Payload(payload), declared, subject="signal 'move'")
    assert str(caught.value) == (
        f"signal 'move'{what}; the recorded JSON does not fit {name}. "
        "If the type has changed since, give new fields a default or keep accepting the old form"
    )


@pytest.mark.parametrize("hostile", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"\xff", b"nul", b'"\\ud800"'])
@pytest.mark.parametrize("declared", [Any, Address, list[int], Customer])
def test_hostile_bytes_are_an_error_and_nothing_worse(hostile: bytes, declared: object) -> None:
    with pytest.raises(PayloadDecodeError, match=r"^value"):
        decode_value(Payload(hostile), declared)


def test_data_cannot_choose_a_class() -> None:
    hostile = b'{"__class__":"os.system","py/object":"builtins.eval","$type":"subprocess.Popen"}'
    assert type(decode_value(Payload(hostile))) is dict


def test_a_coroutine_in_the_place_of_its_result_is_recognised() -> None:
    async def count() -> int:
        return 1

    with contextlib.closing(count()) as counting, pytest.raises(PayloadError) as refused:
        encode_value(counting, int, subject="the count")
    assert str(refused.value) == "the count: expected int, got coroutine; an await is missing"


def test_a_type_is_prepared_once() -> None:
    assert prepare_type(list[Item], subject="a") is prepare_type(list[Item], subject="b")


def test_a_prepared_type_serves_many_values() -> None:
    point = ValueType(Point)
    assert point.decode(point.encode(Point(1.0, 2.0), subject="a"), subject="a") == Point(1.0, 2.0)


def test_now_in_utc_is_written_with_a_z() -> None:
    assert bytes(encode_value(datetime(2026, 1, 2, tzinfo=UTC), datetime)) == b'"2026-01-02T00:00:00Z"'


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr | pydantic.SecretBytes


@pytest.mark.parametrize("secret", [pydantic.SecretStr("hunter2-x"), pydantic.SecretBytes(b"hunter2-x")])
def test_a_secret_is_refused_and_not_recorded_as_asterisks(secret: Any) -> None:
    login = Login(user="ann", password=secret)
    for value, declared, path in ((login, Login, "$.password"), ({"a": [login]}, dict[str, Any], "$['a'][0].password")):
        with pytest.raises(PayloadError, match=r"a secret is not recorded; pass its name") as refused:
            encode_value(value, declared)
        assert path in str(refused.value)
        assert "hunter2" not in str(refused.value)
