"""Locks that runs share, as a run lives them: asked for, given, refused, withdrawn, given back."""

import asyncio
from datetime import timedelta

import pytest

from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.errors import DeadlockError, IllegalTransitionError, InvalidArgumentError, WrongContextError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.locking import LockRelease, LockRequest, LockWait
from perdure.kernel.payload import NULL
from perdure.kernel.pending import OpenLock
from perdure.kernel.transition import RunStatus
from tests.kernel.lives import Life, Script, life_of, replay

ONE, TWO, THREE = Operation(1), Operation(2), Operation(3)
CIRCLE = (LockWait(run=RunRef(id="run"), key="b"), LockWait(run=RunRef(id="other"), key="a"))


@workflow(name="kernel_locking")
async def locking(ctx: Context) -> int:
    async with ctx.lock("a") as lock:
        await asyncio.sleep(10)
        return lock.token


@workflow(name="kernel_sharing")
async def sharing(ctx: Context) -> list[int]:
    async with ctx.lock("a", shared=True) as one, ctx.semaphore("b", limit=3) as two:
        return [one.token, two.token]


@workflow(name="kernel_waiting_a_while")
async def waiting_a_while(ctx: Context) -> str:
    try:
        async with ctx.lock("a", timeout=timedelta(seconds=5)):
            return "in time"
    except TimeoutError:
        return "too late"


@workflow(name="kernel_trying")
async def trying(ctx: Context, seconds: int) -> str:
    try:
        async with ctx.lock("a", timeout=timedelta(seconds=seconds)):
            return "free"
    except TimeoutError as error:
        return str(error)


@workflow(name="kernel_in_two_tasks")
async def in_two_tasks(ctx: Context) -> None:
    async def take(key: str) -> None:
        async with ctx.lock(key):
            await asyncio.sleep(1)

    async with ctx.lock("around"):
        await asyncio.gather(take("a"), take("b"))


@workflow(name="kernel_outliving_the_block")
async def outliving_the_block(ctx: Context) -> None:
    async def take(key: str, *, after: float) -> None:
        await asyncio.sleep(after)
        async with ctx.lock(key):
            pass

    async with ctx.lock("around"):
        tasks = [asyncio.create_task(take("early", after=1)), asyncio.create_task(take("late", after=3))]
        await asyncio.sleep(2)
    await asyncio.gather(*tasks)


@workflow(name="kernel_meeting_a_deadlock")
async def meeting_a_deadlock(ctx: Context) -> str:
    async with ctx.lock("a"):
        try:
            async with ctx.lock("b"):
                return "never"
        except DeadlockError as error:
            return f"{error.key} {error.cycle} {error}"


@workflow(name="kernel_letting_go_by_continuing")
async def letting_go_by_continuing(ctx: Context) -> None:
    async with ctx.lock("a"):
        if ctx.info.generation == 1:
            ctx.continue_as_new()


@workflow(name="kernel_leaving_a_task_with_a_lock")
async def leaving_a_task_with_a_lock(ctx: Context) -> None:
    async def keep() -> None:
        async with ctx.lock("a"):
            await asyncio.sleep(100)

    task = asyncio.create_task(keep())
    await asyncio.sleep(1)
    del task


def grant(run: Life, *, operation: int = 1, token: int = 7, generation: int = 1) -> list[e.Event]:
    return run.message(m.LockGrantedMessage(operation=Operation(operation), generation=generation, token=token))


def deny(run: Life, *, operation: int) -> list[e.Event]:
    return run.message(m.LockDeniedMessage(operation=Operation(operation), cycle=CIRCLE))


def releases(run: Life) -> list[e.LockReleased]:
    return [event for event in run.events if isinstance(event, e.LockReleased)]


def test_a_lock_is_asked_for_by_the_transition_that_records_it() -> None:
    run = life_of(locking)
    assert run.begin()[-1] == e.LockRequested(operation=ONE, key="a")
    assert run.advanced.locks == (LockRequest(operation=ONE, key="a", limit=1),)
    assert run.state.locks == {1: OpenLock(key="a", limit=1)}
    assert run.state.next_wake_at(run.state.updated_at) is None


def test_a_lock_that_is_given_is_held_until_its_block_ends() -> None:
    run = life_of(locking)
    run.begin()
    assert grant(run)[0] == e.LockAcquired(operation=ONE, fencing_token=7)
    assert run.state.locks[1].token == 7
    assert releases(run) == []
    run.wait(10)
    assert run.result == 7
    assert releases(run) == [e.LockReleased(operation=ONE)]
    assert run.advanced.locks == (LockRelease(operation=ONE),)
    assert run.state.locks == {}
    assert replay(locking.entry(), run.history, page=1).state == run.state


def test_shared_locks_and_semaphores_say_how_many_may_hold_the_key() -> None:
    run = life_of(sharing)
    run.begin()
    grant(run)
    assert run.advanced.locks == (LockRequest(operation=TWO, key="b", limit=3, holding=(ONE,)),)
    assert run.events[2] == e.LockRequested(operation=ONE, key="a", limit=None)
    grant(run, operation=2, token=9)
    assert run.result == [7, 9]
    assert [event.operation for event in releases(run)] == [2, 1]


def test_a_request_that_is_too_late_is_withdrawn_and_its_grant_dropped() -> None:
    run = life_of(waiting_a_while)
    run.begin()
    run.wait(5)
    assert run.result == "too late"
    assert run.advanced.locks == (LockRelease(operation=ONE),)
    assert run.advanced.must_not_overtake == [m.lock_answer_id(1, ONE)]
    assert replay(waiting_a_while.entry(), run.history, page=1).state == run.state


def test_a_grant_that_comes_with_the_time_out_still_counts() -> None:
    run = life_of(waiting_a_while)
    run.begin()
    run.now += 5_000_000
    grant(run)
    assert run.result == "in time"
    assert run.advanced.must_not_overtake == []
    assert replay(waiting_a_while.entry(), run.history, page=1).state == run.state


@pytest.mark.parametrize("seconds", [0, -1])
def test_who_does_not_want_to_wait_learns_from_the_store_whether_the_lock_is_free(seconds: int) -> None:
    free, taken = life_of(trying, seconds), life_of(trying, seconds)
    for run in (free, taken):
        assert run.begin()[-1] == e.LockRequested(operation=ONE, key="a", waits=False)
        assert run.advanced.locks == (LockRequest(operation=ONE, key="a", limit=1, waits=False),)
        assert run.state.next_wake_at(run.state.updated_at) is None
    grant(free)
    assert free.result == "free"
    taken.message(m.LockDeniedMessage(operation=ONE, cycle=()))
    assert taken.result == "the lock 'a' is not free"
    assert releases(taken) == []
    for run in (free, taken):
        assert replay(trying.entry(), run.history, page=1).state == run.state


def test_a_cancellation_withdraws_the_request() -> None:
    run = life_of(locking)
    run.begin()
    run.cancel()
    assert run.state.status is RunStatus.CANCELLED
    assert run.advanced.locks == (LockRelease(operation=ONE),)
    assert replay(locking.entry(), run.history, page=1).state == run.state


@pytest.mark.parametrize("is_granted", [False, True])
def test_a_termination_gives_back_what_is_held_and_withdraws_what_is_asked_for(is_granted: bool) -> None:
    run = life_of(locking)
    run.begin()
    if is_granted:
        grant(run)
    run.message(m.TerminateMessage(reason="now"))
    assert releases(run) == [e.LockReleased(operation=ONE, reason="the run has ended")]
    assert run.advanced.locks == (LockRelease(operation=ONE),)
    assert replay(locking.entry(), run.history, page=1).state == run.state


def test_a_run_that_continues_as_new_gives_its_locks_back() -> None:
    run = life_of(letting_go_by_continuing)
    run.begin()
    grant(run)
    assert run.state.status is RunStatus.CONTINUED
    assert run.advanced.locks == (LockRelease(operation=ONE),)
    assert replay(letting_go_by_continuing.entry(), run.history, page=1).state == run.state


def test_a_run_that_returns_while_a_task_holds_a_lock_gives_it_back() -> None:
    run = life_of(leaving_a_task_with_a_lock)
    run.begin()
    grant(run, operation=2)
    run.wait(1)
    assert run.state.status is RunStatus.COMPLETED
    assert releases(run) == [e.LockReleased(operation=TWO, reason="the run has ended")]
    assert replay(leaving_a_task_with_a_lock.entry(), run.history, page=1).state == run.state


def test_what_a_task_asks_for_is_asked_within_the_locks_around_its_making_only() -> None:
    run = life_of(in_two_tasks)
    run.begin()
    grant(run)
    asked = [event for event in run.events if isinstance(event, e.LockRequested)]
    assert [(event.key, event.holding) for event in asked] == [("around", ()), ("a", (1,)), ("b", (1,))]


def test_a_task_that_outlives_a_block_asks_within_its_lock_only_until_that_is_given_back() -> None:
    run = life_of(outliving_the_block)
    run.begin()
    grant(run)
    for _ in range(3):
        run.wait(1)
    asked = [event for event in run.events if isinstance(event, e.LockRequested)]
    assert [(event.key, event.holding) for event in asked] == [("around", ()), ("early", (1,)), ("late", ())]
    assert replay(outliving_the_block.entry(), run.history, page=1).state == run.state


def test_a_lock_that_is_refused_raises_an_error_that_names_the_circle() -> None:
    run = life_of(meeting_a_deadlock)
    run.begin()
    grant(run)
    assert deny(run, operation=2)[0] == e.LockDenied(operation=TWO, cycle=CIRCLE)
    assert run.result == (
        "b (('run', 'b'), ('other', 'a')) run run would wait for ever for 'b', held by or promised to run other, which "
        "waits for 'a', held by or promised to run run: take locks in one order everywhere"
    )
    assert [event.operation for event in releases(run)] == [1]
    assert replay(meeting_a_deadlock.entry(), run.history, page=1).state == run.state


def test_news_of_a_lock_that_is_not_waited_for_any_more_are_dropped() -> None:
    run = life_of(locking)
    run.begin()
    assert grant(run, operation=5) == []
    assert grant(run, generation=2) == []
    grant(run)
    assert grant(run, token=8) == []
    assert deny(run, operation=1) == []


def test_a_suspended_run_gets_its_lock_and_goes_on_with_it_when_it_is_resumed() -> None:
    run = life_of(locking)
    run.begin()
    run.message(m.SuspendMessage())
    assert grant(run) == [e.LockAcquired(operation=ONE, fencing_token=7)]
    assert run.state.timers == {}
    run.message(m.ResumeMessage())
    run.wait(10)
    assert run.result == 7
    assert replay(locking.entry(), run.history, page=1).state == run.state


def test_a_release_of_what_is_not_held_any_more_leaves_no_trace() -> None:
    run = Life(
        Script(run_started=[c.ReleaseLock(operation=ONE)]),
        e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1),
    )
    assert run.begin() == [e.RunStarted(worker="w")]


def test_a_lock_is_given_once() -> None:
    run = life_of(locking)
    run.begin()
    grant(run)
    with pytest.raises(IllegalTransitionError, match="lock 1 is held"):
        run.state.record(e.LockAcquired(operation=ONE, fencing_token=8), run.state.updated_at)


@workflow(name="kernel_entering_again")
async def entering_again(ctx: Context) -> list[int]:
    scope = ctx.lock("a")
    tokens = []
    for _ in range(2):
        async with scope as lock:
            tokens.append(lock.token)
            with pytest.raises(WrongContextError, match="is entered already"):
                async with scope:
                    pass
    return tokens


def test_a_scope_may_be_used_again_but_not_within_itself() -> None:
    run = life_of(entering_again)
    run.begin()
    grant(run)
    grant(run, operation=2, token=9)
    assert run.result == [7, 9]


@workflow(name="kernel_asking_wrongly")
async def asking_wrongly(ctx: Context, which: int) -> str:
    calls = (
        lambda: ctx.lock(""),
        lambda: ctx.lock(1),  # type: ignore[arg-type]
        lambda: ctx.lock("a", shared=1),  # type: ignore[arg-type]
        lambda: ctx.lock("a", timeout=5),  # type: ignore[arg-type]
        lambda: ctx.semaphore("a", limit=0),
        lambda: ctx.semaphore("a", limit=True),
        lambda: ctx.semaphore("a", limit="3"),  # type: ignore[arg-type]
        lambda: ctx.semaphore("a", limit=2**31),
    )
    try:
        calls[which]()
    except InvalidArgumentError as error:
        return str(error)
    return "taken"


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (0, "ctx.lock: the key is empty"),
        (1, "ctx.lock: the key"),
        (2, "ctx.lock: shared"),
        (3, "ctx.lock: timeout"),
        (4, "ctx.semaphore: limit is 0"),
        (5, "ctx.semaphore: limit is True"),
        (6, "ctx.semaphore: limit is '3'"),
        (7, "ctx.semaphore: limit is 2147483648; it must be an integer from 1 to 2147483647"),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_given(which: int, message: str) -> None:
    run = life_of(asking_wrongly, which)
    run.begin()
    assert run.result.startswith(message)
