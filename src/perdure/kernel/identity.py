"""The names of things: runs, workers, operations. All are plain values; NewTypes keep them from being mixed up."""

import hashlib
from typing import NamedTuple, NewType

import msgspec

__all__ = [
    "DEFAULT_NAMESPACE",
    "FencingToken",
    "Operation",
    "RunKey",
    "RunRef",
    "WorkerId",
    "WorkflowVersion",
    "seed_of",
]

RunKey = NewType("RunKey", int)
"""The store's own key of one generation of one run. Opaque; unique in a store for ever."""

FencingToken = NewType("FencingToken", int)
"""Grows with every claim of a run; a write under an older token than the run's row holds is refused."""

WorkerId = NewType("WorkerId", int)
"""A worker's session in a store: one per opening of the store by a process, never used again."""

Operation = NewType("Operation", int)
"""The number of a command within a generation, from 1, in the order workflow code asked."""

DEFAULT_NAMESPACE = "default"


class RunRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """How people and other runs name a run: its business id within a namespace, and which generation of it."""

    namespace: str = DEFAULT_NAMESPACE
    id: str
    generation: int = 1

    def __str__(self) -> str:
        """Render as ``namespace/id`` with the generation where it is not the first."""
        suffix = f"#{self.generation}" if self.generation != 1 else ""
        return f"{self.namespace}/{self.id}{suffix}"


class WorkflowVersion(NamedTuple):
    """Which code a run needs: a workflow by name, and the version that the run began with."""

    name: str
    version: str


def seed_of(ref: RunRef) -> int:
    """Return a 63-bit seed that only depends on the run's name."""
    text = f"{ref.namespace}\0{ref.id}\0{ref.generation}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
