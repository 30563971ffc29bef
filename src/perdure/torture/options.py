"""What a tool is asked to do."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec

from perdure.errors import InvalidArgumentError

__all__ = ["WHOLE", "Options", "Part"]

Item = TypeVar("Item")


class Part(msgspec.Struct, frozen=True):
    """One of several equal parts of a long piece of work, by which sessions share it: of every `count`-th thing."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read ``3/10``. Raises InvalidArgumentError for anything else.

        >>> list(Part.parse("2/3").of(range(9)))
        [1, 4, 7]
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise InvalidArgumentError(f"{text!r} is no part of a whole; the third of ten is 3/10")
        return cls(int(number), int(count))

    def of(self, things: Iterable[Item]) -> Iterator[Item]:
        """Yield this part of `things`: all parts together are the whole."""
        return islice(things, self.number - 1, None, self.count)


WHOLE: Final = Part(1, 1)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of all tools; each reads its own. `count` None: as much as `is_ci` or `is_long` say, or a little."""

    seed: int
    count: int | None = None
    is_ci: bool = False
    is_long: bool = False
    plan: str = ""
    workloads: tuple[str, ...] = ()
    processes: int = 1
    stops_at_first: bool = False
    only: tuple[str, ...] = ()
    history: str = ""
    part: Part = WHOLE
    shows_coverage: bool = False
    on_postgres: bool = False

    def workloads_of(self, tool: Iterable[str]) -> tuple[str, ...]:
        """Return the workloads that are named, or all that a tool has. Raises InvalidArgumentError if it has not one.

        Else nothing would be tried, and nothing found.
        """
        known = tuple(tool)
        for name in self.workloads:
            if name not in known:
                raise InvalidArgumentError(f"{name!r} is no workload of this tool; it has {', '.join(known)}")
        return self.workloads or known

    def how_many(self, *, usually: int, ci: int, long: int) -> int:
        """Return how much to try."""
        if self.count is not None:
            return self.count
        if self.is_long:
            return long
        return ci if self.is_ci else usually
