"""Bugs of replay, which `replay` must find."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

_CHANGED_CODE: Final = "P8: changed code stops the run"

PLANTED: Final = (
    Mutant(
        name="events of one type are taken for the same",
        breaks=_CHANGED_CODE,
        module="perdure.kernel.matching",
        old="    if type(recorded) is not type(actual):\n        return False\n",
        new="    if type(recorded) is not type(actual):\n        return False\n    return True\n",
        tool="replay",
    ),
    Mutant(
        name="another call than the recorded one is let pass",
        breaks=_CHANGED_CODE,
        module="perdure.kernel.replay",
        old="raise self._mismatch(recorded.sequence, event, expected)",
        new="self._expected.popleft()",
        tool="replay",
    ),
)
