"""Unwinding: what is left of a process whose death was played, and must not complain when it is collected."""

import asyncio
from typing import Any, Final

__all__ = ["unwind"]

_CLOSE_ATTEMPTS: Final = 20


def unwind(task: "asyncio.Task[Any]") -> None:
    """Close the coroutine of a task that will never run again; whatever its clean-up raises concerns nobody."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as loops do
    coroutine: Any = task.get_coro()  # asyncio says no more about it
    for _ in range(_CLOSE_ATTEMPTS):
        try:
            coroutine.close()
        except RuntimeError:  # its clean-up awaited something: close it there, too
            continue
        except BaseException:  # noqa: BLE001 - dying code
            return
        return
