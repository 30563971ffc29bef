"""Declared errors: the user's own classes, to be caught by ``except`` where the failure comes out of a history.

A history keeps a failure as data: its class' name, the names of its bases, its text (`perdure.kernel.failure`). No
class is ever looked up by what is recorded. But an activity or a workflow may declare which ones it raises,
``@activity(raises=BadFileError)``; then a recorded failure of one of these names is raised as an error that is both
what is raised anyway (`ActivityFailedError`; of a child run `ChildRunError`), with its fields and its text, and the
declared class. So to declare one takes nothing away from code that catches the former, and what fails with it, a stage
or an update, is recorded as failed with the former: else a class that is declared while a run is open would make its
history another.

By name means: the class may move to another module. Where it gets another name, a subclass of the old name is declared
beside it as long as histories may hold that: ``class BadFileError(BrokenFileError)``.

Rejected: to record the module and import the class (what a payload says must never become code); to pickle the error
(as that, and no history could be read after a change of the class); to raise an instance of the declared class alone,
made anew from its text, as no recorded text has what its constructor wants, and ``except ActivityError`` would miss it.
What such a class keeps in attributes is not recorded, and to ask for it says so.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, TypeVar, cast

from perdure.errors import ActivityError, InvalidArgumentError
from perdure.kernel.failure import RECORDED_AS, Failure

__all__ = ["NONE_DECLARED", "ErrorClasses", "class_of_failure", "declare_errors"]

E = TypeVar("E", bound=ActivityError)

ErrorClasses = type[Exception] | tuple[type[Exception], ...]
"""What may be declared: a class, or several."""

NONE_DECLARED: Final[Mapping[str, Any]] = {}


def declare_errors(raises: object, caught_as: type[E], subject: str) -> Mapping[str, type[E]]:
    """Return, for each declared class, by the name that a history holds, the class that is both it and `caught_as`.

    Raises InvalidArgumentError, naming the `subject`, for what cannot be declared.
    """
    if raises == ():
        return NONE_DECLARED
    declared: dict[str, type[E]] = {}
    for given in cast("Iterable[object]", raises) if isinstance(raises, tuple) else (raises,):
        if not isinstance(given, type) or not issubclass(given, Exception) or given is Exception:
            message = f"{subject}: raises is {raises!r:.60}; it must be a class of exceptions, or a tuple of such"
            raise InvalidArgumentError(message)
        if given.__name__ in declared:
            message = f"{subject}: raises has two classes named {given.__name__}, and histories hold only the name"
            raise InvalidArgumentError(message)
        if issubclass(given, StopIteration):
            message = f"{subject}: raises cannot have {given.__name__}: a coroutine lets no StopIteration out"
            raise InvalidArgumentError(message)
        declared[given.__name__] = _join(caught_as, given, subject)
    return declared


def class_of_failure(failure: Failure, declared: Mapping[str, type[E]], otherwise: type[E]) -> type[E]:
    """Return the class to raise for a failure: the declared one that is nearest to its own."""
    for name in (*failure.types, failure.type):
        if name in declared:
            return declared[name]
    return otherwise


def _join(caught_as: type[E], given: type[Exception], subject: str) -> type[E]:
    """Return a class that is `caught_as` and is caught as `given`, whose own methods do not get what they need."""
    members = {
        "__new__": _make,
        "__init__": _keep_fields,
        "__str__": _text,
        "__getattr__": _refuse_attribute,
        "__module__": given.__module__,
        "__qualname__": given.__qualname__,
        "__doc__": given.__doc__,
        RECORDED_AS: caught_as,
    }
    try:
        joined = cast("type[E]", type(given.__name__, (caught_as, given), members))
        joined("a text")
    except Exception as error:
        message = (
            f"{subject}: raises cannot have {given.__name__}: {error}. Declare a plain class of exceptions, "
            f"class {given.__name__}(Exception)"
        )
        raise InvalidArgumentError(message) from error
    return joined


def _make(kind: type[Exception], *_args: object, **_fields: object) -> Exception:
    """Make an instance by the class of Python's own that lays it out: a class between may want what is not there."""
    maker: Any = kind.__base__  # Any: how each of them is made, no type says
    while maker.__module__ != "builtins":
        maker = maker.__base__
    return cast("Exception", maker.__new__(kind))


def _keep_fields(error: Exception, message: str, **fields: object) -> None:
    error.args = (message,)
    vars(error).update(fields)


def _text(error: Exception) -> str:
    return str(error.args[0])


def _refuse_attribute(error: Exception, name: str) -> NoReturn:
    message = (
        f"{type(error).__name__!r} object has no attribute {name!r}: it comes out of a history, which keeps the class' "
        f"name and the text of an error (`failure_message`) and nothing else of it"
    )
    raise AttributeError(message, name=name, obj=error)
