"""Real clusters of this machine: one head of Ray for the session, one cluster of Dask for each of its processes."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import Engine, Settings
from tests.execution.clusters.ray_nodes import shared_head, undisturbed
from tests.execution.conftest import MakeEngine

# As the development dependencies say.
HAS_RAY = sys.version_info < (3, 15) and (sys.platform == "linux" or platform.machine() == "arm64")

OnCluster = Callable[..., Engine]


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of the head of the session's cluster of Ray, which has two slots."""
    if not HAS_RAY:
        pytest.skip("there is no wheel of Ray for this machine")
    with shared_head(_folder(tmp_path_factory)) as address:
        yield address


@pytest.fixture(scope="session")
def ray_connection(ray_head: str) -> Iterator[str]:
    """Connect this process to the head: engines use the connection, and share the processes that it has started."""
    import ray

    ray.init(ray_head, configure_logging=False, log_to_driver=False)
    yield ray_head
    ray.shutdown()


@pytest.fixture
def ray_address(ray_connection: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of the head to one test at a time of all processes: some fill its slots."""
    with undisturbed(_folder(tmp_path_factory)):
        yield ray_connection


@pytest.fixture(scope="session")
def dask_address() -> Iterator[str]:
    """Give the address of a scheduler of Dask with two workers, which are started anew when they die."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:  # type: ignore[no-untyped-call]
        yield cluster.scheduler_address


@pytest.fixture(params=["ray", "dask"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name a kind of cluster."""
    kind: str = request.param
    return kind


@pytest.fixture
def on_cluster(kind: str, request: pytest.FixtureRequest, make_engine: MakeEngine) -> OnCluster:
    """Return a factory of engines that use a cluster of this kind."""
    address = request.getfixturevalue(f"{kind}_address")

    def make(**settings: Any) -> Engine:
        return make_engine(Settings(**{f"{kind}_address": address, "process_stop_seconds": 60.0, **settings}))

    return make


def _folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the session, one for all its processes."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
