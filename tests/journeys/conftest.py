"""Engines on every store, for tests that live a run from its start to its end."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Engine, Settings
from perdure.authoring.registry import Registry
from perdure.codecs import Compression, Encryption, Payloads
from perdure.ports.store import RunStore
from perdure.stores.memory import MemoryDatabase, MemoryStore
from perdure.stores.opening import open_store

MakeEngine = Callable[..., Engine]
PAYLOADS = Payloads(Compression(above=20), Encryption({"test": Encryption.new_key()}))


STORES = ("memory", "sqlite", "sqlite through codecs")
ON_POSTGRES = frozenset(
    {
        "test_activities",
        "test_codeless",
        "test_continuing",
        "test_endings",
        "test_keyed_starts",
        "test_laws",
        "test_locks",
        "test_parents",
        "test_placement",
        "test_queues",
        "test_schedules",
        "test_sharing",
        "test_signal_order",
        "test_unbegun_tasks",
        "test_updates",
        "test_workflows",
    }
)
"""The journeys that are made on a server, too: those that ask most of a store, for each takes a quarter of a second.
With PERDURE_JOURNEYS=all in the environment all are."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make each journey on every store that it is meant for."""
    if "make_engine" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        is_on_postgres = module in ON_POSTGRES or os.environ.get("PERDURE_JOURNEYS") == "all"
        metafunc.parametrize("make_engine", (*STORES, *["postgres"] * is_on_postgres), indirect=True)


@pytest.fixture
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> MakeEngine:
    """Return a factory of engines that all open the same database."""
    database = MemoryDatabase()
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("emptied_postgres")

    def make(
        settings: Settings | None = None,
        *,
        works: bool = True,
        name: str = "worker",
        registry: Registry | None = None,
        payloads: Payloads | None = None,
    ) -> Engine:
        store: RunStore = MemoryStore(database) if request.param == "memory" else open_store(url, settings=settings)
        passed = payloads or (PAYLOADS if request.param.endswith("codecs") else None)
        return Engine(store, settings=settings, works=works, name=name, registry=registry, payloads=passed)

    return make
