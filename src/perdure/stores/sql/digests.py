"""Digests as statements read them: one that is lost is told from one that there never was."""

from typing import Final, Literal

__all__ = ["digest_or_lost"]


def digest_or_lost(table: Literal["history", "inbox"]) -> str:
    """Return the digest of a row as an expression: NULL if an older Perdure wrote the row, empty, so that it equals
    none, if the row came later and its digest is lost. It costs nothing where there is one."""
    return _DIGEST.format(table=table)


_DIGEST: Final = """coalesce(digest, CASE
    WHEN position > (SELECT value FROM store_meta WHERE name = '{table}_without_digests') THEN x''
END)"""
