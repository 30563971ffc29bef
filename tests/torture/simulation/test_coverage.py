"""Coverage: what was struck is noted, what was not is named, and the vocabulary is the engine's."""

from perdure.kernel import events as e
from perdure.ports.agenda import AgendaChange, AgendaKey
from perdure.torture.simulation.campaign import examine
from perdure.torture.simulation.coverage import Coverage, demanded, struck_in
from perdure.torture.simulation.kinds import VOCABULARY, Point, kinds_of_change
from perdure.torture.simulation.plans import Strike, StrikeKind, parse_plan

CRASH = Strike(kind=StrikeKind.CRASH, at=1)
CANCEL = Strike(kind=StrikeKind.CANCEL, at=0)


def test_strikes_are_noted_alone_with_what_follows_and_with_what_came_before() -> None:
    commit, effect = Point("before commit", frozenset({"Release", "Park"})), Point("after claim")
    assert struck_in([(CRASH, commit)]) == {("crash", "before commit Release"), ("crash", "before commit Park")}
    assert struck_in([(CANCEL, effect), (CRASH, commit)]) == {
        ("cancel", "after claim"),
        ("cancel, then crash", "after claim"),
        ("crash after cancel", "before commit Release"),
        ("crash after cancel", "before commit Park"),
    }


def test_what_was_not_struck_is_a_gap() -> None:
    coverage = Coverage()
    everything = coverage.gaps()
    assert "outage: after commit RunForked" in everything
    assert "crash after crash: before commit RecoveryStarted" in everything
    coverage.add("retried", frozenset({("outage", "after commit RunForked")}))
    assert set(everything) - set(coverage.gaps()) == {"outage: after commit RunForked"}
    assert coverage.plain() == {"retried": {"after commit RunForked": ["outage"]}}
    assert list(coverage.lines()) == ["after commit RunForked: outage, in 1 workloads"]


def test_coverage_of_several_processes_adds_up() -> None:
    one, other = Coverage(), Coverage()
    examine(parse_plan("sequential/3/1e/crash@2:0.5"), one)
    examine(parse_plan("sequential/3/1e/pause@5:25"), other)
    both = set(one.gaps()) & set(other.gaps())
    one.merge(other.plain())
    assert set(one.gaps()) == both


def test_everything_demanded_is_of_the_vocabulary_of_kernel_and_store() -> None:
    moments = {moment for _, moment in demanded(VOCABULARY)}
    assert {f"before commit {kind.__name__}" for kind in (e.RunReset, e.TimerFired, e.ChildRequested)} <= moments
    change = AgendaChange(key=AgendaKey(kind="schedule", namespace="default", id="s"), expected=None, entry=None)
    assert kinds_of_change(change) & VOCABULARY == {"AgendaChange"}
    assert {strike for strike, _ in demanded(VOCABULARY)} >= {*StrikeKind, "crash, then crash", "cancel, then crash"}
