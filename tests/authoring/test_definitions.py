"""Definitions: what a decorator cannot use is refused where it stands, with what it was given and what to do."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import Context, PerdureError, activity, workflow
from perdure.errors import InvalidArgumentError, UsageError

ANYTHING: Any = 5  # given where something else is wanted


async def greet(name: str) -> str:
    return f"hello {name}"


async def walk(ctx: Context) -> None: ...
async def run_by_keyword(ctx: Context, *, speed: int) -> None: ...
def blocking(ctx: Context) -> None: ...
async def without_context() -> None: ...
async def with_another(order: str) -> None: ...


async def counting() -> AsyncIterator[int]:
    yield 1


def counting_too() -> Iterator[int]:
    yield 1


async def shouting(ctx: Context) -> AsyncIterator[int]:
    yield 1


class Shop:
    async def sell(self, item: str) -> None: ...


class Oven:
    pass


def bake(oven: Oven) -> None: ...
def build() -> Oven: ...  # type: ignore[empty-body]


REFUSED: list[tuple[Callable[[], object], type[PerdureError], str]] = [
    (lambda: activity(ANYTHING), UsageError, "@activity needs a function, got 5"),
    (lambda: workflow(ANYTHING), UsageError, "@workflow needs a function, got 5"),
    (
        lambda: activity(activity(greet)),
        UsageError,
        "@activity needs a function, got <activity greet>",
    ),
    (
        lambda: activity(lambda name: name),
        UsageError,
        "a lambda has no name that histories could hold; write a def, or @activity(name=...)",
    ),
    (
        lambda: activity(Shop.sell),
        UsageError,
        "activity sell is a method, but no history could hold its object; make it a function",
    ),
    (
        lambda: activity(counting),
        UsageError,
        "activity counting is a generator, and what it yields would be lost; collect it and return it",
    ),
    (
        lambda: activity(counting_too),
        UsageError,
        "activity counting_too is a generator, and what it yields would be lost; collect it and return it",
    ),
    (
        lambda: workflow(shouting),  # type: ignore[arg-type]
        UsageError,
        "workflow shouting is a generator, and what it yields would be lost; collect it and return it",
    ),
    (
        lambda: workflow(blocking),  # type: ignore[arg-type]
        UsageError,
        (
            "workflow blocking must be an async def: it waits for activities, timers and signals with await. Blocking "
            "code belongs in an activity, which may be a plain def."
        ),
    ),
    (
        lambda: workflow(without_context),  # type: ignore[arg-type]
        UsageError,
        (
            "workflow without_context needs a first parameter for its context: async def without_context(ctx: Context, "
            "...)"
        ),
    ),
    (
        lambda: workflow(with_another),  # type: ignore[arg-type]
        UsageError,
        "workflow with_another needs a first parameter for its context: async def with_another(ctx: Context, ...)",
    ),
    (
        lambda: activity(bake),
        UsageError,
        (
            "bake(): argument 'oven': Oven cannot be recorded: Oven has no JSON form; use a dataclass, msgspec.Struct, "
            "TypedDict, pydantic model, enum, list, dict, set, tuple or a scalar"
        ),
    ),
    (
        lambda: activity(build),
        UsageError,
        (
            "build(): result: Oven cannot be recorded: Oven has no JSON form; use a dataclass, msgspec.Struct, "
            "TypedDict, pydantic model, enum, list, dict, set, tuple or a scalar"
        ),
    ),
    (
        lambda: activity(name=ANYTHING)(greet),
        InvalidArgumentError,
        "the name of activity greet is 5 (int); it must be a text",
    ),
    (
        lambda: workflow(name="")(walk),
        InvalidArgumentError,
        "the name of workflow walk is empty; leave it out to use the function's",
    ),
    (
        lambda: activity(timeout=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: timeout is 5; it must be a timedelta above zero, or None for no limit",
    ),
    (
        lambda: activity(heartbeat_timeout=timedelta(0))(greet),
        InvalidArgumentError,
        (
            "activity greet: heartbeat_timeout is datetime.timedelta(0); it must be a timedelta above zero, or None "
            "for no limit"
        ),
    ),
    (
        lambda: activity(retry=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: retry is 5; it must be a policy, e.g. Retry(attempts=3), or None",
    ),
    (
        lambda: activity(queue=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: queue is 5; it must be a text of 1 to 200 characters, or None",
    ),
    (
        lambda: activity(queue="")(greet),
        InvalidArgumentError,
        "activity greet: queue is ''; it must be a text of 1 to 200 characters, or None",
    ),
    (
        lambda: activity(queue="\ud800")(greet),
        InvalidArgumentError,
        "activity greet: queue is '\\ud800'; it must be a text of 1 to 200 characters, or None",
    ),
    (
        lambda: activity(priority=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: priority is 5; allowed are 0, 1, 2, 3, 4",
    ),
    (
        lambda: activity(executor="gpu")(greet),
        InvalidArgumentError,
        "activity greet: executor is 'gpu'; allowed are loop, thread, process, hybrid, ray, dask",
    ),
    (
        lambda: activity(executor="process")(greet),
        InvalidArgumentError,
        "activity greet: an async def runs on the event loop; for executor=process make it a def",
    ),
    (
        lambda: activity(idempotency_key=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: idempotency_key is 5; it must be a text, or None",
    ),
    (
        lambda: activity(at_most_once=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: at_most_once is 5; it must be True or False, or None",
    ),
    (
        lambda: activity(compensate=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: compensate is 5; it must be an activity, or None",
    ),
    (
        lambda: activity(fallback=ANYTHING)(greet),
        InvalidArgumentError,
        "activity greet: fallback is 5; it must be an activity, or None",
    ),
    (
        lambda: workflow(retry=ANYTHING)(walk),
        InvalidArgumentError,
        "workflow walk: retry is 5; it must be a policy, e.g. Retry(attempts=3), or None",
    ),
    (
        lambda: workflow(version=ANYTHING)(walk),
        InvalidArgumentError,
        "workflow walk: version is 5 (int); it must be a text",
    ),
    (
        lambda: workflow(priority=ANYTHING)(walk),
        InvalidArgumentError,
        "workflow walk: priority is 5; allowed are 0, 1, 2, 3, 4",
    ),
    (
        lambda: workflow(stages=ANYTHING)(walk),
        InvalidArgumentError,
        'workflow walk: stages is 5; it must be a tuple of texts, e.g. ("payment", "shipping")',
    ),
    (
        lambda: workflow(stages="payment")(walk),  # type: ignore[call-overload]
        InvalidArgumentError,
        'workflow walk: stages is \'payment\'; it must be a tuple of texts, e.g. ("payment", "shipping")',
    ),
    (
        lambda: workflow(run_by_keyword),  # type: ignore[arg-type]
        UsageError,
        (
            "workflow run_by_keyword could not be started: its parameter 'speed' must be given by keyword, and a start "
            "gives arguments by position; move it before the *, or give it a default"
        ),
    ),
    (
        lambda: workflow(execution_timeout=ANYTHING)(walk),
        InvalidArgumentError,
        "workflow walk: execution_timeout is 5; it must be a timedelta above zero, or None",
    ),
    (
        lambda: workflow(on_failure="retry")(walk),
        InvalidArgumentError,
        "workflow walk: on_failure is 'retry'; allowed are compensate, fail",
    ),
]


@pytest.mark.parametrize(("define", "kind", "message"), REFUSED, ids=[case[2][:50] for case in REFUSED])
def test_a_definition_that_cannot_work_is_refused_with_the_reason(
    define: Callable[[], object], kind: type[PerdureError], message: str
) -> None:
    with pytest.raises(kind) as refused:
        define()
    assert str(refused.value) == message


def test_two_functions_of_one_name_are_refused_with_their_places() -> None:
    activity(name="definitions.greeting")(greet)
    with pytest.raises(UsageError) as refused:
        activity(name="definitions.greeting")(without_context)
    assert str(refused.value) == (
        f"two activity functions are named 'definitions.greeting': {__name__}.greet and {__name__}.without_context; "
        f"give one of them another name with @activity(name=...)"
    )


async def test_what_has_no_annotations_takes_whatever_json_holds() -> None:
    @activity
    async def loose(value, extra=()):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - what is tested
        return value, extra

    assert loose.signature.decode_arguments(loose.signature.encode_arguments(({"a": [1]},), {})) == (({"a": [1]},), {})
    with pytest.raises(UsageError, match="argument 'value': Oven has no JSON form"):
        loose.signature.encode_arguments((Oven(),), {})
