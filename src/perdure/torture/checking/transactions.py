"""Transactions: what is checked. Each has steps on lists, named by keys, and a time within which it happened."""

from collections.abc import Hashable
from enum import StrEnum

import msgspec

__all__ = ["Append", "Happened", "Order", "Read", "Saw", "Step", "Transaction"]


class Append(msgspec.Struct, frozen=True, gc=False):
    """It put a value at the end of a list. Values are unique in a list."""

    key: str
    value: Hashable


class Read(msgspec.Struct, frozen=True, gc=False):
    """It saw a list, whole."""

    key: str
    values: tuple[Hashable, ...]


class Saw(msgspec.Struct, frozen=True, gc=False):
    """It saw that a value is in a list, and no more than that: it came after whoever appended it."""

    key: str
    value: Hashable


Step = Append | Read | Saw


class Happened(StrEnum):
    """Whether a transaction has had its effect, as far as whoever asked for it was told."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Transaction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Steps that happened all at one moment, not before `invoked` and, if that is known, not after `completed`.

    Times are numbers of one clock; None: any time. `session`: whose transactions these are that come one after the
    other ("": nobody's). `words`: what it was, for people.
    """

    words: str
    steps: tuple[Step, ...]
    invoked: int | None = None
    completed: int | None = None
    session: str = ""
    happened: Happened = Happened.YES


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a list from elsewhere: its values in their order, as a read of no certain time.

    `is_final`: whatever has happened is in it. Else what is not in it was appended after all that is.
    """

    key: str
    values: tuple[Hashable, ...]
    is_final: bool = False
