"""What is found out when a database of a server is opened by its URL, and what an error says to do."""

import asyncpg
import pytest

from perdure.errors import StoreUnavailableError, StoreVersionError, UsageError
from perdure.kernel.time import Timestamp
from perdure.kernel.transition import Applied
from perdure.ports.store import RunQuery, RunStore
from perdure.stores.opening import open_store
from perdure.stores.postgres import opening
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_conformance.harness import creation
from tests.postgres_server import PostgresServer, value


async def opened(url: str) -> RunStore:
    store = open_store(url)
    await store.open(session_name="worker", lease_seconds=30, on_changes=lambda _: None)
    return store


async def test_a_url_opens_a_store_whose_status_says_where_and_how_it_is(postgres: str) -> None:
    store = await opened(f"{postgres}&application_name=shop+worker")
    status = await store.status()
    assert status.location == store.location
    assert status.facts["synchronous_commit"] == "off", "as a throw-away server's"
    named = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop worker'"
    assert await value(postgres, named) == 2, "the home, and a reader"
    await store.close()


async def test_schemas_of_a_database_have_nothing_in_common(postgres_server: PostgresServer) -> None:
    async with postgres_server.database() as url:
        stores = [await opened(place) for place in (url, f"{url}&schema=shop")]
        assert [await store.free_expired(now=Timestamp(1)) for store in stores] == [0, 0]
        run = creation(stores[0].new_run_key())
        assert await stores[0].commit([run]) == [Applied(run.run_key)]
        assert [await store.count_runs(RunQuery()) for store in stores] == [1, 0]
        for store in stores:
            await store.close()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("shema=x", r'unrecognized configuration parameter "shema".* leave it out, or mend it'),
        ("work_mem=lots", r'invalid value for parameter "work_mem".* leave it out, or mend it'),
        ("sslmode=bogus", r"`sslmode` parameter must be one of.* Mend what it says there"),
    ],
)
async def test_a_wrong_setting_in_the_url_is_an_error_of_its_writer(postgres: str, setting: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        await opened(f"{postgres}&{setting}")


async def test_what_a_pooler_refuses_or_ignores_is_told_of_a_pooler(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise asyncpg.ProtocolViolationError("unsupported startup parameter: search_path")

    with monkeypatch.context() as patching:
        patching.setattr(asyncpg, "connect", refusing)
        with pytest.raises(UsageError, match=r"unsupported startup parameter.* the address of the server itself"):
            await opened(postgres)
    real = asyncpg.connect

    async def ignoring(url: str, **options: object) -> object:
        del options["server_settings"]
        return await real(url, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(asyncpg, "connect", ignoring)
    with pytest.raises(UsageError, match=r"ignores the settings.* the address of the server itself"):
        await opened(postgres)


async def test_a_server_that_is_too_old_is_refused(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_OLDEST_VERSION", 990_000)
    with pytest.raises(StoreVersionError, match="Perdure needs 99 or newer"):
        await opened(postgres)


async def test_a_database_that_lacks_characters_is_refused(postgres_server: PostgresServer) -> None:
    await value(postgres_server.url(), "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(UsageError, match=r"encoding LATIN1.* ENCODING 'UTF8'"):
            await opened(postgres_server.url("latin"))
    finally:
        await value(postgres_server.url(), "DROP DATABASE latin WITH (FORCE)")


async def test_a_role_needs_no_more_than_a_schema_of_its_own(postgres_server: PostgresServer) -> None:
    async with postgres_server.database() as url:
        await value(url, "CREATE ROLE modest LOGIN")
        try:
            modest = url.replace("postgres@", "modest@", 1)
            with pytest.raises(StoreUnavailableError, match=r"permission denied.* the user's rights"):
                await opened(modest)
            await value(url, "CREATE SCHEMA perdure AUTHORIZATION modest")
            store = await opened(modest)
            run = creation(store.new_run_key())
            assert await store.commit([run]) == [Applied(run.run_key)]
            assert (await store.status()).facts["fsync"] == "off"
            await store.close()
        finally:
            await value(url, "DROP OWNED BY modest")
            await value(url, "DROP ROLE modest")


async def test_a_password_is_in_no_error_of_a_server_that_refuses_it(postgres: str) -> None:
    refused = postgres.replace("postgres@", "nobody:correct-horse@", 1)
    with pytest.raises(StoreUnavailableError, match='role "nobody" does not exist') as error:
        await opened(refused)
    assert "correct-horse" not in str(error.value)


async def test_an_opening_over_a_slow_link_is_not_in_the_way_of_what_the_connection_is_used_for_later(
    postgres: str,
) -> None:
    """As slow as it takes for the time to come at which the server is to be asked again."""
    store = PostgresStore(postgres, settings=PostgresSettings(safety_check_seconds=0.0))
    await store.open(session_name="slow", lease_seconds=30.0, on_changes=lambda _: None)
    await store.close()
