"""What a workflow engine must be able to do to be measured: one thin face, so that one loop fits all."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias


class Run(Protocol):
    """A started run."""

    async def result(self) -> object: ...

    async def signal(self, value: int) -> None: ...


class Engine(Protocol):
    """An open engine. A method that starts a run returns when the start is durable."""

    async def sequential(self, id: str, steps: int) -> Run:
        """Run steps one after the other; the result is their number."""
        ...

    async def parallel(self, id: str, steps: int) -> Run:
        """Run steps at once; the result is their number."""
        ...

    async def sleeping(self, id: str, number: int, seconds: float) -> Run:
        """Sleep durably, between two marks in `RECORDING.moments`; the result is the number."""
        ...

    async def waiting(self, id: str, number: int) -> Run:
        """Mark that it waits, wait for a signal, give back the signal's value."""
        ...

    async def ledgered(self, id: str, number: int, steps: int) -> Run:
        """Run steps that enter themselves into the ledger; the result is the sum of what the steps returned."""
        ...

    async def long(self, id: str, steps: int) -> Run:
        """Run steps that mark `RECORDING.clock`; the result is their number."""
        ...

    async def find(self, id: str) -> Run:
        """Give a run that an earlier process started; raise if there is none."""
        ...

    def row_committer(self) -> Callable[[int], None] | None:
        """Give what commits one numbered row to the disk that the engine uses; None where that cannot be measured."""
        ...

    def facts(self) -> dict[str, str]:
        """Say the version and the settings that decide about durability."""
        ...


OpenEngine: TypeAlias = Callable[[], AbstractAsyncContextManager[Engine]]
# How many bytes the engine's data take on disk, while it is closed.
BytesOnDisk: TypeAlias = Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An engine that is to be measured: how it is opened and weighed, and under which name users import it."""

    open: OpenEngine
    bytes_on_disk: BytesOnDisk
    imported: str
