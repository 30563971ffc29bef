"""The five priority classes."""

from enum import IntEnum

__all__ = ["Priority"]


class Priority(IntEnum):
    """Priority class of a run; a lower number is served first."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    BACKGROUND = 4
