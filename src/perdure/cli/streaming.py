"""`perdure stream`: the values that a run publishes, as they come."""

import sys
from contextlib import aclosing

import msgspec

from perdure.authoring.streams import Stream
from perdure.cli.database import Place, as_client
from perdure.cli.exits import ExitCode
from perdure.cli.printing import answer_line, print_json_line
from perdure.client.handle import Run

__all__ = ["print_stream"]


async def print_stream(place: Place, run_id: str, name: str, *, after: str, follows: bool, as_json: bool) -> int:
    """Print the values of a stream. Raises as `Run.stream`, and NoDatabaseError, StoreErrors, UsageError."""
    async with as_client(place) as engine:
        run: Run[object] = await engine.get_run(run_id)
        async with aclosing(run.stream(Stream(name), after=after, follow=follows)) as values:
            async for item in values:
                if as_json:
                    print_json_line(msgspec.to_builtins(item), is_answer=True)
                else:
                    print(answer_line(item.value))
                sys.stdout.flush()
    return ExitCode.OK
