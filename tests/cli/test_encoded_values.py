"""Encoded values on the command line: named where they cannot be read, read where their codecs are named."""

from pathlib import Path

import pytest

from perdure import Context, SyncEngine, workflow
from perdure.codecs import Compression, Encryption, Payloads
from tests.cli.runs import perdure

STORAGE = """
from perdure.codecs import Compression, Encryption, Payloads

payloads = Payloads(Compression(above=10), Encryption({"k": b"k" * 32}))
none = 7
"""


@workflow(name="cli_encoded")
async def echo(_ctx: Context, text: str) -> str:
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "storage.py").write_text(STORAGE)
    payloads = Payloads(Compression(above=10), Encryption({"k": b"k" * 32}))
    with SyncEngine(f"sqlite:///{tmp_path / 'perdure.db'}", payloads=payloads) as engine:
        assert engine.start(echo, "a secret " * 9, id="one").result().startswith("a secret")
    return tmp_path


def test_values_that_cannot_be_read_are_named_by_their_codecs(folder: Path) -> None:
    assert "<encoded: deflate, aes-256-gcm>" in perdure("show", "one", directory=folder).out
    history = perdure("history", "one", directory=folder).out
    assert "input=<encoded: deflate, aes-256-gcm>" in history
    assert "run_completed" in history


def test_values_are_read_with_the_codecs_that_the_environment_names(folder: Path) -> None:
    shown = perdure("show", "one", "--json", directory=folder, PERDURE_PAYLOADS="storage:payloads")
    assert shown.json["result"] == "a secret " * 9


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:payloads", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("storage", "it must look like module:name"),
        ("storage:missing", "that is a NoneType, not a Payloads"),
        ("storage:none", "that is a int, not a Payloads"),
    ],
)
def test_a_wrong_name_is_a_wrong_call(folder: Path, name: str, says: str) -> None:
    ran = perdure("show", "one", directory=folder, PERDURE_PAYLOADS=name)
    assert ran.code == 2
    assert says in ran.err
