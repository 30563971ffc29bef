"""Statements on many rows, executed in pieces of the sizes that are prepared."""

import apsw

from perdure.stores.sql.statements import ROW_COUNTS, RowsStatement
from perdure.stores.sqlite.encoding import Column

__all__ = ["MismatchError", "execute_in_pieces"]


class MismatchError(Exception):
    """Some write of the segment does not apply; nothing of the segment may stay."""


def execute_in_pieces(
    connection: apsw.Connection, statement: RowsStatement, parameters: list[Column], *, is_counted: bool = True
) -> None:
    """Run a statement on all rows, in pieces of the prepared sizes. Raises MismatchError if not every row counted."""
    if not parameters:
        return
    width = statement.width
    done = 0
    left = len(parameters) // width
    for count in ROW_COUNTS:
        while left >= count:
            end = done + count * width
            connection.execute(statement.of(count), parameters[done:end])
            if is_counted and connection.changes() != count:
                raise MismatchError
            done = end
            left -= count
