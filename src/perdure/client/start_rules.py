"""What becomes of several starts by one key: the rules, as a program states them. `keyed_starts` follows them."""

from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

import msgspec

from perdure.authoring.arguments import require_choice, require_duration, require_text
from perdure.client.starting import IdPolicy, StartOptions
from perdure.errors import InvalidArgumentError

__all__ = [
    "AnyStartOptions",
    "Debounce",
    "Deduplicate",
    "Rule",
    "Singleton",
    "WhenOpen",
    "has_rule",
    "one_rule",
    "require_no_id",
]

_LONGEST_KEY_CHARACTERS = 400


class Debounce(msgspec.Struct, frozen=True):
    """Start one run for a burst of starts, when none has come for `wait`, with what the last of them said.

    `max_wait`: but no later than so long after the first (None: however long they come).

    >>> Debounce("document-7", wait=timedelta(seconds=5)).max_wait is None
    True
    """

    key: str
    wait: timedelta
    max_wait: timedelta | None = None

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises InvalidArgumentError."""
        _require_key(self.key, "Debounce")
        require_duration(self.wait, "Debounce: wait")
        if self.max_wait is not None and require_duration(self.max_wait, "Debounce: max_wait") < require_duration(
            self.wait, "Debounce: wait"
        ):
            message = f"Debounce: max_wait is {self.max_wait}; it must not be shorter than wait, which is {self.wait}"
            raise InvalidArgumentError(message)


class Deduplicate(msgspec.Struct, frozen=True):
    """Start a run; further starts of the key within `window` after it give the same run, open or closed.

    >>> Deduplicate("invoice-2026-05", window=timedelta(hours=1)).key
    'invoice-2026-05'
    """

    key: str
    window: timedelta

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises InvalidArgumentError."""
        _require_key(self.key, "Deduplicate")
        require_duration(self.window, "Deduplicate: window")


class WhenOpen(StrEnum):
    """What a start by a singleton's key does while a run of that key is open.

    `reject`: raise RunExistsError. `return_existing`: give the open run. `wait`: begin when the open run, and those
    that wait already, have ended. `replace`: cancel the open run and begin when it has ended, in place of those that
    wait.
    """

    REJECT = "reject"
    RETURN_EXISTING = "return_existing"
    WAIT = "wait"
    REPLACE = "replace"


class Singleton(msgspec.Struct, frozen=True):
    """Have at most one open run of the key. `when_open`: what a start does while there is one.

    >>> Singleton("import", when_open="wait").key
    'import'
    """

    key: str
    when_open: WhenOpen | str = WhenOpen.REJECT

    def __post_init__(self) -> None:
        """Refuse what means nothing. Raises InvalidArgumentError."""
        _require_key(self.key, "Singleton")
        require_choice(self.when_open, WhenOpen, "Singleton: when_open")


Rule: TypeAlias = Debounce | Deduplicate | Singleton


class AnyStartOptions(StartOptions, total=False):
    """All options of `Client.start` but for the id."""

    debounce: Debounce | None
    deduplicate: Deduplicate | None
    singleton: Singleton | str | None
    within: object | None


def has_rule(options: AnyStartOptions) -> bool:
    """Whether a start is one by a key."""
    return any(options.get(name) is not None for name in _TYPES)


def one_rule(debounce: Debounce | None, deduplicate: Deduplicate | None, singleton: Singleton | str | None) -> Rule:
    """Return the rule of a start that has one. Raises InvalidArgumentError for several, or for something else."""
    given = {
        "debounce": debounce,
        "deduplicate": deduplicate,
        "singleton": Singleton(singleton) if isinstance(singleton, str) else singleton,
    }
    rules = {name: rule for name, rule in given.items() if rule is not None}
    if len(rules) != 1:
        message = f"{' and '.join(rules)} exclude each other: a start has one rule; leave out all but one"
        raise InvalidArgumentError(message)
    [(name, rule)] = rules.items()
    if not isinstance(rule, _TYPES[name]):
        message = f"{name} is {rule!r:.60}; it must be a {_TYPES[name].__name__}"
        raise InvalidArgumentError(message)
    return rule


_TYPES: dict[str, type[Rule]] = {"debounce": Debounce, "deduplicate": Deduplicate, "singleton": Singleton}


def require_no_id(id: str | None, id_policy: IdPolicy | str) -> None:
    """Refuse what names one run where a key stands for several. Raises InvalidArgumentError."""
    given = {"id": id is not None, "id_policy": id_policy != IdPolicy.RETURN_EXISTING}
    if named := [name for name, is_given in given.items() if is_given]:
        message = (
            f"{' and '.join(named)} cannot be given with debounce, deduplicate or singleton: an id says which run is "
            f"meant, and each run that is started by a key has its own; leave it out, or start by the id alone"
        )
        raise InvalidArgumentError(message)


def _require_key(key: object, rule: str) -> None:
    if not require_text(key, f"{rule}: key") or len(str(key)) > _LONGEST_KEY_CHARACTERS:
        message = f"{rule}: key is {key!r:.60}; it must be a text of 1 to {_LONGEST_KEY_CHARACTERS} characters"
        raise InvalidArgumentError(message)
