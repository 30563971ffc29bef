"""Whether processes of this machine have ended."""

import os

import pytest

from perdure.stores.postgres import processes
from perdure.stores.postgres.processes import has_ended, own_process
from tests.stores.postgres.other_process import process


def test_a_process_has_ended_when_it_is_killed_and_before_its_parent_knows() -> None:
    with process() as other:
        assert not has_ended(other.name)
        assert not has_ended(own_process())
        other.kill()
        assert has_ended(other.name)
    assert has_ended(other.name)


def test_a_process_that_has_the_number_of_another_is_not_that_one() -> None:
    machine, _, began_at = own_process().rsplit(" ", 2)
    assert has_ended(f"{machine} {os.getpid()} {int(began_at) - 1}")


@pytest.mark.parametrize(
    "name", ["", "x", "a b", "a b 1 2", "a b c d e", f"{own_process().rsplit(' ', 2)[0]} 99999999999999 1"]
)
def test_nothing_is_known_of_processes_elsewhere(name: str) -> None:
    assert not has_ended(name)


def test_where_a_machine_has_no_name_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with process() as other:
        pass
    monkeypatch.setattr(processes, "_BOOT", processes._BOOT / "nothing")
    assert own_process() == ""
    assert not has_ended(other.name)


def test_a_process_that_is_not_shown_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int, signal: int) -> None:
        raise PermissionError

    with process() as other:
        pass
    monkeypatch.setattr(os, "kill", refuse)
    assert not has_ended(other.name), "others' processes may be hidden in /proc"
