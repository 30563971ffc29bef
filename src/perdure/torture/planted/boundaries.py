"""Bugs that show where a commit raises, or a call is made again, which `unknown` must find."""

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
        name="a signal that is sent again is another one",
        breaks=_NO_GUESS,
        module="perdure.client.handle",
        old="body=encoded, message_id=message_id), request_id, message_id)",
        new="body=encoded, message_id=_new_id()), None)",
        tool="unknown",
    ),
    Mutant(
        name="an update that is asked for again is another one",
        breaks=_NO_GUESS,
        module="perdure.client.handle",
        old='update_id = require_text(request_id, "request_id") if request_id else _new_id()',
        new="update_id = _new_id()",
        tool="unknown",
    ),
)
