"""Transactional activities: a function writes to the store's database, and its outcome is committed with that.

The outcome goes into the inbox of the run, in the same transaction, under the fencing token of the attempt. So it
happens exactly once: an attempt that was interrupted has written nothing, or its outcome is found in the inbox before
another is made (`perdure.execution.mail.inbox_to_begin_with`). One that runs out of time may be committing at that
moment: the time-out counts only once it is known that nothing was saved. Of an outcome and what gives the activity up,
the one that is durable first counts: either is refused behind the other (`Transition.must_not_overtake`,
`StepTransaction.sequence`).
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from perdure.authoring.activity_context import Deferring, running_attempt, transaction_connection
from perdure.errors import StaleLeaseError, UsageError
from perdure.execution.attempts import DELIVERED, RunningCall
from perdure.execution.loop_executor import LoopExecutor
from perdure.execution.thread_executor import ThreadAttempt
from perdure.kernel.messages import CompleteActivityMessage, outcome_id
from perdure.kernel.payload import Payload
from perdure.kernel.transition import Applied, Delivery
from perdure.ports.transactions import StepTransaction

if TYPE_CHECKING:
    from perdure.execution.worker import Worker

__all__ = ["TransactionExecutor"]


class TransactionExecutor(LoopExecutor):
    """Runs functions in transactions of a worker's store: ``async def`` on the event loop, ``def`` where it writes."""

    def __init__(self, worker: "Worker") -> None:
        """Begin with nothing running."""
        super().__init__()
        self._worker = worker

    async def _perform(self, running: RunningCall) -> Payload:
        """Have the store call the function. Returns `DELIVERED`."""
        call, definition = running.call, running.call.definition
        assert definition.transaction is not None
        step = StepTransaction(
            run_key=call.run.run_key,
            owner=self._worker.worker_id,
            fencing_token=call.fencing_token,
            sequence=call.sequence,
            operation=call.operation,
            isolation=definition.transaction,
            perform=self._awaited(running) if definition.is_async else self._called(running),
            is_async=definition.is_async,
        )
        try:
            outcome = await self._worker.store.transact(step)
        except Deferring:
            message = f"activity {call.activity}: a transactional activity ends with its transaction; it cannot defer()"
            raise UsageError(message) from None
        run = self._worker.active.get(call.run.run_key)
        if not isinstance(outcome, Applied):
            if run is call.run:
                run.surrender()  # whoever has it, has its outcome too, or makes it
            raise StaleLeaseError(f"run {call.run.ref} goes on elsewhere, or without this attempt; nothing was saved")
        if run is call.run:
            self._worker.mail.read_inbox_of(run)
        return DELIVERED

    def _awaited(self, running: RunningCall) -> Callable[[Any], Any]:
        call, signature = running.call, running.call.definition.signature
        function: Any = call.definition.function

        async def perform(connection: object) -> Delivery:
            token = transaction_connection.set(connection)
            try:
                args, kwargs = signature.decode_arguments(call.input)
                result = signature.encode_result(await function(*args, **kwargs))
            finally:
                transaction_connection.reset(token)
            if running.is_cancelled:  # and has caught that
                raise asyncio.CancelledError
            return self._delivery(running, result)

        return perform

    def _called(self, running: RunningCall) -> Callable[[Any], Any]:
        """Return the same for a function that is called in the thread that writes."""
        call, signature = running.call, running.call.definition.signature
        function: Any = call.definition.function
        attempt = ThreadAttempt(running, self._worker.loop)

        def perform(connection: object) -> Delivery:
            if running.is_cancelled:
                raise StaleLeaseError(f"activity {call.activity} was given up before it began")
            running_attempt.set(attempt)
            transaction_connection.set(connection)
            args, kwargs = signature.decode_arguments(call.input)
            return self._delivery(running, signature.encode_result(function(*args, **kwargs)))

        return lambda connection: copy_context().run(partial(perform, connection))

    def _delivery(self, running: RunningCall, result: Payload) -> Delivery:
        call, ref = running.call, running.call.run.ref
        message = CompleteActivityMessage(
            operation=call.operation,
            attempt=call.attempt,
            generation=ref.generation,
            result=result,
            started_at=running.started_at,
            is_committed=True,
        )
        return Delivery(
            target=call.run.run_key,
            message=message,
            message_id=outcome_id(ref.generation, call.operation, call.attempt),
            at=self._worker.clock.now(),
        )
