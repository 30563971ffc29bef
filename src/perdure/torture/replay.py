"""``replay``: code is changed under recorded histories; each change that matters is detected, and no other.

The runs of a small shop are lived through. Then each change of the shop's text that matters is deployed in turn, and
all histories are replayed: one must differ, at an event that is named. A change that does not matter must not be.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from perdure.kernel.history import RecordedEvent
from perdure.testing.replaying import Verdict, replay_history
from perdure.torture.options import Options
from perdure.torture.replays.living import live, load
from perdure.torture.replays.shop import HARMLESS, MUTATIONS, SHOP
from perdure.torture.report import Report

__all__ = ["run"]


def run(options: Options) -> Report:
    """Change the code in every way that is listed, however many `options` say."""
    begun = time.monotonic()
    histories = asyncio.run(live("memory:"))
    try:
        wrong = list(_wrong(histories))
    finally:
        load(SHOP)
    report = Report(
        name="replay",
        runs=len(MUTATIONS) + len(HARMLESS),
        violations=[f"python -m perdure.torture replay\n    {one}" for one in wrong],
        seconds=time.monotonic() - begun,
        seed=options.seed,
    )
    if options.is_ci or options.is_long:
        from perdure.torture import mutants  # noqa: PLC0415 - it runs this module in other processes

        mutants.add_controls(report, options)
    return report


def _wrong(histories: dict[str, list[RecordedEvent]]) -> Iterator[str]:
    for changes, is_harmless in ((MUTATIONS, False), (HARMLESS, True)):
        for old, new in changes:
            load(SHOP.replace(old, new, 1))
            differing = [each for each in map(replay_history, histories.values()) if each.verdict is not Verdict.SAME]
            is_clear = all(each.verdict is Verdict.DIFFERS and each.at_event for each in differing)
            if bool(differing) is is_harmless or not is_clear:
                yield _SENTENCES[is_harmless].format(old=old.strip(), new=new.strip())


_SENTENCES: Final = (
    "nobody noticed, or could say where, that {old!r} became {new!r}",
    "it was taken for a difference that {old!r} became {new!r}",
)
