"""``unknown``: each commit of a journey raises in turn, after it was saved or before; nothing happens twice or is lost.

What a client is not told it asks for again, under the request id, and what it was told it asks for once more. In the
end all runs must have the histories of a journey on a sound disk, and each activity its one effect. The commits are
those of openings (with the making of the tables), sessions, claims, single and batched transitions, requests, the
agenda and closings, one after the other: as many seeds in a row as there are commits meet each of them.
"""

import asyncio
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import apsw

from perdure.errors import PerdureError
from perdure.torture.boundaries.journey import SOUND, Seen, journey
from perdure.torture.disks.failing import FailingDisk, failing_disk
from perdure.torture.disks.folders import fast_folder
from perdure.torture.options import Options
from perdure.torture.report import Report
from perdure.torture.trials import Tried, run_trials

__all__ = ["run"]


def run(options: Options) -> Report:
    """Let commits raise, as many as `options` say."""
    count = options.how_many(usually=_USUALLY, ci=_CI, long=_LONG)
    return run_trials("unknown", options, _one_boundary, count=count, is_controlled=True)


def _one_boundary(seed: int) -> Tried:
    """Let the commit of a number raise: after it was saved, and by another error, are other boundaries of it."""
    operation, most = _OPERATIONS[seed % len(_OPERATIONS)]
    number, way = divmod(seed // len(_OPERATIONS), len(_WAYS))
    number %= most
    after, error = _WAYS[way]
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder, failing_disk() as disk:
        disk.after, disk.error = after, error
        disk.plan(operation, first=number + 1, length=1)
        try:
            seen = asyncio.run(_in_time(Path(folder) / "unknown.db", disk))
        except (PerdureError, TimeoutError) as failure:
            wrong = [f"a call had no answer: {type(failure).__name__}: {failure}"]
        else:
            wrong = _differences(seen, _sound() | SOUND)
        has_failed = bool(disk.failed)
    if not wrong:
        return Tried(int(has_failed), [])
    what = f"{operation} {number + 1} fails by {error.__name__} {'after' if after else 'before'} it is done"
    again = f"python -m perdure.torture unknown --count 1 --seed {seed}"
    return Tried(1, [f"{again}\n    {what}: {one}" for one in wrong])


async def _in_time(path: Path, disk: FailingDisk) -> Seen:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        return await journey(path, disk)


@cache
def _sound() -> Seen:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder, failing_disk() as disk:
        return asyncio.run(_in_time(Path(folder) / "sound.db", disk))


def _differences(seen: Seen, expected: Seen) -> list[str]:
    found = []
    for name in sorted(seen.keys() | expected.keys()):
        mine, wanted = seen.get(name, []), expected.get(name, [])
        if mine != wanted:
            missing, surplus = [one for one in wanted if one not in mine], [one for one in mine if one not in wanted]
            found.append(f"{name} differs: missing {missing}; too much {surplus or len(mine)}")
    return found


_OPERATIONS: Final = (("sync log", 80), ("sync database", 14), ("sync journal", 5))
"""What makes a commit durable, and at most how often that happens in a journey."""
_WAYS: Final = tuple((after, error) for after in (True, False) for error in (apsw.IOError, apsw.FullError))
_PATIENCE_SECONDS: Final = 20.0
_USUALLY: Final = 60
_CI: Final = 960
_LONG: Final = 20_000
