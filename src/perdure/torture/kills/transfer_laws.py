"""The laws of transfers, on the tables that steps write to: what is recorded of a step and what it wrote are one."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from perdure.kernel import events as e
from perdure.torture.kills.rows import LedgerRow
from perdure.torture.kills.tables import StoredRun, Tables, key_of
from perdure.torture.kills.transfers import TRANSFERS

__all__ = ["broken_transfer_laws"]


def broken_transfer_laws(tables: Tables) -> Iterator[str]:
    """Yield a sentence for each law of transfers that is broken."""
    written: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    for row in tables.ledger:
        written[row.key].append(row)
    for run in tables.runs.values():
        for recorded in _recorded_transfers(run):
            found = written.pop(recorded.key, [])
            if found != [recorded]:
                yield f"ledger: {recorded} is recorded, and {found or 'nothing'} was written (run {run.id})"
    for key, rows in written.items():
        yield f"ledger: {rows} was written, and no transfer {key} is recorded as completed"
    yield from _balance_laws(tables)


def _recorded_transfers(run: StoredRun) -> Iterator[LedgerRow]:
    """Yield what the transfers that a run has recorded as completed are to have written."""
    asked: dict[int, e.ActivityScheduled] = {}
    for recorded in run.history:
        event = recorded.event
        if isinstance(event, e.ActivityScheduled) and event.activity in TRANSFERS:
            asked[event.operation] = event
        elif isinstance(event, e.ActivityCompleted) and event.operation in asked:
            scheduled = asked[event.operation]
            (source, target, amount, _), _ = TRANSFERS[scheduled.activity].signature.decode_arguments(scheduled.input)
            yield LedgerRow(key_of(run, event.operation), event.attempt, source, target, amount)


def _balance_laws(tables: Tables) -> Iterator[str]:
    if sum(tables.balances.values()):
        yield f"ledger: {sum(tables.balances.values())} has come into the accounts, or gone"
    moved: Counter[int] = Counter()
    for row in tables.ledger:
        moved[row.source] -= row.amount
        moved[row.target] += row.amount
    for account in sorted({*moved, *tables.balances}):
        if tables.balances.get(account) != moved[account]:
            yield f"ledger: account {account} has {tables.balances.get(account)}, by its entries {moved[account]}"
