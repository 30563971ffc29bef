"""Waiting for a condition: what the author may give, and what is said about anything else."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta

from perdure.authoring.definitions import require_kind
from perdure.errors import InvalidArgumentError
from perdure.kernel.journal import Journal

__all__ = ["wait_for_condition"]


async def wait_for_condition(journal: Journal, condition: Callable[[], object], *, timeout: timedelta | None) -> None:
    """Wait until `condition()` is true; see `Context.wait_until`."""
    require_kind(timeout, timedelta, "ctx.wait_until: timeout", wanted="a timedelta")
    given: object = condition
    if not callable(given) or inspect.iscoroutinefunction(condition):
        raise InvalidArgumentError(_no_condition(condition))
    journal.require_running()

    def is_true() -> bool:
        answer = condition()
        if inspect.isawaitable(answer):
            if isinstance(answer, Coroutine):
                answer.close()
            raise InvalidArgumentError(_no_condition(condition))
        return bool(answer)

    if timeout is None:
        await journal.conditions.wait_until(is_true)
    else:
        async with asyncio.timeout(timeout.total_seconds()):
            await journal.conditions.wait_until(is_true)


def _no_condition(given: object) -> str:
    named = getattr(given, "__qualname__", None) or f"{given!r:.60}"
    return (
        f"ctx.wait_until: {named} is no condition. Give a plain function that only reads the workflow's variables and "
        f"says whether to go on, lambda: len(items) >= 3; what it would await, the workflow's code does before"
    )
