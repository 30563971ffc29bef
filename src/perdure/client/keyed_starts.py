"""Starts by a key: debounced, deduplicated, one at a time.

An id says *which* run is meant, for good. A key says what is to become of several starts that belong together, for the
time that they do; each of the runs has an id of its own, ``KEY@...``. What is asked for is one entry of the agenda by
workflow and key (`perdure.ports.agenda`), changed together with the run: whichever process decides from an outdated
entry is refused, and decides again.

A call with a `request_id` leaves its answer in a second entry, in the same change: made again, it gives the same run,
and puts no burst off, lines nobody up and begins no window a second time.
"""

from functools import partial
from typing import Final, Protocol, TypeVar, TypeVarTuple

import msgspec

from perdure.authoring.arguments import require_duration, require_text
from perdure.authoring.workflow import Workflow, require_workflow
from perdure.client.gateway import Gateway
from perdure.client.handle import Run
from perdure.client.start_rules import Debounce, Deduplicate, Rule, Singleton, WhenOpen
from perdure.client.starting import StartRequest, make_creation
from perdure.client.waiting_starts import key_of
from perdure.configuration import MAXIMUM_WAITING_STARTS, REMEMBERED_REQUESTS_SECONDS
from perdure.errors import RunExistsError, StoreError
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.messages import CancelMessage
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.kernel.transition import Creation, Delivery
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.ports.store import Changes
from perdure.timekeeping.debouncing import DEBOUNCE_KIND, Burst, burst_entry, read_burst
from perdure.timekeeping.deduplication import DEDUPLICATION_KIND, REQUEST_KIND, Remembered, read_remembered, remembering
from perdure.timekeeping.singletons import SINGLETON_KIND, Line, holder_is_open, read_line, singleton_entry
from perdure.timekeeping.waiting import let_wait

__all__ = ["start_by_key"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


async def start_by_key(  # noqa: PLR0917 - as `begin`
    gateway: Gateway,
    ref: RunRef,
    rule: Rule,
    workflow: Workflow[*Ts, R],
    args: tuple[*Ts],
    request: StartRequest,
) -> Run[R]:
    """Start a run by a rule; return the run that this gives, which may not exist yet. A new one is named `ref`.

    Raises RunExistsError, HistoryError for an entry that cannot be read, else as `Client.start`.
    """
    require_workflow(workflow, "start")
    workflow = gateway.registry.at_version(workflow, request.version)
    request_id = require_text(request.request_id, "request_id")
    plain = msgspec.structs.replace(request, request_id="")  # it names the start, which may come to no run of its own
    make = partial(make_creation, workflow, workflow.signature.encode_arguments(args, {}), plain)
    key = key_of(ref.namespace, _KINDS[type(rule)], workflow=workflow.name, key=rule.key)
    started = await _KeyedStart(gateway, key, ref, rule=rule, request_id=request_id, make=make).started()
    return Run(
        gateway,
        started.ref,
        run_key=started.run_key,
        signature=workflow.signature,
        waits_under=key if started.may_wait else None,
    )


_KINDS: Final[dict[type[Rule], str]] = {
    Debounce: DEBOUNCE_KIND,
    Deduplicate: DEDUPLICATION_KIND,
    Singleton: SINGLETON_KIND,
}


class _MakeCreation(Protocol):
    """Makes the creation of the run that is asked for, under a name and a key."""

    def __call__(self, *, ref: RunRef, run_key: RunKey, now: Timestamp) -> Creation: ...


class _Started(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a start gives. `may_wait`: it may not exist yet, its start waiting in the entry."""

    ref: RunRef
    run_key: RunKey
    may_wait: bool = False


class _KeyedStart:
    """One start by a key, until it is durable."""

    def __init__(
        self, gateway: Gateway, key: AgendaKey, ref: RunRef, *, rule: Rule, request_id: str, make: _MakeCreation
    ) -> None:
        self._gateway = gateway
        self._key = key
        self._new = ref
        self._rule = rule
        self._request = _request_key(key, request_id) if request_id else None
        self._make = make

    async def started(self) -> _Started:
        """Start, or find what the same call was answered before. Decides again whenever the entry has changed."""
        while True:
            started = await self._answer_before() or await self._decide()
            if started is not None:
                return started

    async def _answer_before(self) -> _Started | None:
        entry = None if self._request is None else await self._gateway.store.find_agenda(self._request)
        if entry is None:
            return None
        known = read_remembered(entry)
        may_wait = self._key.kind != DEDUPLICATION_KIND
        return _Started(ref=self._ref(known.run_id), run_key=known.run_key, may_wait=may_wait)

    async def _decide(self) -> _Started | None:
        entry = await self._gateway.store.find_agenda(self._key)
        match self._rule:
            case Debounce():
                return await self._debounced(self._rule, entry)
            case Deduplicate():
                return await self._deduplicated(self._rule, entry)
            case Singleton():
                return await self._single(self._rule, entry)

    # --- the rules -----------------------------------------------------------------------------------------------

    async def _debounced(self, rule: Debounce, entry: AgendaEntry | None) -> _Started | None:
        gateway, now = self._gateway, self._gateway.clock.now()
        if entry is None:
            first_at, creation = now, self._new_creation(now=now)
        else:
            burst = read_burst(entry)
            first_at = min(burst.first_at, now)  # a clock that was set back makes nobody wait longer than they said
            creation = self._make(ref=self._ref(burst.start.run_id), run_key=burst.start.run_key, now=now)
        start, given = let_wait(creation)
        new = burst_entry(
            self._key,
            Burst(start, first_at),
            given,
            version=gateway.store.new_run_key(),
            now=now,
            wait_microseconds=require_duration(rule.wait, "wait"),
            maximum_microseconds=None if rule.max_wait is None else require_duration(rule.max_wait, "max_wait"),
        )
        started = _Started(ref=creation.ref, run_key=creation.run_key, may_wait=True)
        return await self._change(entry, new, started)

    async def _deduplicated(self, rule: Deduplicate, entry: AgendaEntry | None) -> _Started | None:
        now = self._gateway.clock.now()
        if entry is not None and entry.due_at is not None and entry.due_at > now:
            return await self._again(entry, entry.due_at, now=now)
        creation = self._new_creation(now=now)
        known = Remembered(creation.ref.id, creation.run_key, require_duration(rule.window, "window"))
        new = remembering(self._key, known, version=self._gateway.store.new_run_key(), now=now)
        return await self._change(entry, new, _Started(ref=creation.ref, run_key=creation.run_key), creation)

    async def _again(self, entry: AgendaEntry, until: Timestamp, *, now: Timestamp) -> _Started | None:
        """Give the run that is remembered. No longer than a window from now: the clock may have been set back."""
        known = read_remembered(entry)
        started = _Started(ref=self._ref(known.run_id), run_key=known.run_key)
        if until > now + known.window_microseconds:
            entry_from_now = remembering(self._key, known, version=self._gateway.store.new_run_key(), now=now)
            return await self._change(entry, entry_from_now, started)
        return await self._settled(entry, started)

    async def _single(self, rule: Singleton, entry: AgendaEntry | None) -> _Started | None:
        line = None if entry is None else read_line(entry)
        if entry is not None and line is not None:
            is_open = await holder_is_open(self._gateway.store, self._key, line)
            if is_open or line.waiting:
                return await self._beside(rule, entry, line, is_open=is_open)
        creation = self._new_creation(now=self._gateway.clock.now())
        new = self._line_entry(Line(creation.ref.id, creation.run_key))
        return await self._change(entry, new, _Started(ref=creation.ref, run_key=creation.run_key), creation)

    async def _beside(self, rule: Singleton, entry: AgendaEntry, line: Line, *, is_open: bool) -> _Started | None:
        """Start beside the run that holds the key, or will next, as the rule says."""
        holder = _Started(ref=self._ref(line.holder_id), run_key=line.holder_key)
        if not is_open:
            first = line.waiting[0]
            holder = _Started(ref=self._ref(first.run_id), run_key=first.run_key, may_wait=True)
        match WhenOpen(rule.when_open):
            case WhenOpen.RETURN_EXISTING:
                return await self._settled(entry, holder)
            case WhenOpen.REJECT:
                behind = len(line.waiting) - holder.may_wait
                others = f", and {behind} more wait for its end" if behind else ""
                message = (
                    f"the singleton {rule.key!r} is taken by the run {holder.ref}{others}; start again when that has "
                    f"ended, or say what else a start does then: Singleton(..., when_open='wait')"
                )
                raise RunExistsError(message)
            case WhenOpen.WAIT:
                return await self._line_up(rule, entry, line)
            case WhenOpen.REPLACE:
                return await self._replace(rule, entry, line)

    async def _replace(self, rule: Singleton, entry: AgendaEntry, line: Line) -> _Started | None:
        cancel = CancelMessage(reason=f"replaced by another start of the singleton {rule.key!r}", by="")
        told = Delivery(
            target=self._ref(line.holder_id),
            message=cancel,
            message_id=f"{entry.version}:replaced",
            at=self._gateway.clock.now(),
        )
        return await self._line_up(
            rule,
            msgspec.structs.replace(entry, inputs=()),
            msgspec.structs.replace(line, waiting=()),
            deliveries=(told,),
            gone=tuple(start.run_key for start in line.waiting),
        )

    async def _line_up(
        self,
        rule: Singleton,
        entry: AgendaEntry,
        line: Line,
        *,
        deliveries: tuple[Delivery, ...] = (),
        gone: tuple[RunKey, ...] = (),
    ) -> _Started | None:
        if len(line.waiting) >= MAXIMUM_WAITING_STARTS:
            message = (
                f"{len(line.waiting)} starts wait already in the line of the singleton {rule.key!r}, as many as may; "
                f"start again later, or withdraw some: `perdure waiting` lists them, `perdure cancel ID` withdraws one"
            )
            raise RunExistsError(message)
        creation = self._new_creation(now=self._gateway.clock.now())
        start, given = let_wait(creation)
        new = self._line_entry(msgspec.structs.replace(line, waiting=(*line.waiting, start)), *entry.inputs, given)
        started = _Started(ref=creation.ref, run_key=creation.run_key, may_wait=True)
        return await self._change(entry, new, started, deliveries=deliveries, gone=gone)

    # --- parts ---------------------------------------------------------------------------------------------------

    def _line_entry(self, line: Line, *inputs: msgspec.Raw) -> AgendaEntry:
        gateway = self._gateway
        return singleton_entry(self._key, line, inputs, version=gateway.store.new_run_key(), now=gateway.clock.now())

    def _new_creation(self, *, now: Timestamp) -> Creation:
        return self._make(ref=self._new, run_key=self._gateway.store.new_run_key(), now=now)

    def _ref(self, run_id: str) -> RunRef:
        return RunRef(namespace=self._key.namespace, id=run_id)

    async def _settled(self, entry: AgendaEntry, started: _Started) -> _Started | None:
        """Give a run without changing the entry: there is nothing to commit but the answer to a request."""
        return started if self._request is None else await self._change(entry, entry, started)

    async def _change(
        self,
        old: AgendaEntry | None,
        new: AgendaEntry,
        started: _Started,
        *creations: Creation,
        deliveries: tuple[Delivery, ...] = (),
        gone: tuple[RunKey, ...] = (),
    ) -> _Started | None:
        """Commit what was decided from `old`, with the answer; None if that has changed meanwhile."""
        gateway = self._gateway
        change = AgendaChange(
            key=new.key,
            expected=None if old is None else old.version,
            entry=new,
            creations=creations,
            deliveries=deliveries,
            gone=gone,
            beside=self._answer(started),
        )
        if not await gateway.store.change_agenda(change):
            return None
        gateway.hear(await self._changes(deliveries, gone, ready=bool(creations or deliveries)))
        gateway.agenda_changed()
        return started

    def _answer(self, started: _Started) -> AgendaEntry | None:
        """Return what remembers for some days what a request was answered."""
        if self._request is None:
            return None
        store, now = self._gateway.store, self._gateway.clock.now()
        known = Remembered(started.ref.id, started.run_key, REMEMBERED_REQUESTS_SECONDS * MICROSECONDS_PER_SECOND)
        return remembering(self._request, known, version=store.new_run_key(), now=now)

    async def _changes(self, deliveries: tuple[Delivery, ...], gone: tuple[RunKey, ...], *, ready: bool) -> Changes:
        """Return what this process must hear of: it may have the runs in memory that were sent something.

        What is committed by now stays so: a store that fails here is no reason to fail the start.
        """
        try:
            found = [await self._gateway.store.find(delivery.target) for delivery in deliveries]
        except StoreError:
            return Changes(everything=True)
        told = {summary.run_key for summary in found if summary is not None}
        return Changes(run_keys=frozenset(told.union(gone)), ready=ready)


def _request_key(key: AgendaKey, request_id: str) -> AgendaKey:
    """Return the name of the entry that holds the answer of a call. Each kind, workflow and key has its own calls."""
    return AgendaKey(
        kind=REQUEST_KIND,
        namespace=key.namespace,
        id=msgspec.json.encode((key.kind, key.id, request_id)).decode(),
    )
