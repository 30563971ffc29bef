"""The breakages of payload codecs; see `planted`."""

from typing import Final

from tests.proofs.defect import Defect

__all__ = ["PAYLOADS"]

PAYLOADS: Final[dict[str, tuple[Defect, ...]]] = {
    "Payloads": (Defect("codecs.payloads", "            if encoded is not None:\n", "            if False:\n"),),
    "Payloads.blobs": (Defect("codecs.jobs", "if len(data) > payloads.blobs_above]", "if False]"),),
    "Payloads.maximum_bytes": (Defect("engine", "if self._payloads is not None:", "if False:"),),
    "Compression": (
        Defect("codecs.compression", "if len(encoded) * 5 < len(data) * 4 else None", "if False else None"),
    ),
    "Encryption": (Defect("codecs.encryption", 'f"perdure/1/{key}/{place}"', 'f"perdure/1/{key}"'),),
    "Encryption.active": (
        Defect("codecs.encryption", "list(keys)[-1] if active is None else active", "list(keys)[-1]"),
    ),
    "FileBlobs": (Defect("codecs.file_blobs", "        require_content(data, name=name, where=self._folder)\n", ""),),
    "ObjectBlobs": (
        Defect("codecs.object_blobs", "        require_content(data, name=name, where=self._store)\n", ""),
    ),
}
