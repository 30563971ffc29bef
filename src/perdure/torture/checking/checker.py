"""The check of a whole history: orders, reads, cycles."""

from collections.abc import Sequence

from perdure.torture.checking.anomaly import Anomaly
from perdure.torture.checking.cycles import find_cycles
from perdure.torture.checking.dependencies import Dependencies
from perdure.torture.checking.transactions import Order, Transaction
from perdure.torture.checking.versions import infer_versions

__all__ = ["check"]


def check(transactions: Sequence[Transaction], known: Sequence[Order] = ()) -> list[Anomaly]:
    """Return what keeps the transactions from being strictly serialisable; nothing if they are, as far as can be seen.

    They are strictly serialisable if one order explains all that was read, in which each comes after those that had
    ended when it began. `known`: orders of lists that are known from elsewhere.
    """
    given = list(transactions)
    versions, anomalies = infer_versions(given, known)
    return anomalies + find_cycles(Dependencies(given, versions), given)
