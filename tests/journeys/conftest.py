"""Engines on every store, for tests that live a run from its start to its end."""

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


@pytest.fixture(params=["memory", "sqlite", "sqlite through codecs"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> MakeEngine:
    """Return a factory of engines that all open the same database."""
    database = MemoryDatabase()

    def make(
        settings: Settings | None = None,
        *,
        works: bool = True,
        name: str = "worker",
        registry: Registry | None = None,
    ) -> Engine:
        store: RunStore
        if request.param == "memory":
            store = MemoryStore(database)
        else:
            store = open_store(f"sqlite:///{tmp_path / 'runs.db'}", settings=settings or Settings())
        payloads = PAYLOADS if request.param.endswith("codecs") else None
        return Engine(store, settings=settings, works=works, name=name, registry=registry, payloads=payloads)

    return make
