"""Bugs that show where processes share a database and are killed, which `kill` must find."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_ACKNOWLEDGED: Final = "P1: what was acknowledged is there"
_PROGRESS: Final = "P13: progress resumes"

PLANTED: Final = (
    Mutant(
        name="an acknowledged cancellation is dropped",
        breaks=_ACKNOWLEDGED,
        module="perdure.stores.sqlite.inboxes",
        old="                messages += message\n                news",
        new="                messages += () if 'not wanted any more' in delivery.data else message\n"
        "                news",
        tool="kill",
    ),
    Mutant(
        name="a cancellation overtakes a step that is committed",
        breaks="P3: what a transactional step wrote is there if it is recorded as completed, and only then",
        module="perdure.execution.transitions",
        old="    if result.to_stop and (committed :=",
        new="    if not result.to_stop and (committed :=",
        workloads=("transfers",),
        tool="kill",
    ),
    Mutant(
        name="an older point of a copy has no history and no messages",
        breaks="P18: each point in time of a copy is the database as it was at one commit",
        module="perdure.stores.sqlite.copies.rebuilding",
        old="        _rebuild(folder, point, target, disk or LocalDisk(), on_progress=on_progress)\n",
        new="        _rebuild(folder, point, target, disk or LocalDisk(), on_progress=on_progress)\n"
        "        if point != read_contents(folder).points[-1]:\n"
        "            with closing(apsw.Connection(str(target))) as connection:\n"
        "                connection.execute('DELETE FROM history; DELETE FROM inbox; DELETE FROM message_requests')\n",
        tool="kill",
    ),
    Mutant(
        name="an older point of a copy lacks an event",
        breaks="P18: each point in time of a copy is the database as it was at one commit",
        module="perdure.stores.sqlite.copies.rebuilding",
        old="        _rebuild(folder, point, target, disk or LocalDisk(), on_progress=on_progress)\n",
        new="        _rebuild(folder, point, target, disk or LocalDisk(), on_progress=on_progress)\n"
        "        if point != read_contents(folder).points[-1]:\n"
        "            with closing(apsw.Connection(str(target))) as connection:\n"
        "                newest = 'SELECT max(position) FROM history'\n"
        "                connection.execute(f'DELETE FROM history WHERE position = ({newest})')\n",
        tool="kill",
    ),
    Mutant(
        name="nobody hears of what others have committed, until it is looked for",
        breaks=_PROGRESS,
        module="perdure.stores.sqlite.notices",
        old="            for worker_id in list(self._owed):\n                self._send(worker_id, notice)\n",
        new="            del notice\n",
        tool="kill",
    ),
    Mutant(
        name="nobody works while another has the database open",
        breaks=_PROGRESS,
        module="perdure.execution.claims",
        old="            claimed = await self._claim(limit)\n            if claimed:\n",
        new="            claimed = await self._claim(limit) if worker.store.is_alone() else []\n"
        "            if claimed:\n",
        tool="kill",
    ),
    Mutant(
        name="nobody notices that another has died",
        breaks=_PROGRESS,
        module="perdure.stores.sqlite.presence",
        old="        with FileLock(path) as lock:\n            return lock.try_exclusive()\n",
        new="        return False\n",
        tool="kill",
    ),
    Mutant(
        name="every second start is refused as if the database were damaged",
        breaks="P2: an error means what it says",
        module="perdure.client.client",
        old="        run, _ = await begin(",
        new="        from perdure.errors import StoreCorruptError\n"
        "        if id and id[-1] in '02468':\n"
        "            raise StoreCorruptError('damaged')\n"
        "        run, _ = await begin(",
        tool="kill",
    ),
)
