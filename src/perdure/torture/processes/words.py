"""What is said between a tool and its processes."""

import os
from typing import Literal

import msgspec

__all__ = ["Order", "Word"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a process shall be, by its tool's own terms. `number` names it, `folder` is where it works and logs."""

    number: int
    folder: str


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a process: it was forked, has opened its engine, has done so much, has settled all, has ended."""

    number: int
    word: Literal["born", "ready", "busy", "settled", "dead"]
    process: int
    status: int = 0
    done: int = 0

    def say(self) -> None:
        """Write it to the standard output in one piece."""
        os.write(1, msgspec.json.encode(self) + b"\n")
