"""A process that is forked while its store commits can use the database in the copy, as it can in the original."""

import os
import threading

import pytest

from perdure.stores.sqlite import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="this platform does not fork")


def fork_in(order: list[str]) -> threading.Thread:
    def fork() -> None:
        forks._wait()
        order.append("forked")
        forks._go_on()

    forking = threading.Thread(target=fork)
    forking.start()
    return forking


def test_a_fork_waits_for_a_thread_that_is_inside_sqlite() -> None:
    order: list[str] = []
    with forks.new_passage():
        forking = fork_in(order)
        forking.join(timeout=0.1)
        order.append("left")
    forking.join()
    assert order == ["left", "forked"]


def test_a_fork_does_not_wait_for_its_own_thread_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with forks.new_passage():
        forks._wait()
        forks._go_on()
        monkeypatch.setattr(forks, "_PATIENCE_SECONDS", 0.01)
        order: list[str] = []
        fork_in(order).join()
        assert order == ["forked"]


def test_whoever_is_forked_finds_every_passage_open() -> None:
    passage = forks.new_passage()
    child = os.fork()
    if not child:
        is_open = passage.acquire(blocking=False)
        os._exit(0 if is_open else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
