"""Bugs of the store, or a disk that lies, which a loss of power must bring to light."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_ACKNOWLEDGED: Final = "P1: an acknowledged change survives a loss of power"
_FAIL_STOP: Final = "P14: after a failed sync nothing is acknowledged that the disk does not have"

_NO_GUESS: Final = "P2: an error means that nothing was saved"

PLANTED: Final = (
    Mutant(
        name="a commit that raised is taken for saved",
        breaks=_NO_GUESS,
        module="perdure.stores.sqlite.writer",
        old="return None if self._database.settle(self._session, mark) else self._error(error)",
        new="return None",
        tool="ioerr",
    ),
    Mutant(
        name="a commit that raised is refused at once",
        breaks=_NO_GUESS,
        module="perdure.stores.sqlite.writer",
        old="return None if self._database.settle(self._session, mark) else self._error(error)",
        new="return self._error(error)",
        workloads=("sync log",),
        tool="ioerr",
    ),
    Mutant(
        name="a refused transaction is not overwritten",
        breaks=_NO_GUESS,
        module="perdure.stores.sqlite.database",
        old="            if is_there is not None:\n",
        new="            if True:\n",
        workloads=("sync log",),
        tool="ioerr",
    ),
    Mutant(
        name="the log is synced only when it is copied",
        breaks=_ACKNOWLEDGED,
        module="perdure.stores.sqlite.connection",
        old="_SYNCHRONOUS_FULL: Final = 2",
        new="_SYNCHRONOUS_FULL: Final = 1",
        tool="powerloss",
    ),
    Mutant(
        name="nothing is ever synced",
        breaks=_ACKNOWLEDGED,
        module="perdure.stores.sqlite.connection",
        old="_SYNCHRONOUS_FULL: Final = 2",
        new="_SYNCHRONOUS_FULL: Final = 0",
        tool="powerloss",
    ),
    Mutant(
        name="the disk lies",
        breaks=_ACKNOWLEDGED,
        module="perdure.torture.disks.recording",
        old="            self.note(Sync(file, enters_folder))\n",
        new="            pass\n",
        tool="powerloss",
    ),
    Mutant(
        name="callers are answered before the commit",
        breaks=_ACKNOWLEDGED,
        module="perdure.stores.sqlite.writer",
        old='        try:\n            connection.execute("COMMIT")\n',
        new="        try:\n            self._loop.call_soon_threadsafe(_answer, list(jobs))\n"
        '            connection.execute("COMMIT")\n',
        tool="powerloss",
    ),
    Mutant(
        name="what only the kernel has of the log is taken for durable",
        breaks=_FAIL_STOP,
        module="perdure.stores.sqlite.opened",
        old="        if is_alone and is_marked_as_ours(database.disk, database.path):\n",
        new="        if False:\n",
        workloads=("die",),
        tool="fsyncgate",
    ),
    Mutant(
        name="records that are durable are written anew in their place",
        breaks=_FAIL_STOP,
        module="perdure.stores.sqlite.settling",
        old="            _replace_log(disk, database, size=LOG_HEADER_BYTES + frames * FRAME_BYTES)\n",
        new="            is_alone = False\n",
        workloads=("die",),
        tool="fsyncgate",
    ),
    Mutant(
        name="the log is replaced before its copy is synced",
        breaks=_FAIL_STOP,
        module="perdure.stores.sqlite.settling",
        old="        target.sync()\n",
        new="",
        workloads=("die",),
        tool="fsyncgate",
    ),
    Mutant(
        name="the old connection goes before the new one has come",
        breaks=_FAIL_STOP,
        module="perdure.stores.sqlite.database",
        old="vfs=self.disk.vfs)\n            try:\n",
        new="vfs=(self.close(), self.disk.vfs)[1])\n            try:\n",
        workloads=("go-on-alone",),
        tool="fsyncgate",
    ),
    Mutant(
        name="pages that were copied before a sync failed are taken for durable",
        breaks=_FAIL_STOP,
        module="perdure.stores.sqlite.copying",
        old="    except apsw.Error:\n        _copy_again(connection, disk, database)\n",
        new="    except apsw.Error:\n",
        workloads=("go-on",),
        tool="fsyncgate",
    ),
)
