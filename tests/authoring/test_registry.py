"""Watching a registry: engines of several threads begin to watch at one moment, and each is told of new code."""

import sys
import threading
from collections.abc import Iterator

import pytest

from perdure import Context, workflow
from perdure.authoring.registry import Registry


class Watcher:
    def __init__(self) -> None:
        self.told = 0

    def tell(self) -> None:
        self.told += 1


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_watchers_that_come_from_several_threads_at_once_are_all_told() -> None:
    @workflow(name="watched.new_code")
    async def new_code(ctx: Context) -> None: ...

    registry = Registry()
    watchers = [[Watcher() for _ in range(200)] for _ in range(4)]
    together = threading.Barrier(len(watchers))

    def begin(mine: list[Watcher]) -> None:
        together.wait()
        for watcher in mine:
            registry.watch(watcher.tell)

    threads = [threading.Thread(target=begin, args=(mine,)) for mine in watchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry.add_workflow(new_code)
    assert [watcher.told for mine in watchers for watcher in mine] == [1] * 800


def test_a_watcher_that_is_gone_is_told_nothing() -> None:
    @workflow(name="watched.other_code")
    async def other_code(ctx: Context) -> None: ...

    registry = Registry()
    told: list[str] = []

    class Short:
        def tell(self) -> None:
            told.append("tell")

    registry.watch(Short().tell)
    registry.add_workflow(other_code)
    assert told == []
