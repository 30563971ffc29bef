"""`perdure complete` and `perdure fail`: the outcome of a deferred activity, from a shell."""

from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.json_values import read_json
from perdure.cli.printing import print_json
from perdure.errors import NonRetryableError

__all__ = ["complete_activity", "fail_activity"]


async def complete_activity(place: Place, token: str, value: str, *, request_id: str | None, as_json: bool) -> int:
    """Complete an attempt. Raises as `Client.complete`, and NoDatabaseError, StoreErrors, UsageError."""
    result = read_json(value, "the value")
    async with as_client(place) as engine:
        await engine.complete(token, result, request_id=request_id)
    _tell("completed", token, as_json=as_json)
    return ExitCode.OK


async def fail_activity(
    place: Place, token: str, message: str, *, is_final: bool, request_id: str | None, as_json: bool
) -> int:
    """Fail an attempt. Raises as `Client.fail`, and NoDatabaseError, StoreErrors, UsageError."""
    error = NonRetryableError(message) if is_final else RuntimeError(message)
    async with as_client(place) as engine:
        await engine.fail(token, error, request_id=request_id)
    _tell("failed", token, as_json=as_json)
    return ExitCode.OK


def _tell(became: str, token: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"token": token, became: True}, is_answer=True)
    else:
        print(f"The activity is {became}; its run takes that from its inbox.")
