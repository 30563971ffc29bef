"""Whose turn it is to remove runs: an entry of the agenda that says who is at it, until when, and when one was last.

It is never due, so no keeper looks at it; of two who take it at once the store refuses one.
"""

from typing import Final

import msgspec

from perdure.kernel.decoding import UNDECODABLE
from perdure.kernel.time import MICROSECONDS_PER_SECOND, Timestamp
from perdure.ports.agenda import AgendaChange, AgendaEntry, AgendaKey
from perdure.ports.clock import Clock
from perdure.ports.store import RunStore

__all__ = ["RETENTION_KEY", "Turn", "TurnState", "read_state", "read_turn"]

RETENTION_KEY: Final = AgendaKey(kind="retention", namespace="", id="turn")
"""There is one for all namespaces."""

_LEASE_MICROSECONDS: Final = 60 * MICROSECONDS_PER_SECOND


class TurnState(msgspec.Struct, frozen=True, kw_only=True):
    """What the entry says: until when the turn is that of `holder`, who may prolong it (None: it is nobody's).

    `passes` says when all was last removed that an engine's retention asked for, by namespace.
    """

    holder: str = ""
    until: Timestamp | None = None
    passes: dict[str, Timestamp] = {}

    def prolongs(self, before: "TurnState") -> bool:
        """Whether it is the same turn, kept for longer: a new one of the same holder ends sooner than half a lease
        later, unless nobody looked for so long."""
        if self.holder != before.holder or self.until is None or before.until is None:
            return False
        return self.until - before.until >= _LEASE_MICROSECONDS // 2


async def read_turn(store: RunStore) -> TurnState:
    """Return whose turn it is."""
    return read_state(await store.find_agenda(RETENTION_KEY))


class Turn:
    """The turn of one process."""

    def __init__(self, store: RunStore, clock: Clock, holder: str) -> None:
        """Prepare to take it, as `holder`."""
        self._store: Final = store
        self._clock: Final = clock
        self._holder: Final = holder
        self._entry: AgendaEntry | None = None

    async def take(self) -> TurnState | None:
        """Take the turn; return who has it, if somebody else does, None if it is ours now."""
        while True:
            found = await self._store.find_agenda(RETENTION_KEY)
            state = read_state(found)
            now = self._clock.now()
            # One that ends later than any that begins now was taken by a clock that has been set back since.
            if state.until is not None and now < state.until <= now + _LEASE_MICROSECONDS:
                return state
            self._entry = found
            if await self._put(self._held(state.passes)):
                return None

    async def prolong(self) -> bool:
        """Keep the turn for longer, where half of its time is over; False: it was too late, and it is another's."""
        until = read_state(self._entry).until
        left = 0 if until is None else until - self._clock.now()
        if _LEASE_MICROSECONDS // 2 < left <= _LEASE_MICROSECONDS:  # more is left where the clock was set back
            return True
        return await self._put(self._held(read_state(self._entry).passes))

    async def end(self, *, passed: str | None = None) -> None:
        """Let others have the turn; `passed` is the namespace in which all was removed that its engine asked for."""
        passes = read_state(self._entry).passes
        await self._put(TurnState(passes=passes if passed is None else passes | {passed: self._clock.now()}))

    def _held(self, passes: dict[str, Timestamp]) -> TurnState:
        until = Timestamp(self._clock.now() + _LEASE_MICROSECONDS)
        return TurnState(holder=self._holder, until=until, passes=passes)

    async def _put(self, state: TurnState) -> bool:
        entry = AgendaEntry(
            key=RETENTION_KEY,
            version=self._store.new_run_key(),
            due_at=None,
            waits=False,
            data=msgspec.json.encode(state).decode(),
        )
        expected = None if self._entry is None else self._entry.version
        is_put = await self._store.change_agenda(AgendaChange(key=RETENTION_KEY, expected=expected, entry=entry))
        if is_put:
            self._entry = entry
        return is_put


def read_state(entry: AgendaEntry | None) -> TurnState:
    """Return what an entry says; one that cannot be read is as none, and is written anew."""
    try:
        return TurnState() if entry is None else _DECODER.decode(entry.data)
    except UNDECODABLE:
        return TurnState()


_DECODER: Final = msgspec.json.Decoder(TurnState)
