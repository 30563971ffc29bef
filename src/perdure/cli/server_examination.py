"""What `perdure doctor` finds out of a PostgreSQL server: what its store tells of it, judged."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from perdure.cli.finding import Check, Verdict
from perdure.cli.times import show_duration
from perdure.kernel.time import MICROSECONDS_PER_SECOND
from perdure.ports.store import StoreStatus

__all__ = ["server_checks"]


def server_checks(status: StoreStatus) -> Iterator[Check]:
    """Yield the checks."""
    yield _durability(status)
    yield _encryption(status)
    yield _connections(status)
    yield _transactions(status)
    yield _sessions(status)


def _durability(status: StoreStatus) -> Check:
    shown = ", ".join(f"{name} {status.facts[name]}" for name in (*_SAFETY, "data_checksums"))
    finding = f"PostgreSQL {status.facts['server']}: {shown}"
    for name in _SAFETY:
        if status.facts[name] == "off":
            verdict, advice = _SAFETY[name]
            return Check(name="durability", verdict=verdict, finding=finding, advice=advice)
    return Check(name="durability", verdict=Verdict.OK, finding=finding)


def _encryption(status: StoreStatus) -> Check:
    encryption, address = status.facts["encryption"], status.facts["address"]
    if encryption:
        return Check(name="encryption", verdict=Verdict.OK, finding=encryption)
    if not address or ip_address(address).is_loopback:
        return Check(name="encryption", verdict=Verdict.OK, finding="none; the server is on this machine")
    advice = "whoever is on the way reads all, and may answer instead: say sslmode=verify-full in the URL"
    return Check(name="encryption", verdict=Verdict.WARN, finding=f"none on the way to {address}", advice=advice)


def _connections(status: StoreStatus) -> Check:
    used, most = int(status.facts["connections"]), int(status.facts["max_connections"])
    finding = f"{used} of {most}"
    if used < most * _MANY:
        return Check(name="connections", verdict=Verdict.OK, finding=finding)
    advice = "raise max_connections: each engine has five, and up to four more for activities with transactions"
    return Check(name="connections", verdict=Verdict.WARN, finding=finding, advice=advice)


def _transactions(status: StoreStatus) -> Check:
    oldest = int(status.facts["oldest_transaction_seconds"])
    finding = f"the oldest under way is {show_duration(oldest * MICROSECONDS_PER_SECOND)} old"
    if oldest < _LONG_SECONDS:
        return Check(name="transactions", verdict=Verdict.OK, finding=finding)
    advice = "rows that were removed stay while it lasts, and claims take longer: `select * from pg_stat_activity`"
    return Check(name="transactions", verdict=Verdict.WARN, finding=finding, advice=advice)


def _sessions(status: StoreStatus) -> Check:
    present, absent = status.facts["present"], status.facts["absent"]
    finding = f"alive: {present}" if present else "none but this command"
    if not absent:
        return Check(name="sessions", verdict=Verdict.OK, finding=finding)
    advice = "their runs go to the next worker that renews its lease, unless they come back before"
    return Check(name="sessions", verdict=Verdict.WARN, finding=f"{finding}; absent: {absent}", advice=advice)


_SAFETY: Final = {
    "fsync": (Verdict.FAIL, "a crash of the machine destroys the database: switch fsync on"),
    "full_page_writes": (Verdict.FAIL, "a crash of the machine may destroy pages: switch full_page_writes on"),
    "synchronous_commit": (Verdict.WARN, "a crash of the server forgets what it has just answered: switch it on"),
}
"""Settings that must not be off, the worst first."""
_MANY: Final = 0.8
_LONG_SECONDS: Final = 300
