"""The format of exported runs: what is written is read, and nothing of a run that was damaged."""

import random
from collections.abc import Iterable

import msgspec
import pytest

from perdure.archiving.rekeying import keys_of
from perdure.archiving.run_lines import Damage, SavedRun, end_line, heading_line, read_runs, run_lines
from perdure.errors import HistoryError
from perdure.kernel.identity import FencingToken, RunKey
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied, Exists
from perdure.ports.keeping import WholeRun
from perdure.torture.programs.harnesses import MemoryHarness
from tests.archiving.worlds import all_runs, lived, plain, session_on

NOW = Timestamp(1_700_000_000_000_000)
PROGRAMS = 12


def saved(run: WholeRun, *, origin: int = 7) -> SavedRun:
    return SavedRun(run, dict.fromkeys(keys_of(run), origin))


def file_of(runs: Iterable[WholeRun], *, origin: int = 7) -> list[bytes]:
    found = list(runs)
    lines = [line for run in found for line in run_lines(saved(run, origin=origin))]
    return [heading_line(now=NOW), *lines, end_line(len(found))]


async def runs_of(seed: int) -> list[WholeRun]:
    world = await lived(seed)
    runs = await all_runs(world)
    await world.harness.close()
    return runs


@pytest.mark.parametrize("seed", range(PROGRAMS))
async def test_the_runs_of_a_random_program_are_read_as_they_were_written(seed: int) -> None:
    runs = await runs_of(seed)
    assert list(read_runs(file_of(runs))) == [saved(plain(run)) for run in runs]


@pytest.mark.parametrize("seed", range(PROGRAMS))
async def test_the_runs_of_a_random_program_are_in_the_next_store_as_they_were(seed: int) -> None:
    runs = await runs_of(seed)
    saved = [found.run for found in read_runs(file_of(runs)) if isinstance(found, SavedRun)]
    random.Random(seed).shuffle(saved)
    async with session_on(MemoryHarness()) as session:
        for run in saved:
            key = run.summary.run_key
            assert await session.store.bring_in(run, sealed_as=key) == Applied(key)
            assert await session.store.bring_in(run, sealed_as=key) == Exists(key)
        found = [await session.store.read_whole(run.summary.run_key) for run in runs]
    # Locks and tasks stay where they are: `perdure import` refuses runs that have any.
    left_out = [msgspec.structs.replace(plain(run), locks=(), queues=()) for run in runs]
    assert [run and plain(run) for run in found] == left_out


async def test_a_file_may_hold_several_parts() -> None:
    first, second = await runs_of(1), await runs_of(2)
    found = list(read_runs([*file_of(first, origin=1), *file_of([]), *file_of(second, origin=2)]))
    assert found == [*(saved(plain(run), origin=1) for run in first), *(saved(plain(run), origin=2) for run in second)]


@pytest.mark.parametrize("seed", range(PROGRAMS))
async def test_whatever_is_done_to_a_line_harms_the_run_that_it_is_of_alone(seed: int) -> None:
    runs = [plain(run) for run in await runs_of(seed)]
    lines = file_of(runs)
    chance = random.Random(seed)
    for place in range(1, len(lines) - 1):
        for damaged in damages(lines, place, chance):
            found = list(read_runs(damaged))
            whole = [one.run for one in found if isinstance(one, SavedRun)]
            assert any(isinstance(one, Damage) for one in found)
            assert all(run in runs for run in whole)
            assert len(whole) >= len(runs) - 2


def damages(lines: list[bytes], place: int, chance: random.Random) -> Iterable[list[bytes]]:
    """Yield files with a line changed, lost, repeated, cut off, or in the place of the next."""
    line = lines[place]
    position = chance.randrange(len(line) - 1)
    changed = line[:position] + bytes([line[position] ^ (1 << chance.randrange(7))]) + line[position + 1 :]
    if b"\n" not in changed[:-1]:
        yield [*lines[:place], changed, *lines[place + 1 :]]
    yield [*lines[:place], *lines[place + 1 :]]
    yield [*lines[:place], line, *lines[place:]]
    yield [*lines[:place], line[:position] + b"\n", *lines[place + 1 :]]
    if lines[place + 1] != line and place + 2 < len(lines):
        yield [*lines[:place], lines[place + 1], line, *lines[place + 2 :]]


async def test_a_file_that_was_cut_off_gives_the_runs_before_the_cut_and_says_so() -> None:
    runs = [plain(run) for run in await runs_of(3)]
    text = b"".join(file_of(runs))
    heading = text.index(b"\n") + 1
    for end in range(heading, len(text) - 1, 37):
        found = list(read_runs(text[:end].splitlines(keepends=True)))
        whole = [one.run for one in found if isinstance(one, SavedRun)]
        assert whole == runs[: len(whole)]
        problems = [one.problem for one in found if isinstance(one, Damage)]
        assert any("cut off" in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "does not begin"),
        (b'{"perdure_history":1,"events":0}\n', "does not begin"),
        (b"\x00\xff\n", "does not begin"),
        (b'{"perdure_runs":[1]}\n', "does not begin"),
        (b'{"perdure_runs":2}\n', "of format 2; this Perdure reads formats up to 1"),
    ],
)
def test_a_file_of_something_else_or_of_a_newer_format_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(HistoryError, match=problem):
        list(read_runs(text.splitlines(keepends=True)))


async def test_a_run_that_no_store_would_hold_is_damage() -> None:
    run = plain((await runs_of(4))[0])
    summary = msgspec.structs.replace
    wrong = [
        msgspec.structs.replace(run, history=run.history[1:]),
        msgspec.structs.replace(run, history=()),
        msgspec.structs.replace(run, history=(*run.history, run.history[0])),
        msgspec.structs.replace(
            run, summary=summary(run.summary, closed_at=None if run.summary.closed_at else Timestamp(1))
        ),
    ]
    files = [file_of([one]) for one in wrong]
    files += [
        [heading_line(now=NOW), *run_lines(SavedRun(run, origins)), end_line(1)]
        for origins in ({}, {**saved(run).origins, RunKey(0): 7}, {**saved(run).origins, RunKey(2**62): 7})
    ]
    for file in files:
        (damage,) = [found for found in read_runs(file) if isinstance(found, Damage) and found.run]
        assert damage.run == str(run.summary.ref)


async def test_a_run_of_more_lines_than_anybody_reads_at_once_is_neither_written_nor_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = sorted(map(plain, await runs_of(1)), key=lambda run: len(b"".join(run_lines(saved(run)))))[-2:]
    file = file_of([large, small])
    most = len(b"".join(run_lines(saved(small))))
    monkeypatch.setattr("perdure.archiving.run_lines.LARGEST_RUN_BYTES", most)
    with pytest.raises(HistoryError, match=f"it has more than {most:,} bytes in its lines"):
        list(run_lines(saved(large)))
    assert [one.run for one in read_runs(file) if isinstance(one, SavedRun)] == [small]
    assert [one.run for one in read_runs(file) if isinstance(one, Damage) and one.run] == [str(large.summary.ref)]


@pytest.mark.parametrize("token", [-1, 2**62 + 1, 2**70])
async def test_a_fencing_token_that_could_not_grow_is_damage(token: int) -> None:
    run = plain((await runs_of(4))[0])
    wrong = msgspec.structs.replace(
        run, summary=msgspec.structs.replace(run.summary, fencing_token=FencingToken(token))
    )
    found = list(read_runs(file_of([wrong])))
    assert [one for one in found if isinstance(one, SavedRun)] == []
    assert any(isinstance(one, Damage) and "fencing_token" in one.problem for one in found)
