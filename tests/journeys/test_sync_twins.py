"""The synchronous façade is the asynchronous client word for word: each class has a twin, each operation its own.

What one side gains, the other must gain too: these tests read the classes, no list of operations.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_overloads

import pytest

import perdure
from perdure import (
    Bulk,
    Engine,
    Run,
    ScheduleHandle,
    Schedules,
    SyncBulk,
    SyncEngine,
    SyncRun,
    SyncScheduleHandle,
    SyncSchedules,
)

TWINS: dict[type[Any], type[Any]] = {
    Engine: SyncEngine,
    Run: SyncRun,
    Bulk: SyncBulk,
    Schedules: SyncSchedules,
    ScheduleHandle: SyncScheduleHandle,
}
"""Asynchronous -> synchronous."""

WITHOUT_TWIN = {
    Engine: {"worker"},  # lives on the event loop and may be touched there only
    Schedules: {
        "change",
        "delete",
        "describe",
        "describe_with_outcomes",
        "entry",
    },  # what a handle calls; users have the handle
}

WAITED_FOR = {
    "AsyncGenerator": ("Iterator",),
    "AsyncIterator": ("Iterator", "list"),  # a history is short enough to be read at once
}
"""What an asynchronous result becomes for who waits for it."""

PAIRS = pytest.mark.parametrize(("asynchronous", "synchronous"), TWINS.items(), ids=lambda twin: twin.__name__)


def offered(owner: type[Any]) -> set[str]:
    """Return the public names of a class: methods, properties and declared attributes."""
    declared = {name for base in owner.__mro__ for name in inspect.get_annotations(base)}
    return {name for name in {*dir(owner), *declared} if not name.startswith("_")}


def operations(owner: type[Any]) -> Iterator[str]:
    """Return the names of the functions among them, with the constructor where users call it."""
    yield from sorted(name for name in offered(owner) if inspect.isfunction(getattr(owner, name, None)))
    if owner is Engine:
        yield "__init__"


def is_awaited(function: object) -> bool:
    """Whether a call of it gives something to await, or to iterate over with `async for`."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def bare(annotation: object) -> str:
    """Return an annotation's text without the names of modules: `Run[R]`."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"ForwardRef\((.*?)\)|<class (.*?)>", r"\1\2", text)
    return re.sub(r"\b\w+\.(?=\w)|['~+]", "", text)


def synchronous_names(text: str) -> str:
    """Return the text of an annotation with each class replaced by its twin."""
    for one, other in TWINS.items():
        text = re.sub(rf"\b{one.__name__}\b", other.__name__, text)
    return text


def forms(function: Any) -> list[inspect.Signature]:
    """Return the signatures of a function: those of its overloads first."""
    return [inspect.signature(form) for form in [*get_overloads(function), function]]


def arguments(signature: inspect.Signature) -> list[tuple[Any, ...]]:
    """Return name, kind, default and type of each argument."""
    return [(p.name, p.kind, p.default, synchronous_names(bare(p.annotation))) for p in signature.parameters.values()]


def results(signature: inspect.Signature) -> set[str]:
    """Return what a synchronous twin of the signature may return, in words."""
    text = synchronous_names(bare(signature.return_annotation)).replace(", None]", "]")  # which generators are sent
    outer, bracket, inner = text.partition("[")
    return {f"{waited}{bracket}{inner}" for waited in WAITED_FOR.get(outer, (outer,))}


def test_every_class_with_something_to_await_has_a_twin() -> None:
    public = [member for member in vars(perdure).values() if inspect.isclass(member)]
    awaited = {
        owner
        for owner in public
        if owner.__module__.startswith(("perdure.client.", "perdure.engine"))
        and any(is_awaited(getattr(owner, name, None)) for name in offered(owner))
    }
    assert awaited == TWINS.keys()
    assert set(public) >= set(TWINS.values())


@PAIRS
def test_neither_side_offers_what_the_other_does_not(asynchronous: type[Any], synchronous: type[Any]) -> None:
    assert offered(asynchronous) - WITHOUT_TWIN.get(asynchronous, set()) == offered(synchronous)


@PAIRS
def test_the_synchronous_twin_takes_and_returns_the_same(asynchronous: type[Any], synchronous: type[Any]) -> None:
    for name in set(operations(asynchronous)) - WITHOUT_TWIN.get(asynchronous, set()):
        ours, theirs = forms(getattr(asynchronous, name)), forms(getattr(synchronous, name))
        assert [arguments(form) for form in ours] == [arguments(form) for form in theirs], name
        for ours_form, theirs_form in zip(ours, theirs, strict=True):
            assert bare(theirs_form.return_annotation) in results(ours_form), name


@PAIRS
def test_nothing_of_a_twin_has_to_be_awaited(asynchronous: type[Any], synchronous: type[Any]) -> None:
    awaited = [name for name in operations(synchronous) if is_awaited(getattr(synchronous, name))]
    assert awaited == []


@PAIRS
def test_both_sides_say_what_each_operation_does(asynchronous: type[Any], synchronous: type[Any]) -> None:
    silent = [
        f"{owner.__name__}.{name}"
        for owner in (asynchronous, synchronous)
        for name in offered(owner)
        if hasattr(owner, name) and not (inspect.getdoc(getattr(owner, name)) or "").endswith((".", "`"))
    ]
    assert silent == []
