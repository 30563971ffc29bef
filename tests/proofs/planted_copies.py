"""What is broken of the copies of a database, for each row of docs/reference/tested.md."""

# ruff: noqa: E501 - these are lines of the engine

from tests.proofs.defect import Defect

COPIES: dict[str, tuple[Defect, ...]] = {
    "copies.backup": (
        Defect("stores.sqlite.copies.operations", "contents=contents.hex()", 'contents=""'),
        Defect("stores.sqlite.copies.hold", 'connection.execute("BEGIN")', "pass"),
        Defect("stores.sqlite.copies.placing", "and not is_forced:\n", "and False:\n"),
        Defect(
            "stores.sqlite.copies.durable",
            "    with closing(disk.open(path)) as file:\n        file.sync()",
            "    del disk, path",
        ),
        Defect("stores.sqlite.copies.operations", "    _demand_other(database, target)\n", ""),
    ),
    "copies.replicate": (
        Defect("stores.sqlite.copies.tail", "return range(place.frames + 1, end.frames + 1)", "return range(0)"),
        Defect(
            "stores.sqlite.copies.tail",
            'frames, _ = self._database.connection().wal_checkpoint("main", apsw.SQLITE_CHECKPOINT_NOOP)',
            "frames = sum(_header(log, n)[_SALTS].hex() == salts for n in range(1, log.size // FRAME_BYTES))",
        ),
        Defect("stores.sqlite.copies.tail", "_header(log, place.frames).hex() == place.seal", "bool(log)"),
        Defect("stores.sqlite.copies.tail", "if is_held and (not place.frames or", "if (not place.frames or"),
        Defect(
            "stores.sqlite.copies.replication",
            "if last.link != self._checked:",
            "if not last:",
        ),
        Defect("stores.sqlite.copies.replication", "known=self._pending)", "known=None)"),
        Defect("stores.sqlite.copies.replication", "if self._last is None or self._clock.time < self._tried_at + self._every:", "if now:"),
        Defect("stores.sqlite.copies.expiry", ">= self._keep", "< 0"),
        Defect("stores.sqlite.copies.folder", "if not lock.try_exclusive():", "if lock.try_exclusive() is None:"),
        Defect("stores.sqlite.copies.merging", "if (number + 1) * width - ahead <= now - after:", "if not width:"),
    ),
    "copies.restore": (
        Defect("stores.sqlite.copies.rebuilding", "or point.taken_at <= at, points", "or point.taken_at > at, points"),
        Defect("stores.sqlite.copies.parts", "if _digest(content) != digest:", "if not digest:"),
        Defect("stores.sqlite.copies.rebuilding", "digest_of_file(target) != part.header.previous", "not target"),
        Defect(
            "stores.sqlite.copies.placing",
            "if not presence.try_alone() or _is_connected(path, disk):",
            "if not presence.try_alone() and False:",
        ),
        Defect("stores.sqlite.copies.rebuilding", "(SKIPPED_NUMBERS, time_of_day, _scattered(now))", "(SKIPPED_NUMBERS, 0, 0)"),
        Defect(
            "stores.sqlite.copies.placing",
            "zip(files_of(path), _aside(path), strict=True)",
            "zip((path,), _aside(path), strict=False)",
        ),
        Defect("stores.sqlite.copies.points", "        if file.first != expected:\n", "        if not expected and file.first:\n"),
    ),
    "copies.points_in_time": (
        Defect("stores.sqlite.copies.points", "points.extend(point for point in found if point.taken_at > newest)", "del newest"),
    ),
    "Settings.replicate_to": (
        Defect("engine", "            self._copying = start_replication(self._url, self._settings)", "            del start_replication"),
        Defect("stores.sqlite.copies.following", "                if not waits_for_turn:\n", "                if waits_for_turn:\n"),
    ),
}  # fmt: skip
