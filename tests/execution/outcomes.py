"""What became of a call, as a text that a workflow can return."""

from collections.abc import Awaitable
from typing import Any

from perdure import ActivityFailedError, ActivityTimeoutError


async def outcome_of(call: Awaitable[Any]) -> Any:
    """Return what the call returns, or the error it raises."""
    try:
        return await call
    except (ActivityFailedError, ActivityTimeoutError) as error:
        return f"{getattr(error, 'failure_type', 'timeout')} | {getattr(error, 'failure_message', error)}"
