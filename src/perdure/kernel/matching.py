"""Matching: whether what a program asks for now is what its history records.

Two events are the same if they are of one type and all their fields are equal, with these exceptions:

* Payloads: everything that was recorded must still be said, but an object may have gained members (a field added with
  a default is harmless).
* Failures are compared by type only (messages and tracebacks carry addresses and line numbers). A base class of what is
  raised now is no difference, nor is a class that was recorded by its own name when it was declared (`RECORDED_AS`).
* Deadlines that an event repeats are compared where they are set: at the stage, at the start of the run.
* What an event takes from the definition of an activity or of a child's workflow, and not from the call, may change
  two deployments: an activity's limit of time, a child's version, stages and execution timeout, version and stages of
  the next generation.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from perdure.kernel import events as e
from perdure.kernel.failure import Conceal, Failure, as_it_is
from perdure.kernel.payload import Payload
from perdure.tells import masked

__all__ = ["advice", "describe", "is_same"]


def is_same(recorded: e.Event, actual: e.Event) -> bool:
    """Return whether `actual`, made from today's code, is what was `recorded`."""
    if type(recorded) is not type(actual):
        return False
    if recorded == actual:
        return True
    defined = _FROM_DEFINITIONS.get(type(recorded), ())
    return all(
        _is_same_value(getattr(recorded, name), getattr(actual, name))
        for name in recorded.__struct_fields__
        if name not in defined
    )


def describe(event: e.Event, *, conceal: Conceal = as_it_is) -> str:
    """Return an event as one short line for people."""
    shown = ", ".join(f"{name}={_shown(value, conceal)}" for name, value in _fields(event).items())
    return f"{e.EVENT_NAMES[type(event)]}({shown})"


def advice(recorded: e.Event | None, actual: e.Event | None) -> str:
    """Return what to do about a difference: at markers of patches, which step of their life came too early."""
    if type(actual) is e.VersionDecided and actual.deprecated:
        patch = repr(actual.patch)
        return (
            f"This run passed here before ctx.patched({patch}) was there, or by its old way: restore `if "
            f"ctx.patched({patch})` with both ways until no such run is open; ctx.deprecate_patch({patch}) comes then."
        )
    if type(recorded) is e.VersionDecided:
        patch = repr(recorded.patch)
        return (
            f"This run recorded the patch {patch}, whose call is gone: put ctx.deprecate_patch({patch}) where "
            f"ctx.patched({patch}) was, until no such run is open."
        )
    return "Restore the old order of calls, or guard the change with ctx.patched(...)."


_FROM_DEFINITIONS: Final[Mapping[type[e.Event], tuple[str, ...]]] = {
    e.ActivityScheduled: ("deadline_at", "within"),
    e.ChildRequested: ("definition_version", "stages", "execution_timeout_microseconds", "within"),
    e.RunContinued: ("definition_version", "stages"),
}

_LONGEST_VALUE_CHARACTERS = 80
_LONGEST_FAILURE_CHARACTERS = 300


def _fields(event: e.Event) -> dict[str, object]:
    """Return what an event says, without defaults; failures as themselves."""
    plain = msgspec.to_builtins(event, enc_hook=_readable)
    given = {name: getattr(event, name) for name in plain}
    return {name: value if isinstance(value, Failure) else masked(plain[name]) for name, value in given.items()}


def _readable(value: object) -> object:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else repr(value)


def _shown(value: object, conceal: Conceal) -> str:
    if isinstance(value, Failure):  # its message says why the code takes another way
        return _shortened(" ".join(conceal(str(value)).split()), _LONGEST_FAILURE_CHARACTERS)
    return _shortened(conceal(msgspec.json.encode(value).decode()), _LONGEST_VALUE_CHARACTERS)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _is_same_value(recorded: object, actual: object) -> bool:
    if recorded == actual:
        return True
    if isinstance(recorded, Payload) and isinstance(actual, Payload):
        return _holds(msgspec.json.decode(actual), msgspec.json.decode(recorded))
    if isinstance(recorded, Failure) and isinstance(actual, Failure):
        return recorded.type in (actual.type, *actual.types)
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return recorded.keys() == actual.keys() and all(_is_same_value(recorded[k], actual[k]) for k in recorded)
    if isinstance(recorded, e.CarriedSignal) and isinstance(actual, e.CarriedSignal):
        return recorded.name == actual.name and _is_same_value(recorded.body, actual.body)
    if isinstance(recorded, tuple) and isinstance(actual, tuple):
        return len(recorded) == len(actual) and all(map(_is_same_value, recorded, actual))
    return False


def _holds(actual: object, recorded: object) -> bool:
    """Whether `actual` says everything that `recorded` says."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return all(key in actual and _holds(actual[key], value) for key, value in recorded.items())
    if isinstance(recorded, list) and isinstance(actual, list):
        return len(actual) == len(recorded) and all(map(_holds, actual, recorded))
    return actual == recorded and type(actual) is type(recorded)
