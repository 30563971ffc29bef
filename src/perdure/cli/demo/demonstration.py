"""The demonstration as a list of steps: start, watch, kill in the middle, start again unless others work, watch to the
end, judge."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.database import store_of, url_of
from perdure.cli.demo.ending import print_verdict, verdict_for_programs
from perdure.cli.demo.location import orders_file
from perdure.cli.demo.observation import Destination, Observation, Snapshot
from perdure.cli.demo.server import cut_off, postgres_server, url_for_worker
from perdure.cli.demo.services_census import ServicesCensus, count_services
from perdure.cli.demo.verdict import Kill, Verdict, judge
from perdure.cli.demo.view import View, make_view
from perdure.cli.demo.worker_process import WorkerProcess, start_program, start_worker
from perdure.cli.exits import ExitCode
from perdure.cli.printing import complain, print_json
from perdure.engine import Engine
from perdure.errors import InvalidArgumentError

__all__ = ["Scene", "demonstrate"]

_PACE: Final = 1.0
_FAST_PACE: Final = 0.1
_LOOK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 1.5
_LONGEST_SECONDS: Final = 180.0
_MOST_WORKERS: Final = 16
# The middle: some customers are charged, others wait, and a service has just done something that nobody recorded yet.
_CHARGES_BEFORE_KILL: Final = 6
_UNDER_WAY_BEFORE_KILL: Final = 3
_AT_WORK_BEFORE_KILL: Final = 2
_CLOSED_BEFORE_KILL: Final = 8  # whoever has the others by then


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Where the demonstration takes place, with how many workers, and how fast: `pace` 1 is made for watching.

    `server`: the URL of the PostgreSQL server with the runs, empty for a file.
    """

    directory: Path
    pace: float
    workers: int = 1
    server: str = ""

    @property
    def url(self) -> str:
        """The database of the runs."""
        return self.server or url_of(self.directory / "perdure.db")

    @property
    def services(self) -> Path:
        """The file of the simulated outside services."""
        return self.directory / "services.db"

    @property
    def log(self) -> Path:
        """What the workers print."""
        return self.directory / "worker.log"


def demonstrate(
    *, directory: Path | None, is_fast: bool, as_json: bool, workers: int = 1, on_postgres: bool = False
) -> int:
    """Run the demonstration; return OK if every check holds.

    Raises InvalidArgumentError for a directory in use and a number of workers that is none, LocalPostgresError where no
    server can be started.
    """
    if not 1 <= workers <= _MOST_WORKERS:
        raise InvalidArgumentError(f"{workers} workers; there may be 1 to {_MOST_WORKERS}")
    destinations = msgspec.json.decode(orders_file().read_bytes(), type=list[Destination])
    folder, pace = _prepared(directory), _FAST_PACE if is_fast else _PACE
    with postgres_server() if on_postgres else nullcontext("") as server:
        scene = Scene(directory=folder, pace=pace, workers=workers, server=server)
        with make_view(is_quiet=as_json) as view:
            verdict = asyncio.run(_Demonstration(scene, destinations, view).run())
        if as_json:
            print_json(verdict_for_programs(verdict, scene.url, scene.services))
        else:
            print_verdict(verdict, scene.url, scene.services, is_kept=not on_postgres)
    if not verdict.holds:
        complain(f"a check failed; the workers' output is in {scene.log}", command="demo")
    return ExitCode.OK if verdict.holds else ExitCode.ERROR


def _prepared(directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="perdure-demo-"))
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        message = f"{directory} is not empty; the demonstration begins with a new database: name a new folder"
        raise InvalidArgumentError(message)
    return directory.absolute()


class _Demonstration:
    """One demonstration under way."""

    def __init__(self, scene: Scene, destinations: list[Destination], view: View) -> None:
        self._scene = scene
        self._destinations = destinations
        self._view = view
        self._begun = time.monotonic()
        self._numbers: dict[int, int] = {}
        self._snapshot = Snapshot(orders=())

    async def run(self) -> Verdict:
        """Go through all steps; return the verdict also when a worker ended badly or the time is over."""
        scene = self._scene
        async with Engine(scene.url, works=False, name="perdure-demo") as engine:
            observation = Observation(store_of(engine), self._destinations)
            workers = [await self._start_worker(number, "started") for number in range(1, scene.workers + 1)]
            program = workers[0] if scene.workers == 1 else await self._start_program(works=False)
            kill: Kill | None = None
            try:
                census = await self._watch(observation, program, partial(self._is_the_middle, workers))
                if program.exit_code is None:
                    workers.sort(key=self._orders_of, reverse=True)
                    kill = await self._kill(observation, workers.pop(0), census)
                    kill = await self._cut_off(kill, workers)
                    if not workers:
                        await asyncio.sleep(_PAUSE_SECONDS * scene.pace)
                        program = await self._start_worker(1, "started again")
                    await self._watch(observation, program, _is_the_end)
                    if program.exit_code is None and self._has_time:
                        await program.wait()
                await observation.look()
                exit_codes = [program.exit_code, *[await worker.stop() for worker in workers]]
            finally:
                await asyncio.gather(*(process.kill() for process in (program, *workers)))
        return judge(
            self._destinations,
            observation.reports,
            count_services(scene.services),
            kill=kill,
            exit_codes=exit_codes,
            seconds=time.monotonic() - self._begun,
        )

    async def _start_worker(self, number: int, done: str) -> WorkerProcess:
        """Start one that works: the program itself, if there is one only."""
        if self._scene.workers == 1:
            worker = await self._start_program(works=True)
        else:
            url = url_for_worker(self._scene.url, number) if self._scene.server else self._scene.url
            worker = await start_worker(
                url=url, services=self._scene.services, log=self._scene.log, pace=self._scene.pace
            )
        self._numbers[worker.number] = number
        self._view.tell(f"worker {self._named(worker)}{done} (process {worker.number})")
        return worker

    async def _start_program(self, *, works: bool) -> WorkerProcess:
        scene = self._scene
        return await start_program(url=scene.url, services=scene.services, log=scene.log, pace=scene.pace, works=works)

    def _named(self, worker: WorkerProcess) -> str:
        return f"{self._numbers[worker.number]} " if self._scene.workers > 1 else ""

    async def _watch(
        self, observation: Observation, program: WorkerProcess, until: Callable[[Snapshot, ServicesCensus], bool]
    ) -> ServicesCensus:
        """Look again and again until something is so, the program has ended or the time is over."""
        while True:
            snapshot = await observation.look()
            census = await asyncio.to_thread(count_services, self._scene.services)
            self._view.show(snapshot)
            if until(snapshot, census) or program.exit_code is not None or not self._has_time:
                return census
            await asyncio.sleep(_LOOK_SECONDS * self._scene.pace)

    def _is_the_middle(self, workers: Sequence[WorkerProcess], snapshot: Snapshot, census: ServicesCensus) -> bool:
        self._snapshot = snapshot
        at_work = sum(bool(self._orders_of(worker)) for worker in workers)
        return (
            sum(census.charges.values()) >= _CHARGES_BEFORE_KILL
            and snapshot.under_way >= _UNDER_WAY_BEFORE_KILL
            and census.unanswered_calls > 0
            and (at_work >= min(len(workers), _AT_WORK_BEFORE_KILL) or snapshot.closed >= _CLOSED_BEFORE_KILL)
        )

    def _orders_of(self, worker: WorkerProcess) -> int:
        return self._snapshot.under_way_at(worker.number)

    async def _kill(self, observation: Observation, worker: WorkerProcess, before: ServicesCensus) -> Kill:
        await worker.kill()
        snapshot = await observation.look()
        census = await asyncio.to_thread(count_services, self._scene.services)
        kill = Kill(
            process=worker.number,
            orders_under_way=snapshot.under_way,
            calls_cut_off=census.unanswered_calls,
            charges_before=sum(before.charges.values()),
        )
        self._view.tell(
            f"worker {self._named(worker)}killed with SIGKILL: {kill.orders_under_way} orders under way, "
            f"{kill.calls_cut_off} calls without an answer"
        )
        self._view.show(snapshot)
        return kill

    async def _cut_off(self, kill: Kill, others: Sequence[WorkerProcess]) -> Kill:
        """Have the server end its backends for another worker, if there are both."""
        scene = self._scene
        if not scene.server or not others:
            return kill
        count = await cut_off(scene.server, self._numbers[others[0].number])
        self._view.tell(f"worker {self._named(others[0])}cut off: the server has killed its {count} backends")
        return msgspec.structs.replace(kill, connections_cut_off=count)

    @property
    def _has_time(self) -> bool:
        return time.monotonic() - self._begun < _LONGEST_SECONDS


def _is_the_end(snapshot: Snapshot, _census: ServicesCensus) -> bool:
    return snapshot.closed == len(snapshot.orders)
