"""The demonstration as a list of steps: start, watch, kill in the middle, start again, watch to the end, judge."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.database import store_of, url_of
from perdure.cli.demo.ending import print_verdict, verdict_for_programs
from perdure.cli.demo.location import orders_file
from perdure.cli.demo.observation import Destination, Observation, Snapshot
from perdure.cli.demo.services_census import ServicesCensus, count_services
from perdure.cli.demo.verdict import Kill, Verdict, judge
from perdure.cli.demo.view import View, make_view
from perdure.cli.demo.worker_process import WorkerProcess
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
# The middle: some customers are charged, others wait, and a service has just done something that nobody recorded yet.
_CHARGES_BEFORE_KILL: Final = 6
_UNDER_WAY_BEFORE_KILL: Final = 3


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Where the demonstration takes place, and how fast: `pace` 1 is made for watching."""

    directory: Path
    pace: float

    @property
    def database(self) -> Path:
        """The database of the runs."""
        return self.directory / "perdure.db"

    @property
    def services(self) -> Path:
        """The file of the simulated outside services."""
        return self.directory / "services.db"

    @property
    def log(self) -> Path:
        """What the workers print."""
        return self.directory / "worker.log"


def demonstrate(*, directory: Path | None, is_fast: bool, as_json: bool) -> int:
    """Run the demonstration; return OK if every check holds. Raises InvalidArgumentError for a directory in use."""
    scene = Scene(directory=_prepared(directory), pace=_FAST_PACE if is_fast else _PACE)
    destinations = msgspec.json.decode(orders_file().read_bytes(), type=list[Destination])
    with make_view(is_quiet=as_json) as view:
        verdict = asyncio.run(_Demonstration(scene, destinations, view).run())
    if as_json:
        print_json(verdict_for_programs(verdict, scene.database, scene.services))
    else:
        print_verdict(verdict, scene.database, scene.services)
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

    async def run(self) -> Verdict:
        """Go through all steps; return the verdict also when a worker ended badly or the time is over."""
        scene = self._scene
        async with Engine(url_of(scene.database), works=False, name="perdure-demo") as engine:
            observation = Observation(store_of(engine), self._destinations)
            worker = await self._start_worker("started")
            kill: Kill | None = None
            try:
                census = await self._watch(observation, worker, self._is_the_middle)
                if worker.exit_code is None:
                    kill = await self._kill(observation, worker, census)
                    await asyncio.sleep(_PAUSE_SECONDS * scene.pace)
                    worker = await self._start_worker("started again")
                    await self._watch(observation, worker, _is_the_end)
                    if worker.exit_code is None and self._has_time:
                        await worker.wait()
                await observation.look()
            finally:
                exit_code = worker.exit_code
                await worker.kill()
        return judge(
            self._destinations,
            observation.reports,
            count_services(scene.services),
            kill=kill,
            exit_code=exit_code,
            seconds=time.monotonic() - self._begun,
        )

    async def _start_worker(self, done: str) -> WorkerProcess:
        scene = self._scene
        worker = await WorkerProcess.start(
            url=url_of(scene.database), services=scene.services, log=scene.log, pace=scene.pace
        )
        self._view.tell(f"worker {done} (process {worker.number})")
        return worker

    async def _watch(
        self, observation: Observation, worker: WorkerProcess, until: Callable[[Snapshot, ServicesCensus], bool]
    ) -> ServicesCensus:
        """Look again and again until something is so, the worker has ended or the time is over."""
        while True:
            snapshot = await observation.look()
            census = await asyncio.to_thread(count_services, self._scene.services)
            self._view.show(snapshot)
            if until(snapshot, census) or worker.exit_code is not None or not self._has_time:
                return census
            await asyncio.sleep(_LOOK_SECONDS * self._scene.pace)

    @staticmethod
    def _is_the_middle(snapshot: Snapshot, census: ServicesCensus) -> bool:
        return (
            sum(census.charges.values()) >= _CHARGES_BEFORE_KILL
            and snapshot.under_way >= _UNDER_WAY_BEFORE_KILL
            and census.unanswered_calls > 0
        )

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
            f"worker killed with SIGKILL: {kill.orders_under_way} orders under way, "
            f"{kill.calls_cut_off} calls without an answer"
        )
        self._view.show(snapshot)
        return kill

    @property
    def _has_time(self) -> bool:
        return time.monotonic() - self._begun < _LONGEST_SECONDS


def _is_the_end(snapshot: Snapshot, _census: ServicesCensus) -> bool:
    return snapshot.closed == len(snapshot.orders)
