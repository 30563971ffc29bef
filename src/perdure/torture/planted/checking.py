"""Bugs that show where several processes work on one database at a time, which `check` must find, and false records."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]


def _mutant(name: str, breaks: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(name=name, breaks=breaks, module=f"perdure.{module}", old=old, new=new, tool="check")


_ACKNOWLEDGED: Final = "P1: what was acknowledged is there"
_ONE_EFFECT: Final = "P2: the same request has one effect"
_SIGNALS: Final = "P9: signals are consumed once, in order per name"
_LOCKS: Final = "P17: locks are given one after the other, in the order in which they were asked for"

PLANTED: Final = (
    _mutant(
        "one acknowledged message in fifty is dropped",
        _ACKNOWLEDGED,
        "stores.sqlite.inboxes",
        "                messages += message\n                news",
        "                messages += message if delivery.at % 50 else ()\n                news",
    ),
    _mutant(
        "a signal to a run in memory is answered before its commit",
        _ACKNOWLEDGED,
        "execution.mail",
        "            await future\n            return run.run_key\n",
        "            return run.run_key\n",
    ),
    _mutant(
        "a description shows what another one has shown before",
        _ACKNOWLEDGED,
        "client.handle",
        "        summary = await self._gateway.store.find(self._ref)\n        if summary is None:\n"
        "            raise missing(self._ref)\n        return summary\n",
        "        summary = self.__dict__.get('seen') or await self._gateway.store.find(self._ref)\n"
        "        if summary is None:\n            raise missing(self._ref)\n        self.seen = summary\n"
        "        return summary\n",
    ),
    _mutant(
        "a query sees what is not durable yet",
        "P2: nothing is told that may still be refused",
        "execution.viewing",
        "        if not run.is_settled:\n",
        "        if False:\n",
    ),
    _mutant(
        "a message that was taken in stays in the inbox",
        _SIGNALS,
        "stores.sqlite.segment",
        "            self._consumed += (position, write.run_key)\n",
        "            pass\n",
    ),
    _mutant(
        "what is read from an inbox at once is taken in the wrong order",
        _SIGNALS,
        "execution.mail",
        "        for entry in inbox:\n            if entry.position > run.inbox_position:\n"
        "                run.inbox_position = entry.position\n",
        "        fresh = [entry for entry in inbox if entry.position > run.inbox_position]\n"
        "        for entry in reversed(fresh):\n            if fresh:\n"
        "                run.inbox_position = fresh[-1].position\n",
    ),
    _mutant(
        "the clients of a run's owner overtake those of other processes",
        _SIGNALS,
        "execution.mail",
        "        if run.state.closed_at is not None or run.inbox_is_unread:\n            return False\n"
        "        if is_alone:\n",
        "        if run.state.closed_at is not None:\n            return False\n        if True:\n",
    ),
    _mutant(
        "a signal that is asked for again is another one",
        _ONE_EFFECT,
        "client.handle",
        "body=encoded, message_id=message_id), request_id, message_id)",
        "body=encoded, message_id=new_name()), None)",
    ),
    _mutant(
        "an update whose request was made before is made again",
        _ONE_EFFECT,
        "client.handle",
        'update_id = require_text(request_id, "request_id") if request_id else new_name()',
        "update_id = new_name()",
    ),
    _mutant(
        "an update whose request was made to an older generation is made again",
        _ONE_EFFECT,
        "client.updating",
        'request_of_update(update_id) if self.is_repeatable else ""',
        '""',
    ),
    _mutant(
        "a child run is created after the transition that starts it",
        "P12: child starts are atomic with the step that asked for them",
        "execution.active_run",
        "        worker.committer.submit(write, self._committed, keep=self._creation is None)\n",
        "        import msgspec\n"
        "        apart = [made for made in write.creations if made.ref.generation == 1]\n"
        "        rest = tuple(made for made in write.creations if made.ref.generation > 1)\n"
        "        write = msgspec.structs.replace(write, creations=rest)\n"
        "        worker.committer.submit(write, self._committed, keep=self._creation is None)\n"
        "        for made in apart:\n"
        "            creating = lambda made=made: worker.committer.submit(made, lambda _outcome: None, keep=True)\n"
        "            worker.loop.call_later(0.1, creating)\n",
    ),
    _mutant(
        "a lock is given to two at a time",
        _LOCKS,
        "kernel.locking",
        "    return (limit is None or holders < limit) and (least is None or holders < least)",
        "    return (limit is None or holders <= limit) and (least is None or holders <= least)",
    ),
    _mutant(
        "who has asked last gets the lock first",
        _LOCKS,
        "stores.sql.locks",
        "granted_at IS NULL ORDER BY position LIMIT 1",
        "granted_at IS NULL ORDER BY position DESC LIMIT 1",
    ),
    _mutant(
        "one grant of a lock in ten is not told to its run",
        _LOCKS,
        "stores.sqlite.lock_lines",
        "        self._connection.execute(statements.TELL_RUN, row)\n",
        "        if not at % 10:\n            return True\n"
        "        self._connection.execute(statements.TELL_RUN, row)\n",
    ),
    _mutant(
        "a signal to a run that has ended is acknowledged",
        _SIGNALS,
        "stores.sqlite.inboxes",
        "        return Closed(run_key, status), False\n",
        "        return Applied(run_key, owner), False\n",
    ),
    _mutant(
        "each update fails as if the store were away",
        "P2: an error means what it says",
        "client.handle",
        '        require_update(update, "run.update")\n',
        '        require_update(update, "run.update")\n'
        "        from perdure.errors import StoreUnavailableError\n        raise StoreUnavailableError('away')\n",
    ),
    _mutant(
        "each update fails as if the store were locked",
        "P2: an error means what it says",
        "client.handle",
        '        require_update(update, "run.update")\n',
        '        require_update(update, "run.update")\n'
        "        from perdure.errors import StoreLockedError\n        raise StoreLockedError('locked')\n",
    ),
    _mutant(
        "a description tells now and then of damage that is not there",
        "P2: an error means what it says",
        "client.handle",
        "        summary = await self._gateway.store.find(self._ref)\n        if summary is None:\n"
        "            raise missing(self._ref)\n        return summary\n",
        "        summary = await self._gateway.store.find(self._ref)\n        if summary is None:\n"
        "            raise missing(self._ref)\n        if summary.sequence % 10 == 9:\n"
        "            from perdure.errors import StoreCorruptError\n"
        "            raise StoreCorruptError('damaged')\n        return summary\n",
    ),
    _mutant(
        "a client notes a list without the last element but one",
        "P1: the record itself is looked at",
        "torture.checking.clients",
        '        return {"entries": tuple(found)}\n',
        '        return {"entries": (*found[:-2], *found[-1:])}\n',
    ),
    _mutant(
        "a client notes calls as made later than they were",
        "P1: the record itself is looked at",
        "torture.checking.clients",
        "        call = msgspec.structs.replace(call, at=Notebook.now())\n",
        "        call = msgspec.structs.replace(call, at=Notebook.now() + 5_000_000)\n",
    ),
)
