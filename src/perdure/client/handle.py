"""The handle of a run: what a client can do with one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, Unpack, cast, overload

from perdure.authoring.arguments import require_choice, require_duration, require_text
from perdure.authoring.payloads import decode_value, encode_value
from perdure.authoring.signals import Signal, require_signal
from perdure.authoring.signature import Signature
from perdure.authoring.streams import Stream, require_stream
from perdure.authoring.updates import Query, Update, query_name, require_update
from perdure.chance import new_name
from perdure.client.following import follow
from perdure.client.gateway import Gateway, missing, require_outside
from perdure.client.starting import require_id
from perdure.client.streaming import Published, read_stream
from perdure.client.updating import Asked
from perdure.client.waiting_starts import start_waits, withdraw_start
from perdure.client.wishes import ForkOptions, Wish
from perdure.errors import (
    HistoryError,
    InvalidArgumentError,
    ResultTimeoutError,
    RunCancelledError,
    RunFailedError,
    RunNotFoundError,
    RunTerminatedError,
)
from perdure.kernel import events as e
from perdure.kernel import messages as m
from perdure.kernel.fork_facts import ForkCause
from perdure.kernel.history import RecordedEvent
from perdure.kernel.identity import RunKey, RunRef
from perdure.kernel.payload import Payload
from perdure.kernel.priority import Priority
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import RunStatus
from perdure.ports.agenda import AgendaKey

if TYPE_CHECKING:
    from perdure.ports.store import RunSummary

__all__ = ["Run"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")
P = ParamSpec("P")


class Run(Generic[R_co]):
    """A run that exists. `id` is its business key; the handle follows it through all its generations."""

    def __init__(
        self,
        gateway: Gateway,
        ref: RunRef,
        *,
        run_key: RunKey | None,
        signature: Signature | None,
        waits_under: AgendaKey | None = None,
    ) -> None:
        """Build from parts; `Engine.start` and `Engine.get_run` return handles.

        `waits_under`: the entry of the agenda where the start may still wait; then the run may not exist yet.
        """
        self._engine = gateway
        self._ref = RunRef(namespace=ref.namespace, id=ref.id)
        self._run_key = run_key
        self._signature = signature
        self._waits_under = waits_under

    @property
    def _gateway(self) -> Gateway:
        require_outside()
        return self._engine

    @property
    def id(self) -> str:
        """The run's business key."""
        return self._ref.id

    @property
    def namespace(self) -> str:
        """The run's namespace."""
        return self._ref.namespace

    def __repr__(self) -> str:
        """Show the name."""
        return f"<run {self._ref}>"

    # --- its end -------------------------------------------------------------------------------------------------

    async def result(self, *, timeout: timedelta | None = None) -> R_co:
        """Wait for the run's end and return the workflow's result.

        Raises RunFailedError, RunCancelledError, RunTerminatedError if it ended otherwise; ResultTimeoutError if it did
        not end within `timeout` (None: wait for ever); NonDeterminismError if this process cannot run it; StoreError if
        the store cannot be read.
        """
        if timeout is None:
            return cast("R_co", self._outcome(await self._closing()))
        require_duration(timeout, "timeout", may_be_zero=True)
        seconds = timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                closing = await self._closing()
        except TimeoutError:
            message = (
                f"run {self._ref} did not end within {seconds:g} s and goes on; call result() again to wait for it"
            )
            raise ResultTimeoutError(message) from None
        return cast("R_co", self._outcome(closing))

    async def _closing(self) -> e.Event:
        gateway = self._gateway
        while True:
            run_key = self._run_key
            if run_key is None:
                run_key = self._run_key = (await self.describe()).run_key
            future = gateway.closing(run_key)
            try:
                # Look only now that the end cannot be missed any more.
                if not (gateway.holds(run_key) or (self._waits_under and await self._start_waits(run_key))):
                    summary = await self._gateway.store.find(self._ref)
                    if summary is None:
                        raise _removed(self._ref)
                    if summary.run_key != run_key:
                        self._run_key = summary.run_key
                        continue
                    if summary.status.is_closed and summary.status is not RunStatus.CONTINUED:
                        return await self._last_event(summary)
                    gateway.note_waiting(summary)
                closing = await future
            finally:
                gateway.stop_waiting(run_key, future)
            if closing is not None and not isinstance(closing, e.RunContinued | e.RunReset):
                return closing
            if self._waits_under is None:
                self._run_key = None

    async def _start_waits(self, run_key: RunKey) -> bool:
        """Whether the start of this run still waits in the agenda; once it does not, it never will again."""
        store = self._gateway.store
        if self._waits_under is not None and await start_waits(store, self._waits_under, run_key):
            return True
        if await store.find(self._ref) is None:
            message = f"run {self._ref} never began: its start was withdrawn, or replaced by a later one; start again"
            raise RunNotFoundError(message)
        self._waits_under = None
        return False

    async def _last_event(self, summary: "RunSummary") -> e.Event:
        page = await self._gateway.store.read_history(summary.run_key, after=summary.sequence - 1, limit=1)
        if not page:
            message = f"run {self._ref} is {summary.status} but its last event ({summary.sequence}) is missing"
            raise HistoryError(message)
        return page[0].event

    def _outcome(self, closing: e.Event) -> Any:  # noqa: ANN401 - what the workflow's annotation says
        match closing:
            case e.RunCompleted(result=result):
                return self._decode(result)
            case e.RunFailed(failure=failure):
                whose = "" if self._signature is None else f" of workflow {self._signature.name}"
                message = f"run {self._ref}{whose} failed: {failure.explanation}"
                error = RunFailedError(
                    message, run_id=self.id, failure_type=failure.type, failure_message=failure.message
                )
                if failure.traceback is not None:  # recorded where it was raised, maybe in another process
                    error.add_note(f"\nIn the run:\n{failure.traceback.rstrip()}")
                raise error
            case e.RunCancelled(reason=reason):
                raise RunCancelledError(f"run {self._ref} was cancelled: {reason}", run_id=self.id, reason=reason)
            case e.RunTerminated(reason=reason):
                raise RunTerminatedError(f"run {self._ref} was terminated: {reason}", run_id=self.id, reason=reason)
            case _:
                message = f"run {self._ref} ended with the unexpected event {type(closing).__name__}"
                raise HistoryError(message)

    def _decode(self, result: Payload) -> Any:  # noqa: ANN401 - what the workflow's annotation says
        if self._signature is None:
            return decode_value(result, subject=f"result of {self._ref}")
        return self._signature.decode_result(result)

    # --- what it is ----------------------------------------------------------------------------------------------

    async def describe(self) -> "RunSummary":
        """Return the run's row: status, stage, progress, times. Raises RunNotFoundError."""
        summary = await self._gateway.store.find(self._ref)
        if summary is None:
            raise missing(self._ref)
        return summary

    async def history(self) -> AsyncIterator[RecordedEvent]:
        """Yield the events of the run's latest generation so far."""
        summary = await self.describe()
        after = 0
        while True:
            page = await self._gateway.store.read_history(summary.run_key, after=after, limit=_PAGE)
            for recorded in page:
                yield recorded
            if len(page) < _PAGE:
                return
            after = page[-1].sequence

    async def watch(self) -> AsyncGenerator[RecordedEvent]:
        """Yield the run's events, those so far and then each new one when it is durable, until the run has ended.

        Follows the run into its next generations. Raises the reason if this process cannot run it, EngineClosedError
        when the engine is closed meanwhile.
        """
        async with aclosing(follow(self._gateway, await self.describe(), after=0)) as events:
            async for _, recorded in events:
                yield recorded

    def stream(self, stream: Stream[T], *, after: str = "", follow: bool = True) -> AsyncGenerator[Published[T]]:
        """Return what the run publishes on a stream: the values so far, then each new one when it is durable, until the
        run has ended, over all its generations.

        `after`: only values after this `Published.position`, which stays valid for ever. `follow` False: only those
        that are there now. Raises InvalidArgumentError for no position, PayloadDecodeError, else as `watch`.
        """
        require_stream(stream, "run.stream")
        return read_stream(self._gateway, self._ref, stream, after=after, follows=follow)

    @overload
    async def query(self, query: Query[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def query(self, query: str, *args: object) -> Any: ...  # noqa: ANN401 - what the handler returns
    async def query(self, query: object, *args: object, **kwargs: object) -> Any:
        """Ask the run: call the handler that the workflow registered with ``@ctx.query(...)``.

        Reads the state as of the last durable step and changes nothing, in this process: of a run that another has, or
        none, that waits, is suspended or closed, the history is replayed for it. A signal that the run has not taken
        from its inbox is in none of its steps yet; an update that was answered is.
        Raises InvalidArgumentError if there is no such handler; the message names those that there are.
        """
        name = query_name(query, "run.query")
        summary = await self.describe()
        async with self._gateway.view(summary) as journal:
            return journal.answer(name, args, kwargs)

    # --- messages ------------------------------------------------------------------------------------------------

    async def signal(self, signal: Signal[T], body: T | None = None, *, request_id: str | None = None) -> None:
        """Send a signal; return when it is durable. Raises RunNotFoundError, RunClosedError.

        `request_id`, here and below: the call made again with it, to a run of this id, has no second effect and returns
        as the first did, also when the run has ended. It is kept as long as the run's row is.
        """
        require_signal(signal, "run.signal")
        encoded = encode_value(body, signal.type, subject=f"signal {signal.name!r}")
        message_id = require_text(request_id, "request_id") if request_id else new_name()
        await self._send(m.SignalMessage(name=signal.name, body=encoded, message_id=message_id), request_id, message_id)

    @overload
    async def update(
        self,
        update: Update[T, U],
        input: T | None = None,
        *,
        wait: Literal["completed"] = "completed",
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> U: ...
    @overload
    async def update(
        self,
        update: Update[T, U],
        input: T | None = None,
        *,
        wait: Literal["accepted"],
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> None: ...
    async def update(
        self,
        update: Update[T, U],
        input: T | None = None,
        *,
        wait: Literal["accepted", "completed"] = "completed",
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> U | None:
        """Let the run answer an update: return the result of its handler, or None with `wait` "accepted".

        An update that comes before the run has a handler for it, or while it is suspended, waits for that; one that the
        run leaves unfinished when it continues as new fails, one that only waits goes to the next generation.
        `request_id`: the call made again with it has the effect and the answer of the first, in all generations of the
        id, also after the run has ended; if that gave none (RunClosedError), it reaches the run that has the id next.
        `timeout`: how long to wait here; the update goes on.

        Raises UpdateRejectedError (validator), UpdateFailedError (handler, or the run ended), RunNotFoundError (also if
        the answer was removed), RunClosedError (the run ended without one), ResultTimeoutError. Any other error after
        it was sent, as of a store that cannot be read, says that the update may still happen, and under which request
        id; one that the caller had not given is known to the generation that took the update in.
        """
        require_update(update, "run.update")
        if require_text(wait, "wait") not in ("accepted", "completed"):
            message = f"run.update: wait is {wait!r:.60}; allowed are 'accepted' and 'completed'"
            raise InvalidArgumentError(message)
        update_id = require_text(request_id, "request_id") if request_id else new_name()
        sent = m.UpdateMessage(update_id=update_id, name=update.name, body=update.encode_input(input))
        asked = Asked(gateway=self._gateway, ref=self._ref, message=sent, is_repeatable=bool(request_id))
        result = await asked.answer(until_completed=wait == "completed", timeout=timeout)
        return update.decode_result(result) if wait == "completed" else None

    async def cancel(
        self, reason: str = "", *, grace: timedelta | None = None, by: str = "", request_id: str | None = None
    ) -> None:
        """Ask the run to end with clean-up. After `grace` (None: no limit) it is terminated.

        A start that still waits (debounce, singleton) is withdrawn: there will be no such run.
        """
        length = None if grace is None else require_duration(grace, "grace")
        until = None if length is None else Timestamp(self._gateway.clock.now() + length)
        asked = m.CancelMessage(reason=_reason(reason), by=_by(by), grace_until=until, grace_microseconds=length)
        if not await self._withdraw():
            await self._send(asked, request_id)

    async def terminate(self, reason: str = "", *, by: str = "", request_id: str | None = None) -> None:
        """Stop the run now, without clean-up; a start that still waits is withdrawn."""
        if not await self._withdraw():
            await self._send(m.TerminateMessage(reason=_reason(reason), by=_by(by)), request_id)

    async def suspend(self, reason: str = "", *, by: str = "", request_id: str | None = None) -> None:
        """Hold the run still: what happens to it meanwhile is recorded and told to its code when it resumes.

        A run that has not begun does not begin until it is resumed, also when its time has come.
        """
        await self._send(m.SuspendMessage(reason=_reason(reason), by=_by(by)), request_id)

    async def resume(self, *, by: str = "", request_id: str | None = None) -> None:
        """Let a suspended run go on."""
        await self._send(m.ResumeMessage(by=_by(by)), request_id)

    async def set_priority(
        self, priority: Priority, *, reason: str = "", by: str = "", request_id: str | None = None
    ) -> None:
        """Change the run's priority class."""
        chosen = require_choice(priority, Priority, "priority")
        await self._send(m.PriorityMessage(new=chosen, reason=_reason(reason), by=_by(by)), request_id)

    async def _withdraw(self) -> bool:
        """Withdraw the run's start if it still waits; return whether it did."""
        gateway, key, run_key = self._gateway, self._waits_under, self._run_key
        return key is not None and run_key is not None and await withdraw_start(gateway, key, run_key)

    async def _send(self, message: m.Message, request_id: str | None, message_id: str = "") -> None:
        gateway = self._gateway
        run_key = self._run_key
        target: RunKey | RunRef = run_key if run_key is not None and gateway.holds(run_key) else self._ref
        request = require_text(request_id, "request_id") if request_id else ""
        await gateway.deliver(target, message, message_id=message_id or new_name(), request_id=request)

    # --- repair --------------------------------------------------------------------------------------------------

    async def retry(
        self, reason: str = "", *, by: str = "", version: str | None = None, request_id: str | None = None
    ) -> "Run[R_co]":
        """Go on with a run that failed, was cancelled or terminated: finished steps keep their results, the one that
        failed is done again. It goes on as the next generation of its id; return its handle.

        `version`: which one of the workflow goes on (the same). The new history says which effects may be done twice.
        Nothing is written if this process' code does not fit the history.

        Raises RunNotRepairableError for a run that a retry does not repair, NonDeterminismError, RunNotFoundError.
        """
        return await self._fork(Wish(ForkCause.RETRY, reason=reason, by=by, version=version), request_id)

    async def reset(
        self, reason: str = "", *, request_id: str | None = None, **options: Unpack[ForkOptions]
    ) -> "Run[R_co]":
        """Go on as the next generation of the id from a point of the history, whether the run has ended or not.

        One that is open is ended by that, whoever owns it. `options` (`ForkOptions`) say the point: `event`, `stage`,
        `activity` or `before`; none: before the step that failed it, else where it stands.

        Raises RunNotRepairableError where the run cannot go on from there, InvalidArgumentError; else as `retry`.
        """
        return await self._fork(Wish.of(ForkCause.RESET, reason, **options), request_id)

    async def fork(
        self,
        reason: str = "",
        *,
        id: str | None = None,
        request_id: str | None = None,
        **options: Unpack[ForkOptions],
    ) -> "Run[R_co]":
        """Start a run beside this one, with its history up to a point (`options` as of `reset`).

        `id`: the new run's (random otherwise). This run, be it open, and its parent learn nothing of it.

        Raises RunExistsError if the id is taken; else as `reset`.
        """
        return await self._fork(Wish.of(ForkCause.FORK, reason, id=require_id(id), **options), request_id)

    async def _fork(self, wish: Wish, request_id: str | None) -> "Run[R_co]":
        from perdure.client.forking import fork_run  # noqa: PLC0415 - only those who repair runs pay for it

        forked = await fork_run(self._gateway, self._ref, wish, request_id=request_id or "")
        return Run(self._engine, forked.ref, run_key=forked.run_key, signature=self._signature)


_PAGE = 1_000


def _removed(ref: RunRef) -> RunNotFoundError:
    return RunNotFoundError(
        f"run {ref} is not there any more: it has ended and was removed since, with its result, by the retention of an "
        f"engine or by `perdure prune`; if it was archived, `perdure import` brings it back"
    )


def _reason(reason: str) -> str:
    return require_text(reason, "the reason")


def _by(by: str) -> str:
    return require_text(by, "by (whose wish it is)")
