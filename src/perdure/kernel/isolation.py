"""How much a transaction sees of others."""

from enum import StrEnum

__all__ = ["Isolation"]


class Isolation(StrEnum):
    """The levels of the SQL standard that databases give.

    `read_committed`: each statement sees what was committed before it. `repeatable_read`: all see what was committed
    before the first of them. `serializable`: as if transactions came one after the other. With the latter two a
    transaction that others were in the way of is undone and made again. SQLite gives `serializable` whatever is asked.
    """

    READ_COMMITTED = "read_committed"
    REPEATABLE_READ = "repeatable_read"
    SERIALIZABLE = "serializable"
