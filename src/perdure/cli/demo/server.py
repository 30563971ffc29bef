"""The demonstration's own PostgreSQL server, and the moment in which it cuts a worker off."""

from collections.abc import Iterator
from contextlib import contextmanager

from perdure.local_postgres import LocalPostgres

__all__ = ["cut_off", "name_of_worker", "postgres_server", "url_for_worker"]


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server that is gone afterwards, and give its URL. Raises LocalPostgresError where there is none."""
    with LocalPostgres(settings={"fsync": "on", "synchronous_commit": "on"}) as server:
        yield server.url()


def name_of_worker(number: int) -> str:
    """Return how the server knows the connections of a worker."""
    return f"perdure-demo-{number}"


def url_for_worker(url: str, number: int) -> str:
    """Return the URL by which a worker connects under its name."""
    return f"{url}{'&' if '?' in url else '?'}application_name={name_of_worker(number)}"


async def cut_off(url: str, number: int) -> int:
    """End the server's backends for a worker, amid whatever they do; return how many there were."""
    from perdure.stores.postgres.connection import connect_plainly  # only who has a server pays for its import
    from perdure.stores.postgres.settings import PostgresSettings

    connection = await connect_plainly(url, PostgresSettings())
    try:
        return int(await connection.fetchval(_CUT_OFF, name_of_worker(number)))
    finally:
        await connection.close()


# application_name
_CUT_OFF = """
SELECT count(*) FROM (
    SELECT pg_terminate_backend(pid) AS is_ended FROM pg_stat_activity WHERE application_name = $1
) AS ended WHERE is_ended
"""
