"""However a process ends that started a server, the server ends, and what it had is gone."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from perdure.local_postgres import supervisor

PROGRAM = Path(__file__).with_name("leaving.py")
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Left:
    """A process that started a server; `ends` are files that are readable when server and supervisor are gone."""

    process: subprocess.Popen[str]
    server: int
    supervisor: int
    forked: int
    folder: Path
    ends: dict[int, int]

    def has_gone(self, pid: int) -> bool:
        return bool(select.select([self.ends[pid]], [], [], PATIENCE_SECONDS)[0])

    def is_there(self, pid: int) -> bool:
        return not select.select([self.ends[pid]], [], [], 0)[0]


@contextmanager
def left(how: str, kept: Path | None = None) -> Iterator[Left]:
    command = [sys.executable, str(PROGRAM), how, str(kept or "")]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        stack.callback(shutil.rmtree, said["folder"], ignore_errors=True)
        ends = {pid: os.pidfd_open(pid) for pid in (said["server"], said["supervisor"])}
        for file in ends.values():
            stack.callback(os.close, file)
        if said["forked"]:
            stack.callback(os.kill, said["forked"], signal.SIGKILL)
        one = Left(
            process=process,
            server=said["server"],
            supervisor=said["supervisor"],
            forked=said["forked"],
            folder=Path(said["folder"]),
            ends=ends,
        )
        try:
            yield one
        finally:
            process.kill()
            assert one.has_gone(one.server)
            assert one.has_gone(one.supervisor)


@pytest.fixture(scope="module")
def kept() -> Iterator[Path]:
    """A cluster on which one server after the other is left: to make one takes longer than all the rest."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-", dir="/tmp")).resolve()
    folder.chmod(0o755)
    yield folder / "kept"
    shutil.rmtree(folder)


def assert_nothing_is_left(one: Left) -> None:
    assert one.has_gone(one.server)
    assert one.has_gone(one.supervisor)
    assert not one.folder.exists()


def test_a_killed_process_leaves_no_server() -> None:
    with left("and waits") as one:
        one.process.kill()
        assert_nothing_is_left(one)


def test_a_server_outlives_the_thread_that_started_it_and_not_the_process(kept: Path) -> None:
    with left("in a thread that ends", kept) as one:
        assert one.is_there(one.server)
        one.process.kill()
        assert_nothing_is_left(one)


def test_a_killed_process_leaves_no_server_though_a_child_of_it_lives(kept: Path) -> None:
    with left("with a forked child", kept) as one:
        one.process.kill()
        assert_nothing_is_left(one)
        os.kill(one.forked, 0)


def test_a_process_that_stops_its_server_need_not_wait_for_a_child_of_it(kept: Path) -> None:
    with left("with a forked child", kept) as one:
        assert one.process.stdin is not None
        assert one.process.stdout is not None
        one.process.stdin.close()
        assert one.process.stdout.readline() == "False\n"
        os.kill(one.forked, 0)


def test_a_process_that_returns_without_stopping_it_leaves_no_server(kept: Path) -> None:
    with left("and returns", kept) as one:
        assert_nothing_is_left(one)


def test_an_interrupt_from_the_terminal_leaves_no_server(kept: Path) -> None:
    with left("and waits", kept) as one:
        os.killpg(one.process.pid, signal.SIGINT)
        assert_nothing_is_left(one)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_a_server_whose_supervisor_is_killed_ends_and_its_folder_goes_when_it_is_stopped(kept: Path) -> None:
    with left("and waits", kept) as one:
        os.kill(one.supervisor, signal.SIGKILL)
        assert one.has_gone(one.server)
        assert one.process.stdin is not None
        assert one.process.stdout is not None
        one.process.stdin.close()
        assert one.process.stdout.readline() == "False\n"


def test_a_killed_server_leaves_no_folder(kept: Path) -> None:
    with left("and waits", kept) as one:
        os.kill(one.server, signal.SIGKILL)
        assert_nothing_is_left(one)


def carried_out(folder: Path, *commands: list[str], parent: int | None = None) -> subprocess.Popen[bytes]:
    folder.mkdir()
    order = supervisor.Order(
        parent=parent or os.getpid(), folder=str(folder), uid=None, gid=None, commands=list(commands)
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(order)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_commands_run_one_after_the_other_until_one_fails(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with carried_out(folder, ["touch", str(tmp_path / "first")], ["false"], ["touch", str(tmp_path / "second")]) as ran:
        assert ran.wait() == 1
    assert (tmp_path / "first").exists()
    assert not (tmp_path / "second").exists()
    assert not folder.exists()


def test_a_process_that_had_gone_before_gets_no_server(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    with carried_out(folder, ["sleep", "600"], parent=gone.pid) as ran:
        assert ran.wait(PATIENCE_SECONDS) == signal.SIGINT
    assert not folder.exists()


def test_a_word_ends_what_runs_be_it_the_first_command(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with carried_out(folder, ["sleep", "600"], ["touch", str(tmp_path / "second")]) as ran:
        ran.communicate(b"stop", timeout=PATIENCE_SECONDS)
        assert ran.returncode == signal.SIGINT
    assert not (tmp_path / "second").exists()
    assert not folder.exists()


def test_signals_that_a_terminal_sends_to_all_end_nothing(tmp_path: Path) -> None:
    with carried_out(tmp_path / "folder", ["sh", "-c", "echo begun >&2; exec sleep 600"]) as ran:
        assert ran.stderr is not None
        assert ran.stderr.readline() == b"begun\n"
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            ran.send_signal(number)
        ran.communicate(b"stop", timeout=PATIENCE_SECONDS)
        assert ran.returncode == signal.SIGINT  # what the supervisor sent to the command
