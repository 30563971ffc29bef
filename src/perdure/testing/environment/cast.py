"""The cast: who plays which activity, what fails, and a record of every attempt that was made.

A stand-in is called with arguments that have been recorded and read back by the real activity's types, and what it
returns is checked by the real activity's result type: a fake that returns something else fails where it is called.
"""

import copy
import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Mapping
from datetime import datetime
from typing import Any, Final, ParamSpec, Protocol, TypeVar, get_type_hints

import msgspec

from perdure.authoring.activity import Activity
from perdure.errors import InvalidArgumentError, NonRetryableError

__all__ = ["ActivityCalled", "Cast", "Played", "UnreplacedActivityError", "playing", "require_same_signature"]

Function = Callable[..., Any]
P = ParamSpec("P")
R = TypeVar("R")


class Played(Protocol[P, R]):
    """An activity, to a type checker: with exactly its types, where an `Activity` is also one with wider ones."""

    __wrapped__: Callable[P, Coroutine[Any, Any, R]] | Callable[P, R]


class UnreplacedActivityError(NonRetryableError):
    """An activity was called in a strict environment that nobody plays: replace it, or make the environment lenient."""


class ActivityCalled(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt that was made: with which arguments, in which run, the how manieth of its call, at what virtual time.

    `operation` is the number of the call in its run's `generation`: the attempts of one call, and those that a crash
    had made again, share it.
    """

    activity: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    run_id: str
    generation: int
    operation: int
    attempt: int
    at: datetime


class Cast:
    """Who plays what in one environment. It outlives crashes, as the world outside a process does."""

    def __init__(self, *, is_strict: bool) -> None:
        """Let every activity play itself; with `is_strict` only those that are in `replace` play at all."""
        self.is_strict: Final = is_strict
        self._players: Final[dict[str, Function]] = {}
        self._failures: Final[dict[str, deque[Exception]]] = {}
        self._failing: Final[dict[str, Exception]] = {}
        self._fates: Final[dict[Hashable, Exception | None]] = {}
        self._missed: Final[set[str]] = set()
        self._idle: Final[dict[str, None]] = {}
        self.calls: Final[list[ActivityCalled]] = []

    def again(self) -> "Cast":
        """Return another cast with the same stand-ins and failures, that has not played yet."""
        other = Cast(is_strict=self.is_strict)
        other._players.update(self._players)
        other._idle.update(dict.fromkeys(self._players))
        other._failing.update(self._failing)
        other._failures.update({name: deque(failures) for name, failures in self._failures.items()})
        return other

    def replace(self, activity: Activity[..., Any], player: Function) -> None:
        """Have `player` called in place of an activity. Raises InvalidArgumentError if it cannot be."""
        require_same_signature(activity, player)
        self._players[activity.name] = player
        self._idle[activity.name] = None

    def restore(self, activity: Activity[..., Any]) -> None:
        """Let an activity play itself again, without failures."""
        for table in (self._players, self._failures, self._failing, self._idle):
            table.pop(activity.name, None)

    def fail(self, activity: Activity[..., Any], error: Exception, times: int | None) -> None:
        """Have the next attempts of an activity fail, or (None) all."""
        if times is None:
            self._failing[activity.name] = error
        else:
            self._failures.setdefault(activity.name, deque()).extend([error] * times)

    def player(self, activity: Activity[..., Any], attempt: Hashable) -> Function | None:
        """Return what to call for an attempt; None: the activity itself, in its own executor.

        An attempt that is made again after a crash fails, or does not, as it did before.
        """
        if attempt not in self._fates:
            failures = self._failures.get(activity.name)
            self._fates[attempt] = failures.popleft() if failures else self._failing.get(activity.name)
        error = self._fates[attempt]
        if error is not None:
            return _raising(error)
        player = self._players.get(activity.name)
        if player is None and self.is_strict:
            self._missed.add(activity.name)
            message = (
                f"activity {activity.name} is called, and this environment is strict: give it a stand-in with "
                f"env.replace({activity.name}, ...)"
            )
            return _raising(UnreplacedActivityError(message))
        if player is not None:
            self._idle.pop(activity.name, None)
        return player

    def problems(self) -> list[str]:
        """Return what does not fit between what was asked of the cast and what was played, one line each."""
        called = {made.activity for made in self.calls}
        missed = [f"activity {name} was called, and nobody plays it: env.replace({name}, ...)" for name in self._missed]
        idle = [f"the stand-in for activity {name} was never called" for name in self._idle]
        whole = [f"activity {name} was to fail {len(left)} more times" for name, left in self._failures.items() if left]
        spared = [f"activity {name} was to fail, and was never called" for name in self._failing if name not in called]
        return [*sorted(missed), *idle, *whole, *spared]


def playing(activity: Activity[..., Any], function: Function) -> Activity[..., Any]:
    """Return an activity that runs `function` (a coroutine function) on the loop, with all else as it is."""
    played = copy.copy(activity)
    played.function = function
    played.is_async = True
    return played


def require_same_signature(activity: Activity[..., Any], player: Function) -> None:
    """Check that a stand-in can be called as the activity is. Raises InvalidArgumentError saying what does not fit."""
    if not callable(player):
        message = f"the stand-in for activity {activity.name} is {player!r:.60}; it must be a function"
        raise InvalidArgumentError(message)
    real = activity.__wrapped__
    problem = _misfit(inspect.signature(real), inspect.signature(player)) or _different_types(real, player)
    if problem:
        message = (
            f"the stand-in for activity {activity.name} does not fit: {problem}. The activity is "
            f"{activity.name}{inspect.signature(real)}, the stand-in {_name(player)}{inspect.signature(player)}"
        )
        raise InvalidArgumentError(message)


def _misfit(real: inspect.Signature, other: inspect.Signature) -> str:
    """Say which call of the real function the other one does not take: that with all arguments, or with the fewest."""
    for wanted in (lambda _: True, _is_required):
        positional: list[None] = []
        keywords: dict[str, None] = {}
        for name, parameter in real.parameters.items():
            if not wanted(parameter):
                continue
            if parameter.kind is parameter.KEYWORD_ONLY:
                keywords[name] = None
            elif parameter.kind is parameter.VAR_KEYWORD:
                keywords[f"any_{name}"] = None
            else:
                positional.append(None)
        try:
            other.bind(*positional, **keywords)
        except TypeError as error:
            return str(error)
    return ""


def _is_required(parameter: inspect.Parameter) -> bool:
    is_variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not is_variable


def _different_types(real: Function, player: Function) -> str:
    """Say which parameter or result is annotated with another class, where both are annotated with classes."""
    mine, theirs = _hints(real), _hints(player)
    for name in mine.keys() & theirs.keys():
        one, other = mine[name], theirs[name]
        narrow, wide = (other, one) if name == "return" else (one, other)
        if isinstance(narrow, type) and isinstance(wide, type) and not issubclass(narrow, wide):
            what = "it returns" if name == "return" else f"its parameter {name!r} is"
            return f"{what} {other.__name__}, not {one.__name__}"
    return ""


def _hints(function: Function) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # not resolvable here: what it returns is checked when it returns
        return {}


def _name(player: Function) -> str:
    return getattr(player, "__name__", type(player).__name__)


def _raising(error: Exception) -> Function:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    return fail
