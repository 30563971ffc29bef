"""Shipped code never turns data into code, nor a text into a command (docs/design/security.md)."""

import ast
from functools import cache

import pytest

from tests.architecture.repository import PACKAGE, SOURCE, parsed, python_files
from tests.architecture.unsafe_code import ALLOWED, unsafe_code


@cache
def findings() -> dict[str, tuple[str, str]]:
    """Return finding -> (file, name), of all that would have to be allowed."""
    found = (each for path in python_files(SOURCE) for each in unsafe_code(path, parsed(path), allowed=()))
    return {each: (each.partition(":")[0], each.split()[1]) for each in found}


def test_shipped_code_never_turns_data_into_code() -> None:
    assert [finding for finding, place in findings().items() if place not in ALLOWED] == []


def test_what_is_allowed_is_used_and_has_a_reason() -> None:
    assert ALLOWED.keys() - findings().values() == set()
    assert [place for place, reason in ALLOWED.items() if len(reason.split()) < 4] == []


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
        "import builtins\ngetattr(builtins, 'eval')(text)",
        "import builtins\ngetattr(builtins, 'ev' + 'al')(text)",
        "import builtins as b\nvars(b)['eval'](text)",
        "__builtins__['eval'](text)",
        "f.__globals__['__builtins__']",
        "().__class__.__base__.__subclasses__()",
        "import os\ngetattr(os, name)('ls')",
        "import os\ngetattr(os, 'system')('ls')",
        "import os\no = os\no.system('ls')",
        "import os\nos.__dict__['system']('ls')",
        "import sys\nsys.modules['os'].system('ls')",
        "import os as o\no.system('ls')\nimport json as o",
        "from os import *\nsystem('ls')",
        "import posix\nposix.system('ls')",
        "import importlib as il\nil.import_module(name)",
        "import importlib\nload = importlib\nload.import_module(name)",
        "import importlib.util\nimportlib.util.find_spec(name)",
        "import _pickle\n_pickle.loads(data)",
        "import numpy\nnumpy.load(file, allow_pickle=True)",
        "read(file, allow_pickle=True)",
        "from multiprocessing.reduction import ForkingPickler",
        "from multiprocessing import Pool",
        "import multiprocessing.pool as workers\nworkers.Pool()",
        "import multiprocessing as mp\nmp.Manager().dict()",
        "class A:\n    def __reduce__(self): ...\nA.__reduce__",
        "import timeit\ntimeit.timeit(text)",
        "import inspect\ninspect.signature(f, eval_str=True)",
        "import typing\ntyping.get_type_hints(found)",
        "connection.load_extension(path)",
        "connection.enable_load_extension(True)",
        "loop.subprocess_exec(protocol, text)",
        "from asyncio.subprocess import create_subprocess_exec",
        "import tarfile\ntarfile.open(path).extractall()",
        "import shutil\nshutil.unpack_archive(path)",
        "import logging\nlogging.getLogger('perdure.x')",
        "from logging import getLogger",
        "import logging\nlogging.warning(text)",
        "import logging\nlogging.Logger('x').warning(text)",
        "import shutil\nshutil.os.system('ls')",
        "import pathlib\npathlib.os.system('ls')",
        "from shutil import os as o\no.system('ls')",
        "import xmlless.sys\nxmlless.sys.path",
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
        "import fcntl\nfcntl is None",
        "import os\nhasattr(os, 'fork')",
        "import os.path\nos.path.join('a')",
        "import words\nwords.osmosis",
        "import signal\ngetattr(signal, 'SIGKILL', None)",
        "import builtins\nbuiltins.type",
        "def compile_rules(): ...",
        "assert found is not None",
        "assert isinstance(value, int), 'the loop makes it'",
        "from concurrent.futures import ThreadPoolExecutor",
        "from .pickle import jar",
    ],
)
def test_the_check_allows(source: str) -> None:
    assert unsafe_code(PACKAGE / "example.py", ast.parse(source)) == []
