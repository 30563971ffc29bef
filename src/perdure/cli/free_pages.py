"""How much of a database file is free: pages that removed rows have left, and that new ones take."""

from typing import Final

from perdure.cli.finding import Check, Verdict
from perdure.ports.store import StoreStatus

__all__ = ["free_pages_check"]


def free_pages_check(status: StoreStatus) -> Check:
    """Return the check; a database that is large, and mostly free, might be compacted."""
    free, pages, size = (int(status.facts[name]) for name in ("free_pages", "page_count", "page_size"))
    if not free:
        return Check(name="free pages", verdict=Verdict.OK, finding=f"none of {pages}")
    finding = f"{free} of {pages} ({free * size / _MEGABYTE:.1f} MB); new rows take them"
    if free * size < _MUCH_BYTES or 2 * free < pages:
        return Check(name="free pages", verdict=Verdict.OK, finding=finding)
    advice = "if the file was larger than usual once: stop the engines, and `perdure compact` gives its room back"
    return Check(name="free pages", verdict=Verdict.WARN, finding=finding, advice=advice)


_MEGABYTE: Final = 1_000_000
_MUCH_BYTES: Final = 256 * _MEGABYTE
