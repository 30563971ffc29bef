"""Attributes that are made when they are first looked at.

A run has room for much that most runs never use. What is made for each of them nevertheless costs its making, and its
share of the garbage collector's passes for as long as the run is in memory.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["first_use"]

T = TypeVar("T")


class first_use(Generic[T]):  # noqa: N801 - read as a word of the class body, like `property`
    """An attribute that `make` makes for an instance when it is first looked at, and that is plain from then on."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Have `make` called once for each instance that comes to use the attribute."""
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the attribute's name."""
        self._name = name

    def __get__(self, instance: Any, owner: type) -> T:  # noqa: ANN401 - of any class that has such an attribute
        """Make the attribute. What is set on the instance is found before this, which defines no `__set__`."""
        made = self._make()
        setattr(instance, self._name, made)
        return made
