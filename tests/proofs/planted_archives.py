"""What makes exports, imports and retention not work."""

from typing import Final

from tests.proofs.defect import Defect

__all__ = ["ARCHIVES"]

ARCHIVES: Final[dict[str, tuple[Defect, ...]]] = {
    "engine.archive": (
        Defect("archiving.importing", "if run.ref != other.ref:", "if run.ref == other.ref:"),
        Defect("client.handle", "raise _removed(self._ref)", "raise missing(self._ref)"),
        Defect(
            "archiving.pruning",
            "            batch = await self._filed(await self._removable(batch), filing)\n",
            "            pass\n",
        ),
    ),
    "engine.compact": (
        Defect("engine", "if not isinstance(self._url, str):", "if False:"),
        Defect("stores.sqlite.compaction", 'connection.execute("VACUUM")', "pass"),
        Defect(
            "engine", "(accepts_lost_pages=accepts_lost_pages, on_progress=on_progress)", "(on_progress=on_progress)"
        ),
    ),
    "Settings.retention": (Defect("engine", "if self._works and self._settings.retention is not None:", "if False:"),),
}
