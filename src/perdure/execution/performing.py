"""Performing an order: what every process that runs activities for an executor elsewhere does with one.

The module that defines the activity is imported, and the activity taken from the registry by its name. What is recorded
of its end comes back as a report, whatever it raises.
"""

import importlib
import time
from typing import Any, Final

import msgspec

from perdure.authoring.activity import Activity
from perdure.authoring.activity_context import Deferring, RunningAttempt, running_attempt
from perdure.authoring.registry import default_registry
from perdure.errors import UnknownActivityError
from perdure.execution.process_messages import Deferred, Perform, Raised, Returned
from perdure.kernel.failure import Failure
from perdure.redaction import recorded_failure

__all__ = ["perform"]


def perform(order: Perform, attempt: RunningAttempt) -> Returned | Raised | Deferred:
    """Run the function of an order as `attempt`, in a context of its own, and return what became of it."""
    try:
        definition = _find_activity(order.module, order.attempt.activity)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything when it is imported
        return Raised(number=order.number, failure=_final(recorded_failure(error, room=_ROOM_TO_CONCEAL)))
    running_attempt.set(attempt)
    begun_at = time.process_time()
    try:
        args, kwargs = definition.signature.decode_arguments(order.input)
        value = definition.function(*args, **kwargs)
        result = definition.signature.encode_result(value, maximum_bytes=order.maximum_bytes)
    except Deferring:
        return Deferred(number=order.number, cpu_seconds=time.process_time() - begun_at)
    except BaseException as error:  # noqa: BLE001 - the outermost call of user code; its error becomes an event
        return Raised(number=order.number, failure=recorded_failure(error, room=_ROOM_TO_CONCEAL))
    return Returned(number=order.number, result=result, cpu_seconds=time.process_time() - begun_at)


def _find_activity(module: str, name: str) -> Activity[..., Any]:
    """Import `module` and return the activity of this name. Raises UnknownActivityError, or what the import raises."""
    importlib.import_module(module)
    try:
        return default_registry.activity(name)
    except UnknownActivityError as error:
        message = (
            f"importing {module} in a worker process does not define the activity {name!r}; define it at the top level "
            f"of a module, not inside a function or below `if __name__ == '__main__'`"
        )
        raise UnknownActivityError(message) from error


def _final(failure: Failure) -> Failure:
    """Rule out another try: the code will not be there the next time either."""
    return msgspec.structs.replace(failure, retryable=False)


_ROOM_TO_CONCEAL: Final = 16
"""How many times longer texts go to the parent than it records: it may know secrets where they would be cut."""
