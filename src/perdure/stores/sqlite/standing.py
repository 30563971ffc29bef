"""How those stand in their lines in SQLite who share a queue, and have no row yet (`perdure.stores.task_shares`).

Whoever meets damage in a table cannot commit what he has written: then the writer does the same once more, and notes
nothing of who shares. Claims look for whom there is no row.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import apsw

from perdure.kernel.time import Timestamp
from perdure.stores.sql import tasks as statements
from perdure.stores.task_shares import comers

if TYPE_CHECKING:
    from perdure.stores.sqlite.segment import News

__all__ = ["stand"]


def stand(connection: apsw.Connection, queued: Iterable[tuple[Any, Any, Any, Any]], news: "News") -> None:  # Any: rows
    """Make the rows that are missing of those of whom tasks wait: queue, class, share, when queued."""
    if news.notes_shares:
        sound = [(one, Timestamp(at)) for *one, at in queued if isinstance(at, int)]
        for share, tag in comers(((queue, priority, who), at) for (queue, priority, who), at in sound).items():
            connection.execute(statements.STAND, (*share, tag.since, tag.at))
