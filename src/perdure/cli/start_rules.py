"""The rules of a start, as a command line gives them."""

from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from perdure.cli.times import parse_duration
from perdure.client.start_rules import Debounce, Deduplicate, Singleton, WhenOpen
from perdure.errors import InvalidArgumentError

if TYPE_CHECKING:
    from perdure.cli.start_commands import RuleArguments

__all__ = ["Rules", "rules_of"]


class Rules(TypedDict, total=False):
    """The options of `Engine.start` that say what becomes of several starts."""

    debounce: Debounce
    deduplicate: Deduplicate
    singleton: Singleton


def rules_of(said: "RuleArguments") -> Rules:
    """Return what the arguments say, none or several of them; `Engine.start` takes one. Raises InvalidArgumentError."""
    _refuse_alone(said)
    rules: Rules = {}
    if said.debounce is not None:
        longest = None if said.max_wait is None else parse_duration(said.max_wait)
        wait = _demanded(said.wait, "--debounce KEY goes with --wait, for example --wait 10s")
        rules["debounce"] = Debounce(said.debounce, wait, longest)
    if said.deduplicate is not None:
        window = _demanded(said.window, "--deduplicate KEY goes with --window, for example --window 1h")
        rules["deduplicate"] = Deduplicate(said.deduplicate, window)
    if said.singleton is not None:
        rules["singleton"] = Singleton(said.singleton, said.when_open or WhenOpen.REJECT)
    return rules


def _demanded(text: str | None, message: str) -> timedelta:
    if text is None:
        raise InvalidArgumentError(message)
    return parse_duration(text)


def _refuse_alone(said: "RuleArguments") -> None:
    """Refuse what goes with a rule that is not given."""
    for name, value, partner, is_given in (
        ("--wait", said.wait, "--debounce", said.debounce is not None),
        ("--max-wait", said.max_wait, "--debounce", said.debounce is not None),
        ("--window", said.window, "--deduplicate", said.deduplicate is not None),
        ("--when-open", said.when_open, "--singleton", said.singleton is not None),
    ):
        if value is not None and not is_given:
            message = f"{name} goes with {partner} KEY"
            raise InvalidArgumentError(message)
