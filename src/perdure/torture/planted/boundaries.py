"""Bugs that show where a commit raises, which `unknown` must find."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_NO_GUESS: Final = "P2: an error means that nothing was saved, and the same request has one effect"

PLANTED: Final = (
    Mutant(
        name="what a commit that raised has not saved is acknowledged",
        breaks=_NO_GUESS,
        module="perdure.stores.sqlite.writer",
        old="return None if self._database.settle(self._session, mark) else self._error(error)",
        new="return None",
        tool="unknown",
    ),
    Mutant(
        name="a worker forgets what a commit that raised was to save",
        breaks="P14: what waits for the store goes on unaided",
        module="perdure.execution.committer",
        old="            self._failed(batch, error)\n",
        new="            self._answer_all(batch, error)\n",
        tool="unknown",
    ),
)
