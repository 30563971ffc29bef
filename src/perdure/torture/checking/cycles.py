"""Cycles of dependencies: no order of the transactions can explain them. Each is named by what it consists of.

Adya's classes (Adya, Liskov, O'Neil, "Generalized Isolation Level Definitions", ICDE 2000), as Elle extends them:

- *G0*: write-write dependencies alone; *G1c*: write-read ones, too;
- *G-single*: exactly one read-write one (a read skew, a lost update); *G2*: several (a write skew);
- with *-process* or *-realtime* where it takes the order of a session, or of real time.

Components are found by Tarjan's algorithm ("Depth-first search and linear graph algorithms", 1972), without recursion,
in time linear in the graph; within one that is cyclic the shortest cycle of its first class is looked for, from at most
`_MOST_BEGINNINGS` of its edges.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from perdure.torture.checking.anomaly import Anomaly
from perdure.torture.checking.dependencies import Dependencies, Edge, Kinds
from perdure.torture.checking.transactions import Transaction

__all__ = ["components", "find_cycles"]


def find_cycles(graph: Dependencies, transactions: list[Transaction]) -> list[Anomaly]:
    """Return one anomaly for each knot of transactions that no order explains: a shortest cycle of its first class."""
    return [_accused(frozenset(knot), graph, transactions) for knot in components(range(len(graph)), graph.nodes_after)]


def components(nodes: Iterable[int], after: Callable[[int], Iterable[int]]) -> Iterator[list[int]]:
    """Yield the strongly connected components of more than one node (no node leads to itself)."""
    index: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []
    waiting: set[int] = set()
    for root in nodes:
        if root in index:
            continue
        path = [(root, iter(after(root)))]
        index[root] = lowest[root] = len(index)
        stack.append(root)
        waiting.add(root)
        while path:
            node, following = path[-1]
            for target in following:
                if target not in index:
                    index[target] = lowest[target] = len(index)
                    stack.append(target)
                    waiting.add(target)
                    path.append((target, iter(after(target))))
                    break
                if target in waiting:
                    lowest[node] = min(lowest[node], index[target])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == index[node]:
                    found = _popped(stack, node)
                    waiting.difference_update(found)
                    if len(found) > 1:
                        yield found


def _popped(stack: list[int], until: int) -> list[int]:
    place = len(stack) - 1
    while stack[place] != until:
        place -= 1
    found = stack[place:]
    del stack[place:]
    return found


def _accused(knot: frozenset[int], graph: Dependencies, transactions: list[Transaction]) -> Anomaly:
    cycle = _first_cycle(graph, knot)
    if cycle is not None:
        return _described(cycle, graph, transactions)
    parts = "".join(f"\n      {transactions[node].words}" for node in sorted(knot) if node < graph.moments)
    return Anomaly(kind="cycle", why=f"each of these must have come before each other:{parts}")


class _Class(msgspec.Struct, frozen=True):
    """A class of cycles: one edge of the kind `begins`, then any number of the kinds `goes_on`."""

    name: str
    begins: Edge
    goes_on: Kinds


class _Cycle(msgspec.Struct, frozen=True):
    """A cycle: each node with the kind of the edge that leads to the next, the last one's to the first."""

    name: str
    steps: list[tuple[int, Edge]]


def _classes() -> Iterator[_Class]:
    """Yield the classes, those first that break the most."""
    for suffix, orders in _ORDERS:
        writes = frozenset({Edge.WRITE_WRITE}) | orders
        reads = writes | {Edge.WRITE_READ}
        yield _Class(f"G0{suffix}", Edge.WRITE_WRITE, writes)
        yield _Class(f"G1c{suffix}", Edge.WRITE_READ, reads)
        yield _Class(f"G-single{suffix}", Edge.READ_WRITE, reads)
        yield _Class(f"G2{suffix}", Edge.READ_WRITE, reads | {Edge.READ_WRITE})


_ORDERS: Final[tuple[tuple[str, Kinds], ...]] = (
    ("", frozenset()),
    ("-process", frozenset({Edge.PROCESS})),
    ("-realtime", frozenset({Edge.REAL_TIME, Edge.PROCESS})),
)


def _first_cycle(graph: Dependencies, knot: frozenset[int]) -> _Cycle | None:
    for kind in _classes():
        shortest: list[tuple[int, Edge]] | None = None
        for first, second in _beginnings(graph, knot, kind):
            most = len(shortest) - 1 if shortest else len(knot)
            way = _way(graph, knot, (second, first), kinds=kind.goes_on, most=most)
            if way is not None and (shortest is None or len(way) + 1 < len(shortest)):
                shortest = [(first, kind.begins), *way]
                if len(shortest) == _SHORTEST:
                    break
        if shortest is not None:
            return _Cycle(kind.name, shortest)
    return None


def _beginnings(graph: Dependencies, knot: frozenset[int], kind: _Class) -> Iterator[tuple[int, int]]:
    """Yield the edges at which a cycle of a class may begin: within one knot of its own kinds."""
    allowed = kind.goes_on | {kind.begins}
    left = _MOST_BEGINNINGS

    def after(node: int) -> list[int]:
        return [target for target, why in graph.after(node) if why in allowed and target in knot]

    for part in components(sorted(knot), after):
        inside = frozenset(part)
        for node in sorted(part):
            for target, why in graph.after(node):
                if why is kind.begins and target in inside:
                    yield node, target
                    left -= 1
                    if not left:
                        return


def _way(
    graph: Dependencies, knot: frozenset[int], ends: tuple[int, int], *, kinds: Kinds, most: int
) -> list[tuple[int, Edge]] | None:
    """Return the shortest way, of at most `most` transactions, as nodes with the kinds of the edges that leave them.

    Moments cost nothing and do not appear, only how a transaction leads to the next one (a search with costs 0 and 1).
    """
    begin, end = ends
    costs = {begin: 0}
    came_from: dict[int, tuple[int, Edge]] = {}
    waiting = deque([begin])
    while waiting:
        node = waiting.popleft()
        if node == end:
            return _traced(graph, came_from, begin, end)
        for target, why in graph.after(node):
            if why not in kinds or target not in knot:
                continue
            is_moment = target >= graph.moments
            cost = costs[node] + (not is_moment)
            if cost <= most and cost < costs.get(target, most + 1):
                costs[target] = cost
                came_from[target] = (node, why)
                (waiting.appendleft if is_moment else waiting.append)(target)
    return None


def _traced(
    graph: Dependencies, came_from: dict[int, tuple[int, Edge]], begin: int, end: int
) -> list[tuple[int, Edge]]:
    way: list[tuple[int, Edge]] = []
    node = end
    while node != begin:
        node, why = came_from[node]
        if node < graph.moments:
            way.append((node, why))
    return way[::-1]


def _described(cycle: _Cycle, graph: Dependencies, transactions: list[Transaction]) -> Anomaly:
    lines = [f"a cycle of {len(cycle.steps)}, each must have come before the next, the last before the first"]
    targets = [*cycle.steps[1:], cycle.steps[0]]
    for place, ((node, why), (target, _)) in enumerate(zip(cycle.steps, targets, strict=True), start=1):
        following = place % len(cycle.steps) + 1
        lines.append(f"      ({place}) {transactions[node].words}")
        lines.append(f"          before ({following}), which {graph.explain(node, target, why)}")
    return Anomaly(kind=cycle.name, why="\n".join(lines))


_SHORTEST: Final = 2
_MOST_BEGINNINGS: Final = 300
