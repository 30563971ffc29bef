"""The agenda: durable entries that say what shall happen when, changed together with the runs that follow.

**Promise.** `RunStore.change_agenda` applies a change whole or not at all, in one transaction: the entry, the new runs
and the messages. It applies only if the entry still has the version that the change was decided from; of two processes
that decide at once, one is refused. Versions are run keys, never given out twice: an entry that was deleted and made
again is not mistaken for the old one.

What an entry means is for `perdure.timekeeping` to know; a store keeps `data` as it is.
"""

import msgspec

from perdure.kernel.identity import RunKey
from perdure.kernel.payload import Payload
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Creation, Delivery

__all__ = ["AgendaChange", "AgendaEntry", "AgendaKey", "AgendaQuery"]


class AgendaKey(msgspec.Struct, frozen=True, kw_only=True):
    """The name of an entry: `id` is unique among the entries of one kind in one namespace."""

    kind: str
    namespace: str
    id: str


class AgendaEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry. `due_at`: when somebody must look at it (None: not because of the time).

    `waits` says that it waits for the end of a run, for which whoever keeps the agenda must look. `data` is one JSON
    text; `inputs` are the values of users that belong to it. `damage`: why these two are not here; the store holds what
    cannot be read.
    """

    key: AgendaKey
    version: RunKey
    due_at: Timestamp | None
    waits: bool
    data: str
    inputs: tuple[Payload, ...] = ()
    damage: str = ""


class AgendaChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one entry, refused unless the entry has the `expected` version (None: there is no such entry).

    `beside` is another entry that is put together with it; if there is one of its name, the change is refused.

    `entry` None deletes it. Of the `creations` those whose ids are taken are left out, of the `deliveries` those to
    runs that are closed or missing. `gone` are the keys of runs that were to come and will not: those who wait for them
    hear of it.
    """

    key: AgendaKey
    expected: RunKey | None
    entry: AgendaEntry | None
    creations: tuple[Creation, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    gone: tuple[RunKey, ...] = ()
    beside: AgendaEntry | None = None


class AgendaQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: of a kind and namespace (None: any), due by a time, or waiting for runs.

    In the order of namespace, kind and id; `after` is the key of the last entry of the page before.
    """

    kind: str | None = None
    namespace: str | None = None
    due_by: Timestamp | None = None
    waits: bool = False
    after: AgendaKey | None = None
    limit: int = 100
