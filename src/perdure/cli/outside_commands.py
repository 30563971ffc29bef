"""The commands for what goes in and out of a run beside its result: outcomes of activities, and streams."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from perdure.cli.arguments import HERE, DatabaseArguments, Json, RunId

__all__ = ["complete", "fail", "stream"]

Token = Annotated[str, Parameter(name="TOKEN", help="The token that the activity handed out.")]
ToldAgain = Annotated[
    str | None, Parameter(help="Makes a repetition of this call harmless; so does the same outcome told again.")
]


def complete(
    token: Token,
    value: Annotated[str, Parameter(help="The activity's result, in JSON.")] = "null",
    /,
    *,
    request_id: ToldAgain = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Complete a deferred activity; return when that is durable."""
    from perdure.cli.completing import complete_activity

    return asyncio.run(complete_activity(database.place(), token, value, request_id=request_id, as_json=json))


def fail(
    token: Token,
    message: Annotated[str, Parameter(help="What went wrong.")],
    /,
    *,
    final: Annotated[bool, Parameter(negative="", help="Make no further attempt, whatever the retry policy.")] = False,
    request_id: ToldAgain = None,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Fail a deferred activity, which is tried again by its retry policy; return when that is durable."""
    from perdure.cli.completing import fail_activity

    return asyncio.run(
        fail_activity(database.place(), token, message, is_final=final, request_id=request_id, as_json=json)
    )


def stream(
    id: RunId,
    name: Annotated[str, Parameter(help="Name of the stream.")],
    /,
    *,
    after: Annotated[str, Parameter(help="Only values after this position, which --json prints.")] = "",
    follow: Annotated[bool, Parameter(negative="", help="Go on with each new value until the run has ended.")] = False,
    database: DatabaseArguments = HERE,
    json: Json = False,
) -> int:
    """Print what a run publishes on a stream, one value per line."""
    from perdure.cli.streaming import print_stream

    return asyncio.run(print_stream(database.place(), id, name, after=after, follows=follow, as_json=json))
