"""Connections that are encrypted, to a server with a certificate of its own, and with certificates of clients."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from perdure.errors import StoreUnavailableError
from perdure.kernel.transition import Applied
from perdure.local_postgres import LocalPostgres
from perdure.local_postgres.accounts import give, server_account
from perdure.stores.opening import open_store
from perdure.testing.store_conformance.harness import LEASE_SECONDS, creation

RULES: Final = """
local all postgres trust
hostssl all postgres 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
"""
"""Who comes how: nobody without encryption over the network."""


class Signed(NamedTuple):
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def save(self, folder: Path, name: str) -> None:
        (folder / f"{name}.crt").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key = folder / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def signed(name: str, by: Signed | None = None, *, address: str = "") -> Signed:
    """Make a certificate, signed by an authority, or by itself as one."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if address:
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
        builder = builder.add_extension(names, critical=False)
    return Signed(builder.sign(key if by is None else by.key, SHA256()), key)


class Encrypted(NamedTuple):
    """A server that is reached with encryption only, and the folder of certificates."""

    url: str
    folder: Path

    def asking(self, query: str, *, host: str = "127.0.0.1", user: str = "") -> str:
        """Return the URL with more in its query, in which `{}` stands for the folder."""
        url = self.url.replace("127.0.0.1", host)
        if user:
            url = f"postgresql://{user}@{url.rpartition('@')[2]}"
        return f"{url}{'&' if '?' in url else '?'}{query.format(*[self.folder] * query.count('{}'))}"


@pytest.fixture(scope="module")
def server() -> Iterator[Encrypted]:
    """Give a server with a certificate for its address, of the system's own PostgreSQL: that of PyPI has no OpenSSL."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-test-", dir="/tmp"))
    folder.chmod(0o755)
    authority = signed("authority")
    authority.save(folder, "authority")
    signed("another authority").save(folder, "another")
    signed("server", authority, address="127.0.0.1").save(folder, "server")
    signed("certified", authority).save(folder, "client")
    signed("somebody else", authority).save(folder, "else")
    for name in ("server.crt", "server.key", "authority.crt"):
        give(folder / name, server_account())
    settings = {
        "ssl": "on",
        "ssl_cert_file": f"{folder}/server.crt",
        "ssl_key_file": f"{folder}/server.key",
        "ssl_ca_file": f"{folder}/authority.crt",
    }
    try:
        with LocalPostgres(tcp=True, settings=settings, binaries=with_openssl()) as running:
            with asyncio.Runner() as runner:
                runner.run(demand_encryption(running.url()))
            yield Encrypted(running.url(), folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
async def nothing_is_open_at_the_end() -> AsyncIterator[None]:
    yield
    await until_all_have_ended()


async def until_all_have_ended() -> None:
    """Return when the loop has no socket any more but its own: an encrypted connection says good-bye for a while."""
    sockets = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]
    async with asyncio.timeout(10):
        while len(sockets) > 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def demand_encryption(url: str) -> None:
    """Let nobody in without encryption, and return when that is so."""
    connection = await asyncpg.connect(url)
    Path(await connection.fetchval("SHOW hba_file")).write_text(RULES)  # noqa: ASYNC240 - a few lines
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    async with asyncio.timeout(10):
        with suppress(asyncpg.InvalidAuthorizationSpecificationError):  # which is what is waited for
            while True:
                await (await asyncpg.connect(url, ssl=False)).close()
    await until_all_have_ended()


def with_openssl() -> Path:
    """Return the folder of a server that can encrypt."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    reason = "no PostgreSQL with OpenSSL: the system has none, as Debian's package postgresql. Encryption is not tested"
    pytest.skip(reason)


async def encryption_of(url: str) -> str:
    """Open a store, which writes something, and return how its connection is encrypted."""
    store = open_store(url)
    await store.open(session_name="store", lease_seconds=LEASE_SECONDS, on_changes=lambda _: None)
    try:
        run = creation(store.new_run_key(), f"run {store.new_run_key()}")
        assert await store.commit([run]) == [Applied(run.run_key)]
        return (await store.status()).facts["encryption"]
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("host", "query"),
    [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={}/authority.crt"),
        ("localhost", "sslmode=verify-ca&sslrootcert={}/authority.crt"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", ""),
    ],
)
async def test_a_connection_is_encrypted(server: Encrypted, host: str, query: str) -> None:
    assert await encryption_of(server.asking(query, host=host)) == "TLSv1.3"


@pytest.mark.parametrize(
    ("host", "query", "reason"),
    [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={}/another.crt", "certificate verify failed.* Check sslmode"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={}/another.crt", "certificate verify failed.* Check sslmode"),
        ("localhost", "sslmode=verify-full&sslrootcert={}/authority.crt", "certificate is not valid for 'localhost'"),
        ("127.0.0.1", "sslmode=disable", "no encryption"),
    ],
)
async def test_a_server_that_is_not_the_one_that_is_meant_gets_no_password(
    server: Encrypted, host: str, query: str, reason: str
) -> None:
    with pytest.raises(StoreUnavailableError, match=reason) as refused:
        await encryption_of(server.asking(query, host=host))
    password = urlsplit(server.url).password
    assert password
    assert password not in str(refused.value)


async def test_a_certificate_of_ones_own_takes_the_place_of_a_password(server: Encrypted) -> None:
    role = "CREATE ROLE certified LOGIN; GRANT CREATE ON DATABASE postgres TO certified"
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(role)
    finally:
        await connection.close()
    asked = "sslmode=verify-full&sslrootcert={}/authority.crt&schema=certified"
    own = f"{asked}&sslcert={{}}/client.crt&sslkey={{}}/client.key"
    assert await encryption_of(server.asking(own, user="certified")) == "TLSv1.3"
    for query in (asked, own.replace("client", "else")):
        with pytest.raises(StoreUnavailableError, match=r"authentication failed|valid client certificate"):
            await encryption_of(server.asking(query, user="certified"))
