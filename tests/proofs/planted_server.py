"""What makes a database of a PostgreSQL server not work."""

from typing import Final

from tests.proofs.defect import Defect

__all__ = ["SERVER"]

SERVER: Final[dict[str, tuple[Defect, ...]]] = {
    "url.settings": (
        Defect("stores.postgres.urls", "if name not in _OWN]", "]"),
        Defect("stores.opening", "lock_seconds=patience,", ""),
    ),
    "url.hosts": (Defect("stores.postgres.urls", 'return "," in (parts', 'return ";" in (parts'),),
    "url.password": (
        Defect("stores.postgres.urls", 'if rest.count("@") > len(at):', "if False:"),
        Defect("stores.postgres.urls", 'scheme="postgresql", user=""', 'scheme="postgresql"'),
    ),
    "url.schema": (Defect("stores.postgres.home", "crc32(schema.encode())", "crc32(b'')"),),
    "server.suitable": (
        Defect("stores.postgres.opening", 'if row["path"] !=', 'if not row["path"] and row["path"] !='),
        Defect("stores.postgres.opening", 'if row["version"] < _OLDEST_VERSION:', "if False:"),
        Defect("stores.postgres.opening", 'if row["encoding"] != "UTF8":', "if False:"),
    ),
    "server.rights": (
        Defect("stores.postgres.schema", "if not await connection.fetchval(_IS_THERE, schema):", "if True:"),
    ),
    "server.connections.end": (
        Defect("stores.postgres.faults", "return is_lost(error) and not isinstance(error, OSError)", "return False"),
    ),
    "server.verify.repair": (Defect("stores.postgres.store", "if wish.repairs or wish.quarantines:", "if False:"),),
    "server.doctor": (Defect("cli.server_examination", 'if status.facts[name] == "off":', "if False:"),),
}
