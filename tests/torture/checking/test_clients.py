"""What clients note of errors, nothing was saved unless they say otherwise; and which runs they use."""

from contextlib import closing
from pathlib import Path

from perdure import Engine
from perdure.errors import StoreUnavailableError
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.torture.checking.clients import Board, Caller
from perdure.torture.checking.records import Answer, Notebook, read_records
from perdure.torture.checking.transactions import Happened
from tests.execution.stores import FaultyStore

_SLOT = 0


def test_no_process_takes_a_board_back_to_a_run_that_another_has_ended(tmp_path: Path) -> None:
    class Overtaken(Board):
        def run(self, slot: int) -> str:
            found = super().run(slot)
            end_two()
            return found

    def end_two() -> None:
        for run in ("s1n0.", "s1n1."):
            other.turn(run)

    other, slow = Board(tmp_path / "board"), Overtaken(tmp_path / "board")
    slow.turn("s1n0.")
    end_two()
    assert [other.run(slot) for slot in (0, 1, 2)] == ["s0n0.", "s1n2.", "s2n0."]
    assert [run for run in other.all_runs() if run.startswith("s1")] == ["s1n0.", "s1n1.", "s1n2."]


async def test_an_update_whose_answer_could_not_be_read_may_have_happened(tmp_path: Path) -> None:
    database, notes, board = MemoryDatabase(), tmp_path / "notes", Board(tmp_path / "board")
    store = FaultyStore(database)
    async with Engine(MemoryStore(database)) as engine, Engine(store, works=False) as other:
        with closing(Notebook(notes)) as notebook:
            await Caller(engine, notebook, board, name="one").start(_SLOT)
            store.history_error = StoreUnavailableError("the disk is away")
            await Caller(other, notebook, board, name="two").update(_SLOT)
    _, answer, *_ = [record for record in read_records([notes]) if isinstance(record, Answer)]
    assert (answer.error, answer.happened) == ("StoreUnavailableError", Happened.UNKNOWN)
