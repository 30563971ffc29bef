"""What a URL of a server says: to the driver, to the store, and to whoever reads where a store is."""

import builtins
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import Engine, Settings
from perdure.errors import UsageError
from perdure.stores.opening import compact_store, database_path, open_store
from perdure.stores.postgres.connection import driver_errors
from perdure.stores.postgres.settings import PostgresSettings
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.urls import location_of, read_url

DEFAULTS = PostgresSettings()


def test_what_is_said_to_the_store_is_taken_out_and_all_else_is_left_to_the_driver() -> None:
    read = read_url(
        "postgres://u:p%40w@h:5433/db?sslmode=require&schema=shop&lanes=4&readers=3&connect_timeout=2.5"
        "&application_name=shop+worker&work_mem=8MB",
        DEFAULTS,
    )
    assert read.for_driver == "postgres://u:p%40w@h:5433/db?sslmode=require&work_mem=8MB"
    assert read.settings == PostgresSettings(
        schema="shop", lanes=4, readers=3, connect_seconds=2.5, application_name="shop worker"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/db",
        "postgresql:///db?host=/run/postgresql&port=5433",
        "postgresql://u@%2Frun%2Fpostgresql/db",
        "postgresql://[::1]:5432/db?service=orders",
        "postgres:///",
    ],
)
def test_a_url_without_anything_for_the_store_stays_as_it_is(url: str) -> None:
    assert read_url(url, DEFAULTS).for_driver == url
    assert read_url(url, DEFAULTS).settings == DEFAULTS


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://a:1,b:2/db", "postgresql://a:1,b:2/db?target_session_attrs=read-write"),
        ("postgresql:///db?host=a%2Cb", "postgresql:///db?host=a%2Cb&target_session_attrs=read-write"),
        ("postgresql://a,b/db?target_session_attrs=any", "postgresql://a,b/db?target_session_attrs=any"),
    ],
)
def test_of_several_hosts_the_one_that_takes_writes_is_meant(url: str, expected: str) -> None:
    assert read_url(url, DEFAULTS).for_driver == expected


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgres://u:p%40w@h:5433/db?sslmode=require", "postgresql://h:5433/db"),
        ("postgresql:///db?host=/run&port=1&password=pw&user=u", "postgresql:///db?host=/run&port=1"),
    ],
)
def test_a_location_has_neither_user_nor_password(url: str, location: str) -> None:
    assert location_of(url) == location
    assert PostgresStore(url).location == f"{location} (schema perdure)"


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("//u:kes@trel@h/db", "an '@' that does not stand between"),
        ("//u:kes/trel@h/db", "an '@' that does not stand between"),
        ("//u:kes?trel@h/db", "an '@' that does not stand between"),
        ("//u:kes#trel@h/db", "a '#'"),
        ("//u:kestrel", "its port is no number"),
        ("//u:kestrel℀@h/db", "characters that no URL has"),
        ("//u:kes trel@h/db", "characters that no URL has"),
        ("//h:65536/db", "its port is no number"),
        ("//h/db/other", "has a '/'"),
        ("u:kestrel", "two slashes are missing"),
        ("//h/db?schema", r"must be like \?name=value"),
        ("//h/db?schema=a&schema=b", "says schema twice"),
        ("//h/db?schema=Shop", "up to 40 of a-z"),
        ("//h/db?schema=pg_shop", "up to 40 of a-z"),
        (f"//h/db?schema={'a' * 41}", "up to 40 of a-z"),
        ("//h/db?lanes=0", "from 1 to 100"),
        ("//h/db?readers=101", "from 1 to 100"),
        ("//h/db?readers=%C2%B2", "from 1 to 100"),
        (f"//h/db?lanes={'9' * 5_000}", "from 1 to 100"),
        ("//h/db?connect_timeout=soon", "seconds above zero"),
        ("//h/db?connect_timeout=0", "seconds above zero"),
        ("//h/db?connect_timeout=inf", "seconds above zero"),
        ("//h/db?application_name=a%0Ab", "a text of one line"),
        ("//h/db?search_path=x", "say schema=NAME instead"),
        ("//h/db?lock_timeout=1s", "lock_patience_seconds"),
        ("//h/db?pooled=true", "pooler in transaction mode"),
        ("//h/db?session_host=", "host:port, or the folder of a socket"),
        ("//h/db?session_host=db:70000", "host:port, or the folder of a socket"),
        ("//h/db?session_host=u:kes@trel", "an '@' that does not stand between"),
        ("//h/db?session_host=/run/a%26b", "host:port, or the folder of a socket"),
        ("//h/db?sslrootcert=/no/such/root.crt", "a file that is not there: /no/such/root.crt"),
    ],
)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_what_cannot_be_meant_is_refused_and_no_password_shown(scheme: str, rest: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refused:
        open_store(f"{scheme}:{rest}")
    assert not re.search("kes|trel", str(refused.value))


def test_a_certificate_that_is_there_is_left_to_the_driver(tmp_path: Path) -> None:
    (tmp_path / "root.crt").touch()
    url = f"postgresql://h/db?sslmode=verify-full&sslrootcert={tmp_path}/root.crt"
    assert read_url(url, DEFAULTS).for_driver == url


def test_an_engines_settings_reach_the_store() -> None:
    store = open_store(
        "postgresql://h/db?lanes=3",
        settings=Settings(lock_patience_seconds=7.0, safety_check_seconds=0.5, retry_store_maximum_seconds=3.0),
    )
    assert isinstance(store, PostgresStore)
    assert store._settings == PostgresSettings(
        lanes=3,
        lock_seconds=7.0,
        statement_seconds=32.0,
        transaction_seconds=64.0,
        answer_seconds=42.0,
        safety_check_seconds=0.5,
        settling_pause_seconds=3.0,
    )
    unchanged = open_store("postgresql://h/db")
    assert isinstance(unchanged, PostgresStore)
    assert unchanged._settings == DEFAULTS


def test_without_the_driver_an_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without_driver(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "asyncpg":
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments)

    monkeypatch.delitem(sys.modules, "asyncpg", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_driver)
    driver_errors.cache_clear()
    with pytest.raises(UsageError, match=r"pip install 'perdure\[postgres\]'"):
        open_store("postgresql://h/db")


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (database_path, "pg_dump or pg_basebackup"),
        (compact_store, "VACUUM FULL"),
        (lambda url: Engine(url, settings=Settings(replicate_to="copies")), "pg_dump or pg_basebackup"),
    ],
)
def test_what_concerns_a_file_says_what_to_use_instead(ask: Callable[[str], object], advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        ask("postgresql://u:p@h/db")


@pytest.mark.parametrize(
    ("url", "itself"),
    [
        ("//u:p@pooler:6432/db?session_host=db:5433", "//u:p@db:5433/db"),
        (
            "//u:p@pooler/db?session_host=a,b&sslmode=require",
            "//u:p@a,b/db?sslmode=require&target_session_attrs=read-write",
        ),
        ("//u@/db?host=/run/pooler&port=6432&session_host=/run/db:5433", "//u@/db?host=/run/db&port=5433"),
        ("//u@pooler/db?session_host=/run/db", "//u@/db?host=/run/db"),
    ],
)
def test_the_server_itself_is_reached_as_the_pooler_is_but_for_its_place(url: str, itself: str) -> None:
    read = read_url(f"postgresql:{url}", DEFAULTS)
    assert read.settings.session_url == f"postgresql:{itself}"
    assert "session_host" not in read.for_driver
