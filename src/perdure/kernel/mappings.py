"""Mappings that are never changed in place: another one takes their place, so that all can share the empty one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

__all__ = ["NOTHING", "without"]

K = TypeVar("K")
V = TypeVar("V")

NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
"""The empty mapping that all share."""


def without(mapping: Mapping[K, V], key: K) -> Mapping[K, V]:
    """Return a mapping without one of its keys.

    >>> without({1: "a", 2: "b"}, 1)
    {2: 'b'}
    """
    return {other: value for other, value in mapping.items() if other != key}
