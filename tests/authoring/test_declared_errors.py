"""Declared errors: what came out of a history is caught as the class that it was, without looking for that class."""

import asyncio
import builtins
from typing import Any, Self

import pytest

from perdure import ActivityFailedError, ChildRunError, Context, activity, workflow
from perdure.authoring.declared_errors import class_of_failure, declare_errors
from perdure.errors import InvalidArgumentError
from perdure.kernel.failure import failure_from_exception

FIELDS: dict[str, Any] = {
    "activity": "parse",
    "attempts": 1,
    "failure_type": "BadFileError",
    "failure_types": ("BadFileError", "ValueError"),
    "failure_message": "line 7",
}


class BadFileError(ValueError):
    """A file that is not as it should be."""

    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}: line {line}")
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is bad"


class EmptyFileError(BadFileError):
    pass


class OfOneShapeError(Exception):
    def __new__(cls, path: str) -> Self:
        return super().__new__(cls, path)


class WithSlotsError(Exception):
    __slots__ = ("path",)


class MadeByAMetaclassError(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses, please")


def raised(given: type[Exception] | tuple[type[Exception], ...], error: Exception) -> ActivityFailedError:
    """Return what is raised in a workflow where an activity that declares `given` failed with `error`."""
    declared = declare_errors(given, ActivityFailedError, "activity parse")
    return class_of_failure(failure_from_exception(error), declared, ActivityFailedError)("the message", **FIELDS)


def test_it_is_both_the_declared_class_and_what_an_activity_raises_anyway() -> None:
    error = raised(BadFileError, BadFileError("a.csv", 7))
    assert isinstance(error, BadFileError)
    assert isinstance(error, ActivityFailedError)
    assert str(error) == "the message"
    assert (error.activity, error.attempts, error.failure_message) == ("parse", 1, "line 7")
    assert type(error).__name__ == "BadFileError"


def test_the_class_nearest_to_the_error_s_own_is_raised() -> None:
    both = (BadFileError, EmptyFileError)
    assert isinstance(raised(both, EmptyFileError("a.csv", 1)), EmptyFileError)
    assert not isinstance(raised(both, BadFileError("a.csv", 1)), EmptyFileError)
    assert isinstance(raised(BadFileError, EmptyFileError("a.csv", 1)), BadFileError)


def test_what_is_not_declared_is_raised_as_ever() -> None:
    assert type(raised(BadFileError, KeyError("a"))) is ActivityFailedError
    assert type(raised((), BadFileError("a.csv", 7))) is ActivityFailedError


def test_what_the_class_kept_in_attributes_is_missed_with_an_explanation() -> None:
    error = raised(BadFileError, BadFileError("a.csv", 7))
    with pytest.raises(
        AttributeError, match="'BadFileError' object has no attribute 'path': it comes out of a history"
    ):
        error.path  # type: ignore[attr-defined]  # noqa: B018 - the access is what is tested
    assert not hasattr(error, "path")


def test_a_class_that_got_another_name_is_caught_by_it_while_a_subclass_of_the_old_one_stands() -> None:
    class BrokenFileError(ValueError):
        pass

    old_name = type("BadFileError", (BrokenFileError,), {})
    assert isinstance(raised((BrokenFileError, old_name), BadFileError("a.csv", 7)), BrokenFileError)


@pytest.mark.parametrize(
    "given",
    [
        error
        for error in vars(builtins).values()
        if isinstance(error, type)
        and issubclass(error, Exception)
        and error is not Exception
        and not issubclass(error, ExceptionGroup | StopIteration)
    ],
)
async def test_every_error_of_python_s_own_can_be_declared_and_caught(given: type[Exception]) -> None:
    error = raised(given, given.__new__(given))
    assert str(error) == "the message"

    async def parse() -> None:
        raise error

    with pytest.raises(given) as caught:
        await asyncio.gather(parse())
    assert caught.value is error


@pytest.mark.parametrize("given", [OfOneShapeError, WithSlotsError])
def test_classes_with_a_shape_of_their_own_can_be_declared(given: type[Exception]) -> None:
    assert isinstance(raised(given, given("a.csv")), given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("BadFileError", "raises is 'BadFileError'; it must be a class of exceptions, or a tuple of such"),
        ((BadFileError, 5), "it must be a class of exceptions, or a tuple of such"),
        (Exception, "it must be a class of exceptions, or a tuple of such"),
        (KeyboardInterrupt, "it must be a class of exceptions, or a tuple of such"),
        ((BadFileError, type("BadFileError", (KeyError,), {})), "raises has two classes named BadFileError"),
        (ExceptionGroup, "raises cannot have ExceptionGroup: "),
        (MadeByAMetaclassError, "raises cannot have MadeByAMetaclassError: no subclasses, please. Declare a plain"),
        (ActivityFailedError, "raises cannot have ActivityFailedError: "),
        (StopIteration, "raises cannot have StopIteration: a coroutine lets no StopIteration out"),
    ],
)
@pytest.mark.parametrize("of", ["activity", "workflow"])
def test_what_cannot_be_declared_is_refused_where_it_stands(of: str, given: Any, said: str) -> None:
    async def parse(_ctx: Context) -> None: ...

    decorate: Any = activity if of == "activity" else workflow
    if of == "workflow" and given is ActivityFailedError:
        given, said = ChildRunError, "raises cannot have ChildRunError: "
    with pytest.raises(InvalidArgumentError) as refused:
        decorate(raises=given)(parse)
    assert str(refused.value).startswith(f"{of} parse: ")
    assert said in str(refused.value)
