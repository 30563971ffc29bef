"""The synchronous façade of bulk operations."""

from datetime import timedelta
from typing import TypeVar, Unpack

from perdure.authoring.signals import Signal
from perdure.client.bulk import Bulk, BulkReport
from perdure.client.loop_thread import LoopThread
from perdure.client.wishes import ForkOptions

__all__ = ["SyncBulk"]

T = TypeVar("T")


class SyncBulk:
    """The operations of `Bulk`, waiting instead of awaiting."""

    def __init__(self, loop: LoopThread, bulk: Bulk) -> None:
        """Build from parts; `SyncClient.bulk` returns it."""
        self._loop = loop
        self._bulk = bulk

    def cancel(self, reason: str = "", *, grace: timedelta | None = None, by: str = "") -> BulkReport:
        """Ask every open run to end with clean-up."""
        return self._loop.call(self._bulk.cancel(reason, grace=grace, by=by))

    def terminate(self, reason: str = "", *, by: str = "") -> BulkReport:
        """Stop every open run now, without clean-up."""
        return self._loop.call(self._bulk.terminate(reason, by=by))

    def suspend(self, reason: str = "", *, by: str = "") -> BulkReport:
        """Hold every running run still."""
        return self._loop.call(self._bulk.suspend(reason, by=by))

    def resume(self, *, by: str = "") -> BulkReport:
        """Let every suspended run go on."""
        return self._loop.call(self._bulk.resume(by=by))

    def retry(
        self, reason: str = "", *, by: str = "", version: str | None = None, request_id: str | None = None
    ) -> BulkReport:
        """Go on with every run that failed."""
        return self._loop.call(self._bulk.retry(reason, by=by, version=version, request_id=request_id))

    def reset(self, reason: str = "", *, request_id: str | None = None, **options: Unpack[ForkOptions]) -> BulkReport:
        """Let every run that is open or has failed go on from a point of its own history."""
        return self._loop.call(self._bulk.reset(reason, request_id=request_id, **options))

    def signal(self, signal: Signal[T], body: T | None = None, *, request_id: str | None = None) -> BulkReport:
        """Send every open run a signal."""
        return self._loop.call(self._bulk.signal(signal, body, request_id=request_id))
