"""As whom the server runs. PostgreSQL refuses root; whoever is not root runs it as himself.

Root never writes where the server's user could have laid a link: what is that user's lies in folders that root makes.
"""

import contextlib
import os
import pwd
from pathlib import Path
from typing import Final

import msgspec

from perdure.errors import LocalPostgresError

__all__ = ["Account", "can_reach", "folder_for", "give", "open_to", "server_account"]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user of this machine to whom root hands the server."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """Return who runs the server in root's place, or None: whoever runs this. Raises LocalPostgresError."""
    if os.geteuid() != 0:
        return None
    for name in _NAMES:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise LocalPostgresError(
        f"PostgreSQL refuses to run as root, and this machine has no user {' or '.join(_NAMES)}: "
        "make one (useradd --system postgres), or run this as another user"
    )


def folder_for(account: Account | None, folder: Path) -> Path:
    """Make a folder that only the account can enter, where there is none; return it."""
    if not folder.exists():
        folder.mkdir(mode=0o700)
        give(folder, account)
    return folder


def open_to(account: Account | None, folder: Path) -> None:
    """Let the account pass through a folder of root's; others may, too, and find what only the account can enter."""
    folder.chmod(0o700 if account is None else 0o711)


def give(path: Path, account: Account | None) -> None:
    """Make a file or a folder, with all in it, the account's: from within, so that it cannot enter before the end."""
    if account is None:
        return
    for place, folders, files in os.walk(path, topdown=False):
        for name in (*folders, *files):
            os.chown(Path(place, name), account.uid, account.gid, follow_symlinks=False)
    os.chown(path, account.uid, account.gid, follow_symlinks=False)


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether the account may read and execute (for a folder: list and enter) `path`, by the modes of the files.

    It may always do so where it is None: what else is in the way the server itself says best.
    """
    if account is None:
        return True
    path = path.resolve()
    return _allows(path, 0o5, account) and all(_allows(parent, 0o1, account) for parent in path.parents)


def _allows(path: Path, bits: int, account: Account) -> bool:
    status = path.stat()
    shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
    return (status.st_mode >> shift) & bits == bits


_NAMES: Final = ("postgres", "nobody")
