"""Bugs of copies: what they hold, when they begin anew, and what is restored."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_WHOLE: Final = "P18: each point in time of a copy is the database as it was at one commit"
_CHECKED: Final = "P18: what is damaged is refused"
_OLD_OR_NEW: Final = "P18: whoever dies while he makes a copy, or restores one, leaves the old or the new one"

PLANTED: Final = (
    Mutant(
        name="copies: what was not read when the log began anew is not missed",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.tail",
        old="if is_held and (not place.frames or",
        new="if (not place.frames or",
        tool="copies",
    ),
    Mutant(
        name="copies: another log with the same salts is gone on with",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.tail",
        old="            return _header(log, place.frames).hex() == place.seal",
        new="            return True",
        tool="copies",
    ),
    Mutant(
        name="copies: nothing is held between two rounds",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.hold",
        old='            connection.execute("BEGIN")\n',
        new="",
        tool="copies",
    ),
    Mutant(
        name="copies: the older transaction ends before the newer one begins",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.replication",
        old="        is_held = self._hold.is_held\n        self._hold.renew()\n",
        new="        is_held = self._hold.is_held\n        self._hold.let_go()\n        self._hold.renew()\n",
        tool="copies",
    ),
    Mutant(
        name="copies: who writes while the log is copied is not noticed",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.replication",
        old="        if self._tail.end() != self._place:\n",
        new="        if False:\n",
        tool="copies",
    ),
    Mutant(
        name="copies: of a page the first version is taken",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.tail",
        old="for number, header in headers.items() if number <= stop}",
        new="for number, header in reversed(headers.items()) if number <= stop}",
        tool="copies",
    ),
    Mutant(
        name="copies: what a failing target did not take is forgotten",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.replication",
        old="known=self._pending)",
        new="known=None)",
        tool="copies",
    ),
    Mutant(
        name="copies: an increment that is missing is not missed by whoever comes back",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.replication",
        old="if last.digest != self._checked:",
        new="if not last:",
        tool="copies",
    ),
    Mutant(
        name="copies: a base is given another place than its own",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.bases",
        old="        if tail.end() == place:\n            return place\n",
        new="        if place:\n            return tail.end()\n",
        tool="copies",
    ),
    Mutant(
        name="copies: points in time go before their time",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.folder",
        old="            if successor.begun().taken_at <= before:\n",
        new="            if successor:\n",
        tool="copies",
    ),
    Mutant(
        name="copies: the base's digest is not compared",
        breaks=_CHECKED,
        module="perdure.stores.sqlite.copies.rebuilding",
        old="            if part.header.number == 0 and digest_of_file(target) != part.header.previous:\n",
        new="            if False:\n",
        tool="copies",
    ),
    Mutant(
        name="copies: increments of another chain are applied",
        breaks=_CHECKED,
        module="perdure.stores.sqlite.copies.points",
        old=" or (previous is not None and part.header.previous != previous.digest):\n",
        new=":\n",
        tool="copies",
    ),
    Mutant(
        name="copies: that a file has its name is not synced",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.durable",
        old="        disk.sync_folder(path.parent)\n",
        new="        pass\n",
        tool="copies",
    ),
    Mutant(
        name="copies: what is copied is not synced",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.whole",
        old="    sync_file(disk, target)\n",
        new="    sync_file.__name__\n",
        tool="copies",
    ),
    Mutant(
        name="copies: the old database's log stays beside the new one",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.placing",
        old="        if _is_without_log(path, disk):\n",
        new="        if path.exists():\n",
        tool="copies",
    ),
    Mutant(
        name="copies: that a database was put aside is not marked",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.placing",
        old="    disk.create(mark).close()\n",
        new="",
        tool="copies",
    ),
    Mutant(
        name="copies: what a dead restoring has left is not put in order",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.placing",
        old="        _put_in_order(path, disk)\n        yield",
        new="        yield",
        tool="copies",
    ),
    Mutant(
        name="copies: a generation is one before that is synced",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.folder",
        old="            for folder in (self.path, self.path.parent):\n",
        new="            for folder in (self.path,)[:0]:\n",
        tool="copies",
    ),
    Mutant(
        name="copies: a new base takes over without what came while it was made",
        breaks=_WHOLE,
        module="perdure.stores.sqlite.copies.replication",
        old="            self._publish()\n            gen",
        new="            self._pending = None\n            gen",
        tool="copies",
    ),
    Mutant(
        name="copies: a generation may be gone before its first part is",
        breaks=_OLD_OR_NEW,
        module="perdure.stores.sqlite.copies.folder",
        old="            disk.sync_folder(self.path)\n        for",
        new="        for",
        tool="copies",
    ),
)
