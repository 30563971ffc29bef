"""As whom a server runs, and what that user can reach."""

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from perdure.errors import LocalPostgresError
from perdure.local_postgres.accounts import Account, can_reach, server_account

STRANGER = Account(name="stranger", uid=2**31 - 2, gid=2**31 - 2)


@pytest.fixture
def folder(open_folder: Path) -> Path:
    place = open_folder / "outer" / "inner"
    place.mkdir(parents=True)
    for path in (place, place.parent):
        path.chmod(0o755)
    return place


def test_whoever_is_not_root_runs_a_server_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_account() is None


def test_root_hands_the_server_to_postgres_or_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"nobody": SimpleNamespace(pw_uid=2, pw_gid=2), "postgres": SimpleNamespace(pw_uid=1, pw_gid=1)}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", known.__getitem__)
    assert server_account() == Account(name="postgres", uid=1, gid=1)
    del known["postgres"]
    assert server_account() == Account(name="nobody", uid=2, gid=2)
    del known["nobody"]
    with pytest.raises(LocalPostgresError, match="useradd --system postgres"):
        server_account()


def test_a_user_reaches_what_is_open_to_all(folder: Path) -> None:
    assert can_reach(folder, STRANGER)


def test_a_user_does_not_reach_what_lies_in_a_closed_folder(folder: Path) -> None:
    folder.parent.chmod(0o700)
    assert not can_reach(folder, STRANGER)
    assert can_reach(folder, None)


def test_a_folder_that_may_be_entered_and_not_read_is_not_reached(folder: Path) -> None:
    folder.chmod(0o711)
    assert not can_reach(folder, STRANGER)


def test_a_user_reaches_what_is_its_own_or_its_groups(folder: Path) -> None:
    status = folder.stat()
    folder.chmod(0o700)
    assert can_reach(folder, Account(name="owner", uid=status.st_uid, gid=STRANGER.gid))
    folder.chmod(0o750)
    assert can_reach(folder, Account(name="member", uid=STRANGER.uid, gid=status.st_gid))
    folder.chmod(0o705)
    assert not can_reach(folder, Account(name="member", uid=STRANGER.uid, gid=status.st_gid))
