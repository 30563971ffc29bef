"""Patch markers: how changed code tells the runs that passed a place before the change from those that come after it.

The life of a patch, one deployment each:

1. ``if ctx.patched("x"): new() else: old()``. Runs that come here record a marker and go the new way; runs that passed
   here before hold none, and go the old way for good.
2. When no run is open that went the old way: ``ctx.deprecate_patch("x"); new()``. The recorded markers still fit. Runs
   that come here record a marker that takes no number, so that the deployment can be taken back: to the code of 1 the
   run is one that goes the new way.
3. When no run is open that recorded a marker of 1: ``new()`` alone. Markers of 2 are passed over.

A step made too early is a difference to the histories that it does not fit, and the error says which step it was
(`perdure.kernel.matching.advice`).
"""

from perdure.authoring.arguments import require_text
from perdure.errors import UsageError
from perdure.kernel import commands as c
from perdure.kernel.identity import Operation
from perdure.kernel.journal import Journal

__all__ = ["ask_patch", "deprecate_patch"]

_NO_OPERATION = Operation(0)


def ask_patch(journal: Journal, patch: str) -> bool:
    """Return whether the run goes the new way at this patch, and record that it does."""
    if require_text(patch, "the name of a patch") not in journal.asked_patches:
        new_path = not journal.replaying or patch in journal.patches
        journal.asked_patches[patch] = new_path
        if new_path:
            _mark(journal, patch, deprecated=journal.replaying and journal.patches[patch])
    return journal.asked_patches[patch]


def deprecate_patch(journal: Journal, patch: str) -> None:
    """Note that the code knows the new way only. Raises UsageError where it went the old way before."""
    taken = journal.asked_patches.get(require_text(patch, "the name of a patch"))
    if taken is False:
        message = (
            f"ctx.deprecate_patch({patch!r}) says that there is no old way any more, but ctx.patched({patch!r}) sent "
            f"this run the old way before; use one of the two"
        )
        raise UsageError(message)
    if taken is None:
        journal.asked_patches[patch] = True
        recorded = journal.patches.get(patch) if journal.replaying else None
        _mark(journal, patch, deprecated=recorded is not False)


def _mark(journal: Journal, patch: str, *, deprecated: bool) -> None:
    operation = _NO_OPERATION if deprecated else journal.next_operation()
    journal.give(c.DecideVersion(operation=operation, patch=patch, deprecated=deprecated, location=journal.location()))
