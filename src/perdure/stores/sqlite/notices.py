"""Notices: how the processes that share a file tell each other of commits, so that nobody polls the database.

Each session listens on a datagram socket in the presence folder. After a transaction that others may wait for, the
writer's thread sends one datagram to each of them: which runs it wrote, and whether some run may be claimed.

**Nothing is lost for long.** A notice is only a hint; the truth is in the tables. Sessions number their notices, and
the number is part of the transaction (`sessions.last_notice`). Who sees a number skipped looks at everything. Who
hears nothing finds out by reading the numbers every `safety_check_seconds`, which only happens while other sessions
exist, or have since the last check: that is known without a word of theirs (`solitude`), since a newcomer may have no
socket, or not be allowed to write to this one. A number counts as missed when it was already there at the check before:
younger notices may be on their way. So do those of a session that has ended: its number went with its row.
What could not be sent because the receiver's queue was full is sent with the next notice or at the next check.

**Limits.** A socket's path is short (108 bytes). Longer ones are reached through the folder's descriptor on Linux;
where that does not work there are no sockets and only the checks remain.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import StoreError
from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.identity import RunKey, WorkerId
from perdure.ports.store import Changes
from perdure.stores.sqlite.segment import News
from perdure.stores.sqlite.solitude import Solitude

__all__ = ["Mailbox", "Notice", "Notices", "decode_notice", "encode_notice"]

_PATH_BYTES_LIMIT: Final = 100
_RUN_KEYS_LIMIT: Final = 2_000
_NOTICE_BYTES_LIMIT: Final = 65_536
_NOTICES_AT_ONCE: Final = 256
_DESCRIPTORS: Final = Path("/proc/self/fd")


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one session tells another: its news from number `first` up to `number`, or a greeting."""

    sender: WorkerId
    first: int
    number: int
    run_keys: tuple[RunKey, ...] = ()
    is_ready: bool = False
    is_queued: bool = False
    is_parked: bool = False
    is_agenda: bool = False
    is_everything: bool = False
    is_greeting: bool = False


def encode_notice(notice: Notice) -> bytes:
    """Return a notice as a datagram."""
    return _ENCODER.encode(notice)


def decode_notice(data: bytes) -> Notice | None:
    """Read a datagram. What is no notice comes from nobody that knows the way here: None, and not worth an error."""
    try:
        return _DECODER.decode(data)
    except UNDECODABLE:
        return None


class Mailbox:
    """The socket of a session, and the way to the others'. Made on any thread; the system's errors are raised."""

    def __init__(self, folder: Path, own: Path) -> None:
        """Bind the socket `own`, which lies in `folder`. Raises OSError where sockets or their paths do not work."""
        self._folder_descriptor: int | None = None
        self._own: Final = own
        self._folder: Final = folder
        self._receiving: Final = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sending: Final = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._receiving.setblocking(False)  # noqa: FBT003 - the standard library's signature
            self._sending.setblocking(False)  # noqa: FBT003 - as above
            if len(os.fsencode(own)) > _PATH_BYTES_LIMIT:
                self._folder_descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            self._receiving.bind(self._address(own))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to watch for arrivals."""
        return self._receiving.fileno()

    def receive(self) -> list[Notice]:
        """Return what has arrived, at most so much that the loop is not held up."""
        notices: list[Notice] = []
        for _ in range(_NOTICES_AT_ONCE):
            try:
                data = self._receiving.recv(_NOTICE_BYTES_LIMIT)
            except BlockingIOError:
                break
            notice = decode_notice(data)
            if notice is not None:
                notices.append(notice)
        return notices

    def send(self, notice: Notice, to: Path) -> bool:
        """Send a notice; return False if the receiver's queue is full. Raises OSError if nobody listens there."""
        try:
            self._sending.sendto(encode_notice(notice), self._address(to))
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Stop listening and sending."""
        self._receiving.close()
        self._sending.close()
        if self._folder_descriptor is not None:
            os.close(self._folder_descriptor)
            self._folder_descriptor = None

    def _address(self, path: Path) -> str:
        if self._folder_descriptor is None:
            return str(path)
        return str(_DESCRIPTORS / str(self._folder_descriptor) / path.name)


class Notices:
    """What this session tells and hears. `publish` is the writer's thread's, the rest the loop's.

    `mailbox` is None where sockets do not work. `others` are the sessions found at the opening, with the numbers of
    their last notices; `address` says where a session listens; `solitude` whether there are others at all.
    """

    def __init__(
        self,
        own: WorkerId,
        *,
        mailbox: Mailbox | None,
        others: Mapping[WorkerId, int],
        address: Callable[[WorkerId], Path],
        solitude: Solitude,
        on_changes: Callable[[Changes], None],
    ) -> None:
        """Begin with what the opening found."""
        self._own: Final = own
        self._mailbox: Final = mailbox
        self._address: Final = address
        self._solitude: Final = solitude
        self._on_changes: Final = on_changes
        self._seen: Final[dict[WorkerId, int]] = dict(others)
        self._suspected: dict[WorkerId, int] = {}
        self._newest = own
        self._lock: Final = threading.Lock()
        self._owed: Final[dict[WorkerId, Notice | None]] = dict.fromkeys(others)
        self._number = 0
        self._is_listening = False
        self._is_deserted = False
        if not others:
            self.begin_check()
            self._end_check()

    def is_alone(self) -> bool:
        """Return whether no other session can have committed anything by now of which this one does not know."""
        if self._is_listening:
            self._receive()
        return self._solitude.holds()

    async def check(
        self, last_notices: Callable[[], Awaitable[tuple[dict[WorkerId, int], WorkerId]]], *, every_seconds: float
    ) -> None:
        """Look for ever whether a notice was lost, by what the tables say: `last_notices`, see there."""
        while True:
            await asyncio.sleep(every_seconds)
            if self.is_alone():
                continue
            self.begin_check()
            # A database that cannot be read now is read at the next check, and says so to whoever asks it.
            with contextlib.suppress(StoreError):
                numbers, newest = await last_notices()
                self.compare(numbers, newest=newest)

    def begin_check(self) -> None:
        """Look who is here before the tables are read for `compare`: who comes later is seen by the next check."""
        self._is_deserted = self._solitude.begin()

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take what arrives from now on. A loop that cannot watch sockets leaves the checks."""
        if self._mailbox is None:
            return
        with contextlib.suppress(NotImplementedError):
            loop.add_reader(self._mailbox.fileno(), self._receive)
            self._is_listening = True

    def greet(self) -> None:
        """Tell the sessions found at the opening that this one is here."""
        with self._lock:
            for worker_id in list(self._owed):
                self._send(worker_id, self._greeting())

    def publish(self, news: News, number: int) -> None:
        """Tell all others of the news of a transaction that is durable; `number` is that of the notice."""
        with self._lock:
            self._number = number
            if not self._owed:
                return
            is_long = len(news.run_keys) > _RUN_KEYS_LIMIT
            notice = Notice(
                sender=self._own,
                first=number,
                number=number,
                run_keys=() if is_long else tuple(news.run_keys),
                is_ready=news.is_ready,
                is_queued=news.is_queued,
                is_parked=news.is_parked,
                is_agenda=news.is_agenda,
                is_everything=is_long,
            )
            for worker_id in list(self._owed):
                self._send(worker_id, notice)

    def compare(self, numbers: Mapping[WorkerId, int], *, newest: WorkerId) -> None:
        """Look for notices that were missed; `numbers` are those in the tables now, of all sessions; `newest` is the
        session that began last, be it there or not."""
        others = {worker_id: number for worker_id, number in numbers.items() if worker_id != self._own}
        with self._lock:
            for worker_id in self._owed.keys() - others.keys():
                del self._owed[worker_id]
            for worker_id, owed in list(self._owed.items()):
                if owed is not None:
                    self._send(worker_id, owed)
            for worker_id in others.keys() - self._owed.keys():
                self._owed[worker_id] = None
                self._send(worker_id, self._greeting())
        overdue = self._suspected if self._is_listening else others
        is_missing = any(self._seen.get(worker_id, 0) < number for worker_id, number in overdue.items())
        is_missing |= self._has_lost_one(others, newest)
        for worker_id, number in overdue.items():
            self._seen[worker_id] = max(self._seen.get(worker_id, 0), number)
        self._suspected = others
        for worker_id in self._seen.keys() - others.keys():
            del self._seen[
                worker_id
            ]  # its session has ended; it might speak once more, and is heard as one that is new
        if is_missing:
            self._on_changes(Changes(everything=True, ready=True))
        if not others:
            self._end_check()

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear and tell nothing more."""
        if self._mailbox is None:
            return
        if self._is_listening:
            loop.remove_reader(self._mailbox.fileno())
            self._is_listening = False
        with self._lock:
            self._owed.clear()
        self._mailbox.close()

    def _end_check(self) -> None:
        if self._is_deserted:
            self._solitude.confirm()

    def _has_lost_one(self, others: Mapping[WorkerId, int], newest: WorkerId) -> bool:
        """Whether a session is gone: the number of its last notice, by which a missed one shows, went with its row."""
        before, self._newest = self._newest, max(self._newest, newest)
        came = sum(before < worker_id <= newest for worker_id in others)
        return came < newest - before or not self._seen.keys() | self._suspected.keys() <= others.keys()

    def _receive(self) -> None:
        if self._mailbox is None:
            return
        notices = self._mailbox.receive()
        run_keys: set[RunKey] = set()
        is_ready = is_queued = is_parked = is_everything = is_agenda = False
        for notice in notices:
            sender = notice.sender
            if notice.is_greeting:
                self._welcome(sender)
            is_everything |= notice.is_everything or notice.first > self._seen.get(sender, 0) + 1
            self._seen[sender] = max(self._seen.get(sender, 0), notice.number)
            run_keys.update(notice.run_keys)
            is_ready |= notice.is_ready
            is_queued |= notice.is_queued
            is_parked |= notice.is_parked
            is_agenda |= notice.is_agenda
        if is_everything:
            self._on_changes(Changes(everything=True, ready=True))
        elif run_keys or is_ready or is_queued or is_agenda:
            changes = Changes(
                run_keys=frozenset(run_keys), ready=is_ready, queued=is_queued, parked=is_parked, agenda=is_agenda
            )
            self._on_changes(changes)

    def _welcome(self, newcomer: WorkerId) -> None:
        with self._lock:
            if newcomer not in self._owed:
                self._owed[newcomer] = None
                # It may have missed what was committed between its opening and its greeting: the number tells.
                self._send(newcomer, self._greeting())

    def _greeting(self) -> Notice:
        return Notice(sender=self._own, first=self._number + 1, number=self._number, is_greeting=True)

    def _send(self, worker_id: WorkerId, notice: Notice) -> None:
        if self._mailbox is None:
            return
        owed = self._owed.get(worker_id)
        if owed is not None:
            notice = _joined(owed, notice)
        try:
            is_sent = self._mailbox.send(notice, self._address(worker_id))
        except (FileNotFoundError, ConnectionRefusedError):
            self._owed.pop(worker_id, None)
            return
        except OSError:
            # Too long, or out of buffers: the receiver learns from the numbers in the tables.
            is_sent = True
        self._owed[worker_id] = None if is_sent else notice


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Notice)


def _joined(one: Notice, other: Notice) -> Notice:
    run_keys = {*one.run_keys, *other.run_keys}
    is_long = len(run_keys) > _RUN_KEYS_LIMIT
    return Notice(
        sender=one.sender,
        first=min(one.first, other.first),
        number=max(one.number, other.number),
        run_keys=() if is_long else tuple(run_keys),
        is_ready=one.is_ready or other.is_ready,
        is_queued=one.is_queued or other.is_queued,
        is_parked=one.is_parked or other.is_parked,
        is_agenda=one.is_agenda or other.is_agenda,
        is_everything=one.is_everything or other.is_everything or is_long,
        is_greeting=one.is_greeting or other.is_greeting,
    )
