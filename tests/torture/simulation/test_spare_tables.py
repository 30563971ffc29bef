"""Tables that trials hand on: whoever gets them finds no trace of the one before."""

from collections.abc import Iterator

import apsw

from perdure.torture.simulation import spare_tables
from perdure.torture.simulation.plans import Plan
from perdure.torture.simulation.spare_tables import give_back_tables, take_tables
from perdure.torture.simulation.trial import Trial


def rows(connection: apsw.Connection) -> Iterator[tuple[object, ...]]:
    for (table,) in list(connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")):
        for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1"):
            yield table, *row


def test_tables_that_were_used_are_as_new() -> None:
    spare_tables._spare.clear()
    new = take_tables()
    trial = Trial(Plan(workload="pruned", seed=1))
    used = trial.shadow.connection
    trial.run(None)
    assert len(list(rows(used))) > 20
    trial.dispose()
    assert take_tables() is used
    identities = [row for connection in (new, used) for row in rows(connection) if row[1] == "identity"]
    assert len(identities) == 2
    assert [row for row in rows(used) if row not in identities] == [row for row in rows(new) if row not in identities]
    new.close()
    used.close()


def test_tables_whose_schema_was_changed_are_not_handed_on() -> None:
    spare_tables._spare.clear()
    changed = take_tables()
    changed.execute("CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END")
    give_back_tables(changed)
    assert spare_tables._spare == []
