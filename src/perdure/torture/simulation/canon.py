"""The canonical form of all tables: what must be equal however often the processes died.

Histories are in the normal form of the shipped test kit (`perdure.testing.normal_form`). Taken out beyond it: owners,
fencing tokens; runs are named by their reference. Where a workload does things in parallel, the order of its events is
not compared.
"""

import re
from collections import Counter
from typing import Final

import msgspec

from perdure.testing.normal_form import normal_event, normal_text
from perdure.torture.simulation.tables import Tables

__all__ = ["Canon", "canonical"]


class Canon(msgspec.Struct, frozen=True, kw_only=True):
    """Tables in canonical form: table name -> rows in canonical form."""

    tables: dict[str, list[str]]

    def differences(self, expected: "Canon") -> list[str]:
        """Return, per table that is not as expected, what is missing and what is too much."""
        found: list[str] = []
        for name in sorted(self.tables.keys() | expected.tables.keys()):
            mine, wanted = self.tables.get(name, []), expected.tables.get(name, [])
            if mine == wanted:
                continue
            missing = list((Counter(wanted) - Counter(mine)).elements())
            surplus = list((Counter(mine) - Counter(wanted)).elements())
            if missing or surplus:
                found.append(f"{name} differs: missing {_shown(missing)}; too much {_shown(surplus)}")
            else:
                found.append(f"{name} differs in its order: {_shown(mine)}")
        return found


def _shown(rows: list[str]) -> str:
    text = "; ".join(rows) or "nothing"
    return text if len(text) <= _LONGEST_CHARACTERS else f"{text[:_LONGEST_CHARACTERS]}..."


_LONGEST_CHARACTERS: Final = 600


def canonical(tables: Tables, *, in_order: bool) -> Canon:
    """Return the canonical form of all tables; with `in_order` each history in its order."""
    database = tables.database
    names = {key: str(run.ref) for key, run in database.runs.items()}
    found: dict[str, list[str]] = {
        "runs": sorted(
            _text(
                {
                    "ref": names[key],
                    "workflow": run.workflow,
                    "version": run.definition_version,
                    "status": run.status,
                    "stage": run.stage,
                    "progress": run.progress,
                    "priority": run.priority,
                    "tenant": run.tenant,
                    "labels": run.labels,
                    "parent": names.get(run.parent_key) if run.parent_key is not None else None,
                    "is_waiting": key in database.waiting,
                }
            )
            for key, run in database.runs.items()
        ),
        "inbox": sorted(
            f"{names.get(key, 'no run')}: {entry.data.decode()}"
            for key, inbox in database.inboxes.items()
            for entry in inbox.values()
        ),
        "requests": sorted(f"{request}: {names[key]}" for (_, request), key in database.requests.items()),
        "message_requests": sorted(f"{run_id}: {request}" for _, run_id, request in database.message_requests),
        "locks": sorted(f"{names[entry.run_key]}: {entry.key}" for entry in database.locks.values()),
        "tasks": sorted(f"{names.get(key, 'no run')}: {operation}" for key, operation in database.tasks),
        "message_ids": sorted(f"{names.get(key, 'no run')}" for key, _ in database.message_ids),
    }
    for key, name in names.items():
        rows = [normal_event(recorded, in_order=in_order) for recorded in tables.history(key)]
        rows = [_TOKEN.sub("token", row) for row in rows if row]
        found[f"history of {name}"] = rows if in_order else sorted(rows)
    return Canon(tables=found)


def _text(value: object) -> str:
    return _TOKEN.sub("token", normal_text(value))


_TOKEN: Final = re.compile(r"token-\d+")
