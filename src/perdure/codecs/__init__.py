"""Codecs: what payloads become on their way into the store, and back: compressed, encrypted, kept elsewhere.

``Engine(url, payloads=Payloads(Compression(), Encryption({"2026-11": key}), blobs=FileBlobs("blobs")))``
"""

from perdure.codecs.compression import Compression
from perdure.codecs.encryption import Encryption
from perdure.codecs.file_blobs import FileBlobs
from perdure.codecs.object_blobs import ObjectBlobs
from perdure.codecs.payloads import Payloads
from perdure.ports.codec import BlobStore, Codec

__all__ = ["BlobStore", "Codec", "Compression", "Encryption", "FileBlobs", "ObjectBlobs", "Payloads"]
