"""The judgement of what was noted."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from perdure.torture.checking.anomaly import Anomaly
from perdure.torture.checking.checker import check
from perdure.torture.checking.records import Record
from perdure.torture.checking.translation import translate

__all__ = ["Judgement", "judge"]


class Judgement(msgspec.Struct, frozen=True):
    """How many calls were made, of how many operations the outcome is unknown, and what is wrong.

    `asked` and `answered`: how many calls of each kind were made, and answered by no error.
    """

    calls: int
    unknown: int
    anomalies: list[Anomaly]
    asked: Counter[str] = msgspec.field(default_factory=Counter)
    answered: Counter[str] = msgspec.field(default_factory=Counter)


def judge(records: Iterable[Record], *, may_be_unavailable: bool = False) -> Judgement:
    """Say whether one order explains what was noted. `may_be_unavailable`: the store was not there at times."""
    history = translate(records, may_be_unavailable=may_be_unavailable)
    found = history.anomalies + check(history.transactions, history.orders)
    return Judgement(history.calls, history.unknown, found, history.asked, history.answered)
