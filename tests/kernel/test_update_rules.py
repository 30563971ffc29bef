"""Updates in the kernel: when a run answers one, with what, and that a replay does the same."""

import asyncio
from typing import Any

import msgspec
import pytest

from perdure.authoring.context import Context
from perdure.authoring.signals import Signal
from perdure.authoring.updates import Update
from perdure.authoring.workflow import workflow
from perdure.errors import NonDeterminismError
from perdure.kernel import commands as c
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.identity import Operation, RunRef
from perdure.kernel.payload import NULL
from perdure.kernel.program import Answer
from perdure.kernel.update_rules import MOST_WAITING_UPDATES
from tests.kernel.lives import BROKEN, Life, Script, json, life_of, replay

CREATED = e.RunCreated(workflow="w", ref=RunRef(id="a"), input=NULL, seed=1)
END = c.CompleteRun(operation=Operation(9))
ACCEPTED = e.UpdateAccepted(update_id="u", name="add", body=json(None))

add = Update("add", int, int)
other = Update("other", int, int)
go = Signal("go")


def script(created: e.RunCreated = CREATED, **answers: Any) -> tuple[Life, Script]:
    program = Script(**answers)
    return Life(program, created), program


def begun(**answers: Any) -> tuple[Life, Script]:
    life, program = script(**answers)
    life.begin()
    return life, program


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_update_is_accepted_and_consumed_when_its_handler_is_there() -> None:
    life, program = begun()
    program.verdicts["add"] = Answer.ACCEPTED
    assert life.update("u", at=4) == [ACCEPTED]
    assert life.advanced.consumed == [4]


def test_an_update_that_the_validator_refuses_is_rejected_and_consumed() -> None:
    life, program = begun()
    program.verdicts["add"] = BROKEN
    assert life.update("u", at=4) == [e.UpdateRejected(update_id="u", failure=BROKEN)]
    assert life.advanced.consumed == [4]


def test_an_update_that_waits_leaves_no_trace_and_stays_in_the_inbox() -> None:
    life, program = begun()
    assert life.update("u", at=4) == []
    assert life.advanced.consumed == []
    program.verdicts["add"] = Answer.ACCEPTED
    assert life.signal("go")[1:] == [ACCEPTED]
    assert life.advanced.consumed == [4]
    assert len(life.signal("go")) == 1


def test_an_update_waits_for_the_start_and_for_the_end_of_a_suspension() -> None:
    life, program = script()
    program.verdicts["add"] = Answer.ACCEPTED
    assert life.update("u") == []
    assert life.begin() == [e.RunStarted(worker="w"), ACCEPTED]
    life.message(m.SuspendMessage())
    assert life.update("v") == []
    life.signal("held")
    assert life.message(m.ResumeMessage()) == [
        e.RunResumed(),
        e.UpdateAccepted(update_id="v", name="add", body=json(None)),
    ]


def test_one_answer_can_allow_another() -> None:
    life, program = begun()
    life.update("first", "second", at=1)
    program.verdicts["add"] = Answer.ACCEPTED
    taken = program.advance

    def advance(event: e.Event, at: object) -> object:
        program.verdicts["second"] = Answer.ACCEPTED
        return taken(event, at)  # type: ignore[arg-type]

    program.advance = advance  # type: ignore[method-assign,assignment]
    names = [event.name for event in life.update("u", at=2) if isinstance(event, e.UpdateAccepted)]
    assert names == ["add", "second"]
    assert life.advanced.consumed == [2, 1]


def test_an_update_that_is_made_again_is_consumed_without_effect() -> None:
    life, program = begun()
    program.verdicts["add"] = Answer.ACCEPTED
    life.update("u", at=4)
    assert life.update("u", at=5) == []
    assert life.advanced.consumed == [5]


@pytest.mark.parametrize("has_begun", [True, False])
def test_more_than_so_many_updates_do_not_wait(has_begun: bool) -> None:
    life, _ = begun() if has_begun else script()
    for number in range(MOST_WAITING_UPDATES):
        assert life.update(f"u{number}", at=number) == []
    [rejected] = life.update("more", at=1_000)
    assert isinstance(rejected, e.UpdateRejected)
    assert rejected.failure.type == "TooManyUpdatesError"
    assert life.advanced.consumed == [1_000]
    assert life.update("more", at=1_001) == []
    assert life.advanced.consumed == [1_001]


def test_an_update_that_ends_the_run_leaves_the_others_unanswered() -> None:
    life, program = begun(update_accepted=[END])
    life.update("w", "waits", at=1)
    program.verdicts["add"] = program.verdicts["waits"] = Answer.ACCEPTED
    life.update("u", at=2)
    assert life.state.is_closed
    assert life.advanced.consumed == [1]


# --- the start and the end -------------------------------------------------------------------------------------------


def test_updates_that_came_with_the_start_are_answered_after_it() -> None:
    carried = (e.CarriedUpdate(update_id="u", name="add", body=json(None)),)
    life, program = script(msgspec.structs.replace(CREATED, carried_updates=carried))
    program.verdicts["add"] = Answer.ACCEPTED
    assert life.begin() == [e.RunStarted(worker="w"), ACCEPTED]
    assert life.advanced.consumed == []


def test_carried_updates_that_are_not_answered_go_to_the_next_generation() -> None:
    carried = tuple(e.CarriedUpdate(update_id=name, name=name, body=json(None)) for name in ("add", "later"))
    life, program = script(msgspec.structs.replace(CREATED, carried_updates=carried))
    program.verdicts["add"] = Answer.ACCEPTED
    life.begin()
    program.answers[e.SignalReceived] = [c.ContinueRun(operation=Operation(9), input=NULL)]
    life.signal("go")
    following = life.advanced.creations[0].created.event
    assert isinstance(following, e.RunCreated)
    assert [update.name for update in following.carried_updates] == ["later"]


def test_the_end_of_a_run_answers_what_was_accepted() -> None:
    life, program = begun()
    program.verdicts["add"] = Answer.ACCEPTED
    life.update("u")
    completed, closing = life.message(m.TerminateMessage())
    assert isinstance(completed, e.UpdateCompleted)
    assert (completed.update_id, completed.reason) == ("u", "the run has ended")
    assert completed.failure is not None
    assert completed.failure.type == "RunClosedError"
    assert isinstance(closing, e.RunTerminated)


# --- code ------------------------------------------------------------------------------------------------------------


@workflow
async def summing(ctx: Context) -> int:
    total = 0

    async def add_later(amount: int) -> int:
        nonlocal total
        await asyncio.sleep(1)
        total += amount
        if amount == 13:
            raise ValueError("unlucky")
        if amount == 14:
            raise SystemExit("for good")
        return total

    ctx.on_update(add, add_later)
    await asyncio.sleep(5)
    ctx.on_update(other, add_later)
    await asyncio.sleep(5)
    return total


def summed() -> Life:
    life = life_of(summing)
    life.begin()
    life.update("a", body=1)
    life.update("late", "other", body=2)
    life.update("b", body=13)
    life.update("c", body=14)
    life.wait(1)
    life.wait(4)
    life.wait(1)
    return life


def answers(life: Life) -> list[e.UpdateCompleted]:
    return [event for event in life.events if isinstance(event, e.UpdateCompleted)]


def test_handlers_run_side_by_side_and_whatever_they_raise_is_their_answer() -> None:
    completed = answers(summed())
    assert [(event.update_id, event.failure.type if event.failure else event.result) for event in completed] == [
        ("a", json(1)),
        ("b", "ValueError"),
        ("c", "SystemExit"),
        ("late", json(30)),
    ]


@pytest.mark.parametrize("page", [1, 3, 1_000])
def test_updates_replay_as_they_were_lived(page: int) -> None:
    life = summed()
    life.wait(4)
    assert life.result == 30
    again = replay(summing.entry(), life.history, page=page)
    assert again.result == 30


def test_code_that_answers_otherwise_now_is_not_deterministic() -> None:
    life = summed()

    @workflow
    async def summing_no_more(_ctx: Context) -> int:
        await asyncio.sleep(5)
        await asyncio.sleep(5)
        return 0

    with pytest.raises(NonDeterminismError):
        replay(summing_no_more.entry(), life.history)


def test_an_accepted_update_waits_for_a_handler_that_today_s_code_registers_later() -> None:
    life = life_of(summing)
    life.begin()
    life.update("a", body=1)
    history = [recorded for recorded in life.history if not isinstance(recorded.event, e.TimerStarted)][:3]
    history = [type(recorded)(n, recorded.at, recorded.event) for n, recorded in enumerate(history, start=1)]

    @workflow
    async def waiting_first(ctx: Context) -> int:
        async def plus_one(amount: int) -> int:
            return amount + 1

        await ctx.wait_for(go)
        ctx.on_update(add, plus_one)
        await ctx.wait_for(go)
        return 0

    again = replay(waiting_first.entry(), history)
    again.signal("go")
    assert [event.result for event in answers(again)] == [json(2)]


def test_carried_updates_wait_again_after_a_reload() -> None:
    carried = (e.CarriedUpdate(update_id="u", name="other", body=json(4)),)
    life = life_of(summing, carried_updates=carried)
    life.begin()
    again = replay(summing.entry(), life.history)
    assert [given.message for given in again.feed.updates] == [
        m.UpdateMessage(update_id="u", name="other", body=json(4))
    ]
    again.wait(5)
    again.wait(1)
    assert replay(summing.entry(), again.history).feed.updates == ()
    assert [event.result for event in answers(again)] == [json(4)]


def test_a_run_that_has_ended_says_nothing_to_updates() -> None:
    life = life_of(summing)
    life.begin()
    life.wait(5)
    life.wait(5)
    assert life.program.consider("add", json(1)) is Answer.WAITS


def test_carried_updates_wait_once_in_a_run_that_is_reloaded_before_its_start() -> None:
    carried = (e.CarriedUpdate(update_id="u", name="add", body=json(4)),)
    life = life_of(summing, carried_updates=carried)
    again = replay(summing.entry(), life.history)
    assert again.feed.updates == ()
    again.begin()
    assert [event.update_id for event in again.events if isinstance(event, e.UpdateAccepted)] == ["u"]
