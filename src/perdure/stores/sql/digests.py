"""Digests as statements read them: one that is lost is told from one that there never was."""

from typing import Final, Literal

__all__ = ["SOME_DIGEST", "digest_or_lost"]

SOME_DIGEST: Final = "iif(typeof(digest) IN ('blob', 'null'), digest, x'')"
"""The digest of a row; empty, so that it equals none, where something else stands there."""


def digest_or_lost(table: Literal["history", "inbox"]) -> str:
    """Return the digest of a row as an expression: NULL if an older Perdure wrote the row, empty, so that it equals
    none, if the row came later and its digest is lost. It costs nothing where there is one."""
    return _DIGEST.format(table=table)


_DIGEST: Final = f"""coalesce({SOME_DIGEST}, CASE
    WHEN position > (SELECT value FROM store_meta WHERE name = '{{table}}_without_digests') THEN x''
END)"""  # noqa: S608 - texts of ours
