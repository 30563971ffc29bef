"""Translation: what clients and activities noted, as transactions on lists. The package says what is claimed of each.

Lists, by their keys: `row R`, whether a run is there, as a list of who created it; `inbox R`, what was sent to it;
`state R`, what it has taken in; `closed R`, whether it has ended; and those of locks, see `holds`.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from perdure import errors
from perdure.torture.checking.anomaly import Anomaly
from perdure.torture.checking.holds import Holds
from perdure.torture.checking.records import Answer, Call, Point, Record, Row
from perdure.torture.checking.subjects import END, Entry, child_id, elements, has_generations, sent_value
from perdure.torture.checking.transactions import Append, Happened, Order, Read, Saw, Step, Transaction

__all__ = ["Translated", "translate"]

Made = tuple[Call, Answer | None]
Place = tuple[int, int]


class Translated(msgspec.Struct, kw_only=True):
    """A history to check. `calls` is how many there were, `unknown` of how many operations the outcome is.

    `asked` and `answered`: how many calls of each kind there were, and were answered by no error. `anomalies`: what is
    wrong whatever the rest says.
    """

    calls: int = 0
    asked: Counter[str] = msgspec.field(default_factory=Counter)
    answered: Counter[str] = msgspec.field(default_factory=Counter)
    unknown: int = 0
    transactions: list[Transaction] = []
    orders: list[Order] = []
    anomalies: list[Anomaly] = []


def translate(records: Iterable[Record], *, may_be_unavailable: bool = False) -> Translated:
    """Return what records mean; see `perdure.torture.checking.judgement.judge`."""
    calls: dict[tuple[str, int], Call] = {}
    answers: dict[tuple[str, int], Answer] = {}
    points: list[Point] = []
    for record in records:
        match record:
            case Call():
                calls[record.client, record.number] = record
            case Answer():
                answers[record.client, record.number] = record
            case Point():
                points.append(record)
    made = [(call, answers.get(known)) for known, call in calls.items()]
    translation = _Translation(made, _EXPECTED | _UNAVAILABLE if may_be_unavailable else _EXPECTED)
    translation.add_calls()
    translation.add_runs()
    translation.add_locks(points)
    translation.found.calls = len(calls)
    translation.found.asked = Counter(call.asked for call, _ in made)
    translation.found.answered = Counter(
        call.asked for call, answer in made if answer is not None and answer.happened is Happened.YES
    )
    return translation.found


class _Final(msgspec.Struct):
    """The list of a run in the end: who created it, then the elements, and after which event each was there."""

    nonce: str = ""
    values: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()


class _Translation:
    """One history under way. `made` are the calls with their answers."""

    def __init__(self, made: list[Made], expected: frozenset[str]) -> None:
        self._expected = expected
        self.found = Translated(transactions=[], orders=[], anomalies=[])
        self._made = made
        self._finals = _finals(made)
        self._nonces = {call.run: answer.entries[0] for call, answer in made if answer is not None and answer.entries}
        self._nonces |= {run: final.nonce for run, final in self._finals.items()}
        self._entries = {
            call.value: call for call, _ in made if call.asked in ("signal", "update") and call.value != END
        }
        self._children: dict[str, list[str]] = defaultdict(list)
        for call in self._entries.values():
            if call.has_child:
                self._children[call.run].append(child_id(call.run, _entry_of(call)))
        self._ended: dict[str, None] = {}
        self._settled = _settled(made)
        self._lines: list[tuple[Call, Answer]] = []

    # --- calls ---------------------------------------------------------------------------------------------------

    def add_calls(self) -> None:
        """Translate what clients asked, and what they saw by that."""
        requests: dict[tuple[str, str], list[Made]] = defaultdict(list)
        for call, answer in self._made:
            if answer is not None and answer.happened is not Happened.YES:
                self._add_refusal(call, answer)
            if call.asked in ("signal", "update"):
                requests[call.run, call.value].append((call, answer))
            elif call.asked in ("start", "hold"):
                self._add_start(call, answer)
            elif answer is not None and answer.happened is Happened.YES:
                self._add_look(call, answer)
            elif answer is None or answer.happened is Happened.UNKNOWN:
                self.found.unknown += 1
        for of_request in requests.values():
            self._add_request(of_request)

    def _add_start(self, call: Call, answer: Answer | None) -> None:
        """Add a start: one has created the run, the others have seen that it is there. If nobody has seen who created
        it, any may have."""
        nonce = self._nonce(call.run)
        self.found.unknown += answer is None or answer.happened is Happened.UNKNOWN
        if nonce in (None, call.value):
            self._add(call, answer, Append(f"row {call.run}", call.value))
        elif answer is not None and answer.happened is Happened.YES:
            self._add(call, answer, *self._seen_there(call.run))

    def _add_request(self, made: list[Made]) -> None:
        """Add a request that was made once or again: one effect, between the first call that was not refused and the
        first answer. Further answers have seen it."""
        made.sort(key=lambda each: each[0].at)
        (first, last), *_ = [each for each in made if not _is_refused(each)] or made
        answered = [each for each in made if each[1] is not None and each[1].happened is Happened.YES]
        if answered:
            by, last = answered[0]
            first = msgspec.structs.replace(first, client=by.client if first.client == by.client else "")
        elif not _is_refused((first, last)):
            last = None
            self.found.unknown += 1
        key = f"state {first.run}" if first.asked == "update" else f"inbox {first.run}"
        entry = _entry_of(first)
        if first.asked == "update":
            steps = [*self._consequences(first.run, entry), *self._seen_list(first.run, last)]
        else:
            steps = [Append(key, entry.value), Read(f"closed {first.run}", ())]
        self._add(first, last, *steps)
        for call, answer in answered[1:]:
            self._add(call, answer, Saw(key, entry.value))
            if answer is not None and last is not None and answer.entries != last.entries:
                self._accuse(call, f"the same request was answered otherwise: {answer.entries}, then {last.entries}")

    def _add_refusal(self, call: Call, answer: Answer) -> None:
        """Add what is known by an error."""
        match answer.error:
            case "RunNotFoundError":
                self._add(call, answer, Read(f"row {call.run}", ()), tells=" found nothing")
            case "RunClosedError":
                self._add_closed(call, answer)
            case "UpdateFailedError" if call.asked == "update":  # the run left it, by its end or for a new generation
                if not has_generations(call.run):
                    self._add_closed(call, answer)
            case "InvalidArgumentError" if call.asked == "query":  # it has not begun: there is no handler
                self._add(call, answer, *self._seen_there(call.run), tells=" found it not begun")
            case error if error not in self._expected:
                self._accuse(call, f"it had an error that nothing explains: {error}")

    def _add_closed(self, call: Call, answer: Answer) -> None:
        self._ended[call.run] = None
        self._add(call, answer, Saw(f"closed {call.run}", _YES), tells=" found it closed")

    def _add_look(self, call: Call, answer: Answer) -> None:
        run = call.run
        match call.asked:
            case "query" | "stream":
                self._add(call, answer, *self._seen_list(run, answer))
            case "result":
                self._ended[run] = None
                self._add(call, answer, *self._seen_list(run, answer), Saw(f"closed {run}", _YES))
            case "describe" | "page":
                seen = [step for row in answer.rows or () for step in self._seen_row(row)]
                self._add(call, answer, *seen, *self._absent(call, answer))
            case "follow":
                self._add_followed(call, answer)
            case "locks":
                self._lines.append((call, answer))

    def _add_followed(self, call: Call, answer: Answer) -> None:
        values = answer.entries or ()
        for value, at in zip(values[1:], answer.times[1:], strict=True):
            heard = msgspec.structs.replace(answer, at=at)
            self._add(call, heard, Saw(f"state {call.run}", value), tells=f" heard {value}", is_in_session=False)
        self.found.orders.append(Order(key=f"state {call.run}", values=values[1:]))

    # --- what was seen -------------------------------------------------------------------------------------------

    def _seen_list(self, run: str, answer: Answer | None) -> Iterator[Step]:
        """Yield the reads of a list, whose first element tells who created the run."""
        if answer is not None and answer.entries:
            yield Read(f"row {run}", answer.entries[:1])
            yield Read(f"state {run}", answer.entries[1:])

    def _seen_there(self, run: str) -> Iterator[Step]:
        """Yield what is seen of a run's row by whoever sees that it is there."""
        nonce = self._nonce(run)
        if nonce is not None:
            yield Saw(f"row {run}", nonce)

    def _seen_row(self, row: Row) -> Iterator[Step]:
        run, generation, sequence, is_closed = row
        final = self._finals.get(run)
        nonce = self._nonce(run)
        if nonce is not None:
            yield Read(f"row {run}", (nonce,))
        if is_closed:
            self._ended[run] = None
        yield Read(f"closed {run}", (_YES,) if is_closed else ())
        if final is not None:
            yield Read(f"state {run}", final.values[: bisect_right(final.places, (generation, sequence))])

    def _absent(self, call: Call, answer: Answer) -> Iterator[Step]:
        """Yield the reads of runs that would be shown if they were there: by a page, of a run and its children; by the
        last one of those that show all runs in the end, of all that were ever asked for."""
        if call.asked != "page" or not answer.is_last:
            return
        present = {row[0] for row in (answer.rows or () if call.run else self._settled)}
        for run in (call.run, *self._children[call.run]) if call.run else self._all_runs():
            if run not in present:
                yield Read(f"row {run}", ())

    def _all_runs(self) -> dict[str, None]:
        started = (call.run for call, _ in self._made if call.asked in ("start", "hold"))
        return dict.fromkeys(chain(started, *self._children.values()))

    # --- runs ----------------------------------------------------------------------------------------------------

    def add_runs(self) -> None:
        """Translate what runs did by themselves: they took in what was in their inboxes, in its order, and ended."""
        for run, final in self._finals.items():
            taken: list[str] = []
            rest = list(final.values[::-1])
            while rest:
                value = rest.pop()
                call = self._entries.get(value)
                entry = Entry(value=value) if call is None else _entry_of(call)
                if entry.is_pair and rest and rest[-1] == elements(entry)[1]:
                    rest.pop()
                if call is None or call.asked == "signal":
                    taken.append(value)
                    self._happen(f"{run} took {value} in", Saw(f"inbox {run}", value), *self._consequences(run, entry))
            self.found.orders += (
                Order(key=f"inbox {run}", values=tuple(taken)),
                Order(key=f"state {run}", values=final.values, is_final=final.values[-1:] == (END,)),
            )
            if final.values[-1:] == (END,):
                self._ended[run] = None
            else:
                self.found.anomalies.append(Anomaly(kind="open", why=f"{run} has not ended, though it was asked to"))
        for run, *_, is_closed in self._settled:
            if not is_closed:
                self.found.anomalies.append(Anomaly(kind="open", why=f"{run} has not ended, and nothing else goes on"))
        for run in self._ended:
            last = self._finals[run].values[-1:] if run in self._finals else ()
            came = [Saw(f"state {run}", value) for value in last] or self._seen_there(run)
            self._happen(f"{run} ended", *came, Append(f"closed {run}", _YES))

    def _consequences(self, run: str, entry: Entry) -> list[Step]:
        """Return what happens in the transition that takes an entry in."""
        sent = (Append(f"inbox {peer}", sent_value(entry, place)) for place, peer in enumerate(entry.peers))
        child = [Append(f"row {child_id(run, entry)}", entry.value)] if entry.has_child else []
        return [*sent, *child, *(Append(f"state {run}", element) for element in elements(entry))]

    def _nonce(self, run: str) -> str | None:
        """Return how it is known who created a run: by the argument of a start, or by the end of an id; None: not."""
        by_id = run.partition("/")[2] or (run.startswith("h") and run.strip("h."))
        return by_id or self._nonces.get(run)

    # --- locks ---------------------------------------------------------------------------------------------------

    def add_locks(self, points: list[Point]) -> None:
        """Translate what held locks, and the looks at their lines, of whom the first alone holds the lock."""
        holds = Holds(points)
        self.found.orders += holds.orders()
        self.found.transactions += holds.transactions(self._seen_there)
        for call, answer in self._lines:
            line = answer.line or ()
            if [is_held for _, _, is_held in line] != [place == 0 for place in range(len(line))]:
                self._accuse(call, f"others than the first in the line of {call.key} hold it: {line}")
            self._add(call, answer, *holds.seen(call.key, line, since=call.at))

    # --- parts ---------------------------------------------------------------------------------------------------

    def _add(
        self, call: Call, answer: Answer | None, *steps: Step, tells: str = "", is_in_session: bool = True
    ) -> None:
        """Add what a call did, or with `tells` what its answer told, whatever became of it."""
        happened = Happened.UNKNOWN if answer is None else answer.happened
        value = f" {call.value}" if call.value else ""
        self.found.transactions.append(
            Transaction(
                words=f"{call.client or 'clients'}: {call.asked}{value} {call.run or call.key} ({call.at}){tells}",
                steps=steps,
                invoked=call.at,
                completed=answer.at if answer is not None and happened is not Happened.UNKNOWN else None,
                session=call.client if is_in_session else "",
                happened=Happened.YES if tells else happened,
            )
        )

    def _happen(self, words: str, *steps: Step) -> None:
        """Add what happened at some time."""
        self.found.transactions.append(Transaction(words=words, steps=steps))

    def _accuse(self, call: Call, why: str) -> None:
        self.found.anomalies.append(Anomaly(kind="answer", why=f"{call.client}: {call.asked} {call.run}: {why}"))


def _finals(made: list[Made]) -> dict[str, _Final]:
    """Return of each run the longest list that was read of its stream."""
    longest: dict[str, Answer] = {}
    for call, answer in made:
        if call.asked == "stream" and answer is not None and answer.entries:
            known = longest.get(call.run)
            if known is None or len(answer.entries) > len(known.entries or ()):
                longest[call.run] = answer
    return {
        run: _Final(answer.entries[0], answer.entries[1:], answer.positions[1:])
        for run, answer in longest.items()
        if answer.entries
    }


def _settled(made: list[Made]) -> list[Row]:
    """Return the rows of the pages that show all runs in the end."""
    return [
        row for call, answer in made if call.asked == "page" and not call.run and answer for row in answer.rows or ()
    ]


def _is_refused(made: Made) -> bool:
    """Whether a call is known to have had no effect."""
    return made[1] is not None and made[1].happened is Happened.NO


def _entry_of(call: Call) -> Entry:
    return Entry(value=call.value, peers=call.peers, has_child=call.has_child, is_pair=call.is_pair)


def _names(*kinds: type[Exception]) -> Iterator[str]:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, kinds):
            yield kind.__name__


_YES: Final = "yes"
_EXPECTED: Final = frozenset(_names(errors.ResultTimeoutError, errors.StoreLockedError, errors.EngineClosedError)) | {
    "TimeoutError"
}
"""Errors that tell nothing of any run: of a store that is locked, and of calls that were cut off."""
_UNAVAILABLE: Final = frozenset(_names(errors.StoreUnavailableError))
"""The same of a store that was not there."""
