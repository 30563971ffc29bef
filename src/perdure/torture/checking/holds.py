"""Holds of locks: what activities noted while their runs held one, as transactions, and what looks at a line saw of it.

Lists, by their keys: `asked L` and `released L`, the fencing tokens of those who have asked for a lock, and of those
who have given it back, in their order; `touched L`, each time that somebody began or ended to touch what it protects.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from perdure.torture.checking.records import Point
from perdure.torture.checking.transactions import Append, Order, Read, Saw, Step, Transaction

__all__ = ["Holds"]

Line = tuple[tuple[int, str, bool], ...]


class Holds:
    """What was noted of all locks."""

    def __init__(self, points: Iterable[Point]) -> None:
        """Sort `points` by locks and by who held them."""
        self._holds: Final[dict[str, dict[tuple[int, str], list[Point]]]] = defaultdict(lambda: defaultdict(list))
        for point in sorted(points, key=lambda point: point.at):
            self._holds[point.key][point.token, point.run].append(point)
        self._tokens: Final = {key: sorted(token for token, _ in holds) for key, holds in self._holds.items()}
        self._latest: Final = {key: _latest(holds.values()) for key, holds in self._holds.items()}

    def orders(self) -> Iterator[Order]:
        """Yield who has asked for each lock, and given it back."""
        for key, tokens in self._tokens.items():
            for what in ("asked", "released"):
                yield Order(key=f"{what} {key}", values=tuple(tokens), is_final=True)

    def transactions(self, seen_there: Callable[[str], Iterable[Step]]) -> Iterator[Transaction]:
        """Yield what holders did: each asks, touches what is protected after the one before it gave back, gives back.

        `seen_there` returns what is seen of a run's row by whoever sees that it is there.
        """
        for key, holds in self._holds.items():
            before: list[Step] = []
            for token, run in sorted(holds):
                asked, released = Append(f"asked {key}", token), Append(f"released {key}", token)
                yield Transaction(words=f"{run} asked for {key} ({token})", steps=(*seen_there(run), asked))
                touched: list[Step] = []
                for number, point in enumerate(holds[token, run]):
                    touched.append(Saw(f"touched {key}", (token, number)))
                    yield _touch(point, number, Saw(f"asked {key}", token), *before)
                steps = (*touched, Saw(f"asked {key}", token), released)
                yield Transaction(words=f"{run} gave {key} back ({token})", steps=steps)
                before = [Saw(f"released {key}", token)]

    def seen(self, key: str, line: Line, *, since: int) -> Iterator[Step]:
        """Yield what a look that began at `since` saw by a line: who has asked and not given back.

        Of an empty line it is not known who had come and gone, but that all had who had held the lock before the look.
        """
        if line:
            first = line[0][0]
            gone = [token for token in self._tokens.get(key, ()) if token < first]
            yield Read(f"released {key}", tuple(gone))
            yield Read(f"asked {key}", (*gone, *(token for token, _, _ in line)))
        elif key in self._latest:
            times, tokens = self._latest[key]
            place = bisect_left(times, since)
            if place:
                yield Saw(f"released {key}", tokens[place - 1])


def _touch(point: Point, number: int, *came: Step) -> Transaction:
    """Return that somebody began or ended to touch what a lock protects; a begin comes after what let it."""
    words = f"{point.run} {point.what}s {point.key} with token {point.token}"
    touch = Append(f"touched {point.key}", (point.token, number))
    steps = (touch, *came) if point.what == "enter" else (touch,)
    return Transaction(words=words, steps=steps, invoked=point.at, completed=point.at)


def _latest(holds: Iterable[list[Point]]) -> tuple[list[int], list[int]]:
    """Return the times of all points, and the greatest token that was there by each."""
    points = sorted((point.at, point.token) for hold in holds for point in hold)
    return [at for at, _ in points], [*accumulate((token for _, token in points), max)]
