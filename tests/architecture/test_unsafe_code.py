"""Shipped code never turns data into code, nor a text into a command (docs/design/security.md)."""

import ast

import pytest

from tests.architecture.repository import PACKAGE, SOURCE, parsed, python_files, relative
from tests.architecture.unsafe_code import ALLOWED, unsafe_code


def test_shipped_code_never_turns_data_into_code() -> None:
    assert [finding for path in python_files(SOURCE) for finding in unsafe_code(path, parsed(path))] == []


def test_what_is_allowed_is_used_and_has_a_reason() -> None:
    findings = (finding for path in python_files(SOURCE) for finding in unsafe_code(path, parsed(path), allowed=()))
    used = {(place.partition(":")[0], name) for place, name, *_ in map(str.split, findings)}
    assert ALLOWED.keys() - used == set()
    assert [place for place, reason in ALLOWED.items() if len(reason.split()) < 4] == []


def test_every_logger_of_perdure_is_made_harmless() -> None:
    made = {relative(path) for path in python_files(SOURCE) if "logging.getLogger(" in path.read_text("utf-8")}
    assert made - LOOKED_AT == {"src/perdure/logs.py"}


LOOKED_AT = {"src/perdure/linting/rules.py"}
"""Where it stands in examples of what workflows must not do."""


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as data",
        "from pickle import loads as read",
        "import os\nimport marshal",
        "from shelve import open as kept",
        "import dill",
        "import cloudpickle",
        "import yaml\nyaml.load(text)",
        "from yaml import safe_load",
        "eval('1')",
        "exec(text)",
        "list(map(eval, texts))",
        "import builtins\nbuiltins.eval('1')",
        "compile(text, 'file', 'exec')",
        "__import__(name)",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as load\nload(name)",
        "from importlib.util import spec_from_file_location",
        "import runpy",
        "from types import FunctionType",
        "import ctypes",
        "import os\nos.system('ls')",
        "from os import system as run\nrun('ls')",
        "import os\nos.execvp('ls', [])",
        "import os as o\no.popen('ls')",
        "import subprocess\nsubprocess.run(command)",
        "from subprocess import check_output",
        "import asyncio\nasyncio.create_subprocess_shell(text)",
        "start(command, shell=True)",
        "start(command, shell=asked)",
        "import multiprocessing\nmultiprocessing.Pipe()",
        "import multiprocessing\nqueue = multiprocessing.Queue()",
        "from multiprocessing.connection import Client",
        "from multiprocessing import shared_memory, managers",
        "from concurrent.futures import ProcessPoolExecutor",
        "import logging.config",
        "import tempfile\ntempfile.mktemp()",
        "from tempfile import mktemp",
        "import hashlib\nhashlib.md5(data)",
        "from hashlib import sha1",
        "import hashlib\nhashlib.new(name)",
        "import xml.etree.ElementTree as ET",
        "from xml.dom import minidom",
        "from lxml import etree",
        "import ssl\nssl.CERT_NONE",
        "def f():\n    assert token == expected",
        "assert path.startswith(folder)",
        "assert isinstance(value, int) and value < limit",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert unsafe_code(PACKAGE / "example.py", ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('a')",
        "from importlib.metadata import version",
        "import subprocess_like",
        "import hashlib\nhashlib.sha256(data)",
        "import tempfile\ntempfile.mkdtemp()",
        "start(command, shell=False)",
        "self.exec(order)",
        "compiled.eval",
        "def compile_rules(): ...",
        "assert found is not None",
        "assert isinstance(value, int), 'the loop makes it'",
        "from concurrent.futures import ThreadPoolExecutor",
        "from .pickle import jar",
    ],
)
def test_the_check_allows(source: str) -> None:
    assert unsafe_code(PACKAGE / "example.py", ast.parse(source)) == []
