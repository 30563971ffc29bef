"""Transfers: steps that write to tables of their own in the database of the store, for the oracle to add up.

Each moves an amount from one account to another, and notes that in a ledger under its idempotency key. No constraint
keeps an entry from being made twice: that is for the engine to see to. The step is a plain function for a file and a
coroutine for a server, where it may also be undone since others are in its way, or run out of time as it commits.
"""

import asyncio
import random
from datetime import timedelta
from typing import Final

from perdure.authoring.activity import Activity, activity
from perdure.authoring.activity_context import current_attempt, current_connection
from perdure.authoring.context import Context
from perdure.authoring.workflow import workflow
from perdure.kernel.backoff import fixed
from perdure.kernel.retry import Retry

__all__ = [
    "TABLES", "TRANSFERS", "amount_of", "draw", "transferring_in_a_file",
    "transferring_on_a_server",
]  # fmt: skip

TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS kill_accounts (account integer PRIMARY KEY, balance integer NOT NULL)",
    "CREATE TABLE IF NOT EXISTS kill_ledger (key text, attempt integer, source integer, target integer, moved integer)",
)

_RETRY: Final = Retry(attempts=1_000, backoff=fixed(timedelta(milliseconds=5)))
_TIMEOUT: Final = timedelta(milliseconds=300)


@activity(name="kill_transfer", transaction="serializable", retry=_RETRY)
def transfer_in_a_file(source: int, target: int, amount: int, hindrance: int) -> int:
    """Transfer, in the thread that writes."""
    connection, attempt = current_connection(), current_attempt()
    for statement in TABLES:
        connection.execute(statement)
    for account, change in ((source, -amount), (target, amount)):
        connection.execute(_CHANGE, (account, change))
    connection.execute(_NOTE, (attempt.idempotency_key, attempt.attempt, source, target, amount))
    if hindrance and attempt.attempt == 1:
        raise OSError(hindrance)
    return amount


@activity(name="kill_transfer_on_a_server", transaction="read_committed", retry=_RETRY, timeout=_TIMEOUT)
async def transfer_on_a_server(source: int, target: int, amount: int, hindrance: int) -> int:
    """Transfer; those who meet wait for each other."""
    return await _transfer_on_a_server(source, target, amount, hindrance)


@activity(name="kill_transfer_strictly", transaction="serializable", retry=_RETRY, timeout=_TIMEOUT)
async def transfer_strictly(source: int, target: int, amount: int, hindrance: int) -> int:
    """Transfer; of those who meet only one is not undone."""
    return await _transfer_on_a_server(source, target, amount, hindrance)


async def _transfer_on_a_server(source: int, target: int, amount: int, hindrance: int) -> int:
    connection, attempt = current_connection(), current_attempt()
    for account, change in ((source, -amount), (target, amount)):
        await connection.execute(_CHANGE, account, change)
    await connection.execute(_NOTE, attempt.idempotency_key, attempt.attempt, source, target, amount)
    if hindrance and attempt.attempt == 1:
        await _hinder(hindrance)
    return amount


async def _hinder(hindrance: int) -> None:
    """Fail, or come to the end when the time is over, or nearly."""
    if hindrance == _FAILS:
        raise OSError(hindrance)
    await asyncio.sleep(_TIMEOUT.total_seconds() - random.uniform(0.0, _LAST_SECONDS))


TRANSFERS: Final[dict[str, Activity[[int, int, int, int], int]]] = {
    step.name: step for step in (transfer_in_a_file, transfer_on_a_server, transfer_strictly)
}
"""By the activity's name."""


@workflow(name="kill_transferring")
async def transferring_in_a_file(_ctx: Context, transfers: list[list[int]]) -> int:
    """Make transfers, some after each other and then some at once; return the sum."""
    return await _transferring(transfers, transfer_in_a_file, transfer_in_a_file)


@workflow(name="kill_transferring_on_a_server")
async def transferring_on_a_server(_ctx: Context, transfers: list[list[int]]) -> int:
    """Do the same on a server."""
    return await _transferring(transfers, transfer_on_a_server, transfer_strictly)


async def _transferring(transfers: list[list[int]], first: Activity[..., int], second: Activity[..., int]) -> int:
    half = len(transfers) // 2
    moved = [await first(*transfer) for transfer in transfers[:half]]
    moved += await asyncio.gather(*(second(*transfer) for transfer in transfers[half:]))
    return sum(moved)


def draw(chance: random.Random) -> list[list[int]]:
    """Draw source, target, amount and hindrance of some transfers."""
    return [
        [*chance.sample(range(_ACCOUNTS), 2), chance.randint(1, 100), *chance.choices((0, _FAILS, _LINGERS), _SHARES)]
        for _ in range(chance.randint(1, _MOST))
    ]


def amount_of(transfers: list[list[int]]) -> int:
    """Return what a run with these returns."""
    return sum(amount for _, _, amount, _ in transfers)


_FAILS: Final = 1
_LINGERS: Final = 2
_SHARES: Final = (0.88, 0.09, 0.03)
_ACCOUNTS: Final = 20
_MOST: Final = 24
_LAST_SECONDS: Final = 0.02

# account, change
_CHANGE: Final = """
INSERT INTO kill_accounts VALUES ($1, $2)
ON CONFLICT (account) DO UPDATE SET balance = kill_accounts.balance + excluded.balance
"""

# key, attempt, source, target, amount
_NOTE: Final = "INSERT INTO kill_ledger VALUES ($1, $2, $3, $4, $5)"
