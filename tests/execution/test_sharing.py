"""Runs that wait for slots of a loaded worker are given to workers that have free ones."""

import asyncio
from collections.abc import Callable
from copy import copy

import pytest

from perdure import Context, Engine, Run, Settings, activity, current_attempt, workflow
from perdure.authoring.fingerprint import fingerprint
from perdure.authoring.registry import Registry
from perdure.kernel.options import Executor
from perdure.stores.memory import MemoryDatabase, MemoryStore
from tests.execution.waiting_workflows import go, held
from tests.journeys.workflows import until

_begun: dict[str, int] = {}
_gates: dict[str, asyncio.Event] = {}
ONE_SLOT = Settings(loop_slots=1, lease_seconds=600.0, idle_seconds=600.0)
MANY_SLOTS = Settings(loop_slots=10, lease_seconds=600.0, idle_seconds=600.0)


@pytest.fixture(autouse=True)
def _new_gates() -> None:
    _begun.clear()
    _gates.clear()
    _gates["all"] = asyncio.Event()


@activity(name="shared_work")
async def work() -> str:
    run_id = current_attempt().run_id
    _begun[run_id] = _begun.get(run_id, 0) + 1
    await _gates["all"].wait()
    return run_id


@workflow(name="shared_run")
async def shared(_: Context) -> str:
    return await work()


@workflow(name="shared_once")
async def once(_: Context) -> str:
    return await work.options(at_most_once=True)()


def engine_on(database: MemoryDatabase, settings: Settings, name: str, registry: Registry | None = None) -> Engine:
    return Engine(MemoryStore(database), settings=settings, name=name, registry=registry)


async def started(engine: Engine, count: int) -> list[Run[str]]:
    return [await engine.start(shared, id=f"run-{number}") for number in range(count)]


async def look(*engines: Engine) -> None:
    """Do what each worker does with the renewals of its lease, twice: what waits must do so for both."""
    for _ in range(2):
        for engine in engines:
            await engine.worker.sharing.look()


async def have_begun(count: int) -> None:
    async def is_so() -> bool:
        return len(_begun) >= count

    await until(is_so)


async def test_runs_that_wait_for_slots_go_to_a_worker_that_has_free_ones() -> None:
    database = MemoryDatabase()
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, MANY_SLOTS, "idle") as idle:
        runs = await started(loaded, 5)
        await have_begun(1)
        assert (loaded.worker.dispatcher.waiting, len(idle.worker.active)) == (4, 0)
        await look(idle, loaded)
        await have_begun(5)
        assert (len(loaded.worker.active), len(idle.worker.active)) == (1, 4)
        _gates["all"].set()
        assert [await run.result() for run in runs] == [run.id for run in runs]
    assert set(_begun.values()) == {1}


async def test_half_as_many_are_given_as_there_are_free_slots_and_the_latest_first() -> None:
    database, four = MemoryDatabase(), Settings(loop_slots=4, lease_seconds=600.0)
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, four, "idle") as idle:
        await started(loaded, 6)
        await have_begun(1)
        await look(idle, loaded)
        await have_begun(3)
        assert sorted(_begun) == ["run-0", "run-4", "run-5"]
        assert loaded.worker.dispatcher.waiting == 3
        await look(idle, loaded)
        await have_begun(5)
        assert loaded.worker.dispatcher.waiting == 1
        _gates["all"].set()


async def test_who_is_loaded_itself_gets_nothing() -> None:
    database = MemoryDatabase()
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, ONE_SLOT, "other") as other:
        await other.start(shared, id="own")
        await started(loaded, 3)
        await have_begun(2)
        await look(other, loaded)
        assert loaded.worker.dispatcher.waiting == 2
        _gates["all"].set()


async def test_who_has_no_room_in_memory_gets_nothing_whatever_slots_are_free() -> None:
    database, full_settings = MemoryDatabase(), Settings(active_runs=1, loop_slots=10, lease_seconds=600.0)
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, full_settings, "full") as full:
        await full.start(shared, id="own")
        await started(loaded, 3)
        await have_begun(2)
        await look(full, loaded)
        assert loaded.worker.dispatcher.waiting == 2
        assert full.worker.sharing.serving.room == {}
        _gates["all"].set()


async def test_who_can_make_room_in_memory_gets_as_many_as_fit() -> None:
    """By letting a run go that only waits."""
    database = MemoryDatabase()
    settings = Settings(active_runs=2, loop_slots=10, lease_seconds=600.0, idle_seconds=600.0)
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, settings, "other") as other:
        await other.start(shared, id="own")
        waiting = await other.start(held, id="held")

        async def is_waiting() -> bool:
            active = other.worker.active.get((await waiting.describe()).run_key)
            return active is not None and active.is_idle

        await until(is_waiting)
        await started(loaded, 4)
        await have_begun(2)
        await look(other, loaded)
        await have_begun(3)
        assert loaded.worker.dispatcher.waiting == 2
        await waiting.signal(go, 1)
        _gates["all"].set()


async def test_what_has_waited_for_a_moment_only_stays() -> None:
    database = MemoryDatabase()
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, MANY_SLOTS, "idle") as idle:
        await started(loaded, 3)
        await have_begun(1)
        await idle.worker.sharing.look()
        await loaded.worker.sharing.look()
        assert loaded.worker.dispatcher.waiting == 2
        _gates["all"].set()


async def test_a_run_whose_attempt_counts_as_begun_stays() -> None:
    database = MemoryDatabase()
    async with engine_on(database, ONE_SLOT, "loaded") as loaded, engine_on(database, MANY_SLOTS, "idle") as idle:
        await started(loaded, 1)
        await have_begun(1)
        run = await loaded.start(once, id="once")

        async def is_waiting() -> bool:
            return loaded.worker.dispatcher.waiting == 1

        await until(is_waiting)
        await look(idle, loaded)
        assert loaded.worker.dispatcher.waiting == 1
        _gates["all"].set()
        assert await run.result() == "once"


async def test_workers_with_other_code_do_not_share() -> None:
    database, other_code = MemoryDatabase(), Registry()
    other_code.add_activity(work)
    other_code.add_workflow(shared)
    async with (
        engine_on(database, ONE_SLOT, "loaded") as loaded,
        engine_on(database, MANY_SLOTS, "other", other_code) as other,
    ):
        await started(loaded, 3)
        await have_begun(1)
        await look(other, loaded)
        assert loaded.worker.dispatcher.waiting == 2
        _gates["all"].set()


async def test_workers_with_other_code_of_the_same_names_do_not_share() -> None:
    async def patched(ctx: Context) -> str:
        return await work() if ctx.patched("more") else ""

    newer = copy(shared)
    newer.function = patched
    registries = [Registry(), Registry()]
    for registry, definition in zip(registries, (newer, shared), strict=True):
        registry.add_activity(work)
        registry.add_workflow(definition)
    database = MemoryDatabase()
    async with (
        engine_on(database, ONE_SLOT, "new", registries[0]) as new,
        engine_on(database, MANY_SLOTS, "old", registries[1]) as old,
    ):
        await started(new, 3)
        await have_begun(1)
        await look(old, new)
        assert new.worker.dispatcher.waiting == 2
        _gates["all"].set()


_found: Callable[[], None] | None = None


@workflow(name="shared_lazily")
async def lazily(_: Context) -> bool:
    return _found is not None


def lazy_registry() -> Registry:
    registry = Registry()
    registry.add_workflow(lazily)
    return registry


@pytest.mark.parametrize("comes_late", [False, True])
async def test_a_worker_is_named_by_its_code_as_it_came_also_while_it_is_alone(
    monkeypatch: pytest.MonkeyPatch, *, comes_late: bool
) -> None:
    database, registry = MemoryDatabase(), Registry() if comes_late else lazy_registry()
    name = fingerprint(lazy_registry())
    async with engine_on(database, MANY_SLOTS, "alone", registry) as alone:
        if comes_late:
            registry.add_workflow(lazily)
            await alone.worker.sharing.look()
        monkeypatch.setattr(f"{__name__}._found", lambda: None)
        assert fingerprint(lazy_registry()) != name
        async with engine_on(database, MANY_SLOTS, "other") as other:
            await alone.worker.sharing.look()
            (one,) = await other.worker.store.list_servers()
            assert one.serving.code == name


async def test_a_worker_alone_announces_nothing_and_one_that_has_room_does_so_once() -> None:
    database = MemoryDatabase()
    async with engine_on(database, MANY_SLOTS, "alone") as alone:
        await alone.worker.sharing.look()
        assert await alone.worker.store.list_servers() == []
        async with engine_on(database, MANY_SLOTS, "other") as other:
            await alone.worker.sharing.look()
            (one,) = await other.worker.store.list_servers()
            assert one.serving.room[Executor.LOOP] == 10
            _gates["all"].set()
            await (await alone.start(shared, id="run")).result()
            await alone.worker.sharing.look()
            assert await other.worker.store.list_servers() == [one]


async def test_a_client_announces_nothing_and_a_worker_that_closes_that_it_has_no_slots() -> None:
    database = MemoryDatabase()
    client = Engine(MemoryStore(database), name="client", works=False)
    async with engine_on(database, MANY_SLOTS, "one") as one, client:
        await look(one, client)
        assert [server.name for server in await client.worker.store.list_servers()] == ["one"]
        one.worker.is_claiming = False
        await look(one)
        (server,) = await client.worker.store.list_servers()
        assert server.serving.room == {}


async def test_a_worker_whose_session_was_taken_for_dead_announces_itself_anew() -> None:
    database = MemoryDatabase()
    async with engine_on(database, MANY_SLOTS, "one") as one, engine_on(database, MANY_SLOTS, "other"):
        await look(one)
        database.sessions[one.worker.worker_id].serving = None
        one.worker.drop_all("the session was forgotten")
        await look(one)
        assert database.sessions[one.worker.worker_id].serving is not None
