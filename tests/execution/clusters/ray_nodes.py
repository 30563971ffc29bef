"""Nodes of Ray for the tests: a head that all processes of the session share, and further ones to be killed."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.sharing import held, shared

__all__ = ["HEAD_SLOTS", "further_node", "shared_head", "undisturbed"]

HEAD_SLOTS = 2
FEWER_PROCESSES = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}


@contextmanager
def shared_head(folder: Path) -> Iterator[str]:
    """Yield the address of the head."""
    token = folder / "ray.token"
    # Without the last one a process of Ray would be the child of a `uv run` when these tests are.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_TOKEN_PATH=str(token), RAY_ENABLE_UV_RUN_RUNTIME_ENV="0")

    def begin(end: ExitStack) -> str:
        from ray.cluster_utils import Cluster

        token.write_text(secrets.token_hex(32))
        os.environ["RAY_TMPDIR"] = place = tempfile.mkdtemp(prefix="ray-", dir=_short_folder())
        end.callback(shutil.rmtree, place, ignore_errors=True)
        quickly = {"health_check_period_ms": 1_000}  # it takes a node for dead after five
        arguments = {"num_cpus": HEAD_SLOTS, "_system_config": quickly, **FEWER_PROCESSES}
        cluster = Cluster(initialize_head=True, head_node_args=arguments)
        end.callback(cluster.shutdown)
        return f"{cluster.address} {place}"

    with shared(folder, "ray", begin) as told:
        address, os.environ["RAY_TMPDIR"] = told.split(" ")
        yield address


@contextmanager
def further_node(head: str) -> Iterator[None]:
    """Add a node with one GPU, as far as Ray knows: an attempt that asks for one runs there, once it has come up."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={head}"]
    room = ["--num-cpus=1", "--num-gpus=1", "--include-log-monitor=False", "--object-store-memory=100000000"]
    with subprocess.Popen([*command, *room], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
        try:
            yield
        finally:
            node.kill()


@contextmanager
def undisturbed(folder: Path) -> Iterator[None]:
    """Keep the tests of other processes from the cluster."""
    with (folder / "ray.test").open("a") as turn, held(turn):
        yield


def _short_folder() -> str:
    """Return a folder for sockets, whose paths are short: that of pytest if it is in memory."""
    return "/dev/shm" if os.environ.get("PYTEST_DEBUG_TEMPROOT") == "/dev/shm" else "/tmp"
