"""Workloads of schedules: runs at nominal times, started once each whatever strikes their keepers."""

import asyncio
import random
from datetime import timedelta
from typing import Any, Final

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.client.client import Client
from perdure.errors import ScheduleExistsError
from perdure.timekeeping.schedules import Overlap, run_id_of
from perdure.timekeeping.specs import Every
from perdure.torture.simulation.program import Call
from perdure.torture.simulation.tables import Tables
from perdure.torture.simulation.workloads.activities import step
from perdure.torture.simulation.workloads.workload import Workload
from perdure.torture.simulation.world import EPOCH

__all__ = ["WORKLOADS"]

_EVERY_SECONDS: Final = 4
_TIMES: Final = 5


@workflow(name="sim_scheduled")
async def scheduled(_ctx: Context, seconds: int) -> str:
    """Have an effect and take a while."""
    await step("scheduled")
    await asyncio.sleep(seconds)
    return "done"


def _program(overlap: Overlap, seconds: int) -> Any:  # noqa: ANN401 - see Workload.program
    last = run_id_of("s", EPOCH + _EVERY_SECONDS * _TIMES * 1_000_000)  # type: ignore[arg-type]

    async def create(client: Client) -> None:
        # A client that does not know whether its first call was saved takes the refusal for a yes.
        try:
            await client.schedules.create(
                "s",
                scheduled,
                seconds,
                when=Every(timedelta(seconds=_EVERY_SECONDS)),
                overlap=overlap,
                catch_up=None,
                limit=_TIMES,
            )
        except ScheduleExistsError:
            return

    def exists(tables: Tables) -> bool:
        return bool(tables.database.agenda.dump())

    def program(_chance: random.Random) -> list[Call]:
        return [
            Call(name="create s", run_id=last, perform=create, is_done=exists, when=lambda _tables: True),
        ]

    return program


WORKLOADS: Final = (
    Workload(name="schedule", program=_program(Overlap.ALLOW_ALL, 1), is_compared=False),
    Workload(name="schedule_buffered", program=_program(Overlap.BUFFER_ALL, 6), is_compared=False),
    Workload(name="schedule_skipping", program=_program(Overlap.SKIP, 6), is_compared=False),
    Workload(name="schedule_cancelling", program=_program(Overlap.CANCEL_OTHER, 6), is_compared=False),
)
