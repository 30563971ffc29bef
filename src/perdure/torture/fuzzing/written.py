"""What people write: schedules, times, JSON and URLs on command lines; settings, sources and histories in files."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from functools import cache, partial
from pathlib import Path
from typing import Final

import msgspec

from perdure.cli.database import require_database
from perdure.cli.exits import NoDatabaseError
from perdure.cli.json_values import read_json
from perdure.cli.times import iso, parse_duration, parse_moment, read_moment, show_moment
from perdure.errors import HistoryError, InvalidArgumentError, PayloadError, UsageError
from perdure.kernel.events import RunCompleted, RunCreated
from perdure.kernel.history import RecordedEvent
from perdure.kernel.time import Timestamp, timestamp_from_datetime
from perdure.linting import RULES, Source, lint
from perdure.redaction import masked, redacted
from perdure.stores.opening import open_store
from perdure.testing.history_files import history_text, read_history_file
from perdure.testing.linting import Choice, choice_of_project, lint_paths
from perdure.texts import indented, json_escaped, printable
from perdure.timekeeping.specs import Cron, next_after
from perdure.torture.fuzzing.sampling import samples
from perdure.torture.fuzzing.target import BrokenLawError, Target, demand_equal, text_of

__all__ = ["WRITTEN"]

_NOW: Final = Timestamp(1_767_236_400_000_000)
_ZONE: Final = "\x1e"


def _given(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


_CRONS: Final = (
    "*/5 * * * *", "0 0 29 2 mon#1", "30 5,17 L-2 jan-jun/2 fri#2,monL", "0 0 9 1-31/2 * ?", "@daily", "59 59 23 * * 7",
)  # fmt: skip
_ZONES: Final = ("UTC", "Europe/Berlin", "America/Adak", "Australia/Lord_Howe")


def _read_cron(data: bytes) -> None:
    expression, separator, zone = text_of(data).partition(_ZONE)
    when = Cron(expression, tz=zone if separator else "UTC")
    after = next_after(when, _NOW)
    if after is not None and after <= _NOW:
        raise BrokenLawError(f"the time after {_NOW} is {after}")


def _read_time(data: bytes) -> None:
    text = text_of(data)
    with suppress(InvalidArgumentError):
        parse_duration(text)
    for read in (partial(parse_moment, now=_NOW), partial(read_moment, subject="--at")):
        with suppress(InvalidArgumentError):
            found = read(text)
            at = timestamp_from_datetime(found)
            show_moment(at, now=_NOW)
            demand_equal(read_moment(str(iso(at)), "--at").astimezone(UTC), found)


def _read_json(data: bytes) -> None:
    read_json(text_of(data), "the value")


def _read_url(data: bytes) -> None:
    url = text_of(data)
    printable(open_store(url).location)
    require_database(url)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="perdure-fuzz-")


def _read_settings(data: bytes) -> None:
    file = Path(_folder().name) / "pyproject.toml"
    file.write_bytes(data)
    choice_of_project([file])


def _sources() -> list[bytes]:
    every = [source for rule in RULES.values() for source in (rule.bad, rule.good)]
    allowed = "import time\n\nx = time.time()  # perdure: allow PDR101 it is compared  # noqa: PDR101, E501\n"
    return [source.encode() for source in (*every, allowed, f"# -*- coding: latin-1 -*-\n{allowed}")]


def _read_source(data: bytes) -> None:
    """Check a file in whatever encoding it says to have, and its text if that is none."""
    file = Path(_folder().name) / "file.py"
    file.write_bytes(data)
    try:
        lint_paths([file], choice=Choice())
    except InvalidArgumentError:
        lint([Source(path="file.py", module="file", text=data.decode("utf-8", "replace"))])


def _histories() -> list[bytes]:
    [created, least] = samples(RunCreated)
    closed = RecordedEvent(2, _NOW, RunCompleted(result=created.input))  # type: ignore[attr-defined]
    return [history_text([RecordedEvent(1, _NOW, first), closed]) for first in (created, least)]  # type: ignore[arg-type]


def _read_history(data: bytes) -> None:
    file = Path(_folder().name) / "history.jsonl"
    file.write_bytes(data)
    found = read_history_file(file)
    if found and isinstance(found[0].event, RunCreated):
        file.write_bytes(history_text(found))
        demand_equal(read_history_file(file), found)


_JSON: Final = ("null", '{"a":[1,2.5,"x\\u00e9"]}', '"text"', "-0", "[[[]]]")
_TIMES: Final = ("1h30m", "90s", "7d", "1.5h", "2026-03-01", "2026-03-01T14:30+01:00", "20260301T1430Z")
_URLS: Final = (
    "sqlite:///perdure.db",
    "sqlite:////tmp/a%20b.db",
    "memory:",
    "postgresql://user:word@host:5432,[::1]/name?sslmode=require&schema=shop&lanes=3&connect_timeout=2.5",
    "postgres:///name?host=/run/postgresql&password=word&application_name=shop+worker",
    "",
)
_TOML: Final = ('[tool.perdure.lint]\nselect = ["PDR1"]\nignore = []\nexclude = ["build"]\n', "[tool]\n", "a = [1]\n")


def _show(data: bytes) -> None:
    """Make a text harmless in every way, which must take its time in proportion to its length."""
    text = redacted(data.decode("utf-8", "replace"))
    if not printable(text).isprintable() or not all(printable(line) == line for line in indented(text).split("\n")):
        raise BrokenLawError("what is shown is not printable")
    value = {"text": text}
    demand_equal(msgspec.json.decode(json_escaped(msgspec.json.encode(value).decode())), value)
    masked(value)


_TEXTS: Final = (
    "postgres://u:p@h/db refused password='a b', token=abc", '{"api_key": "x", "n": [1]}', "a-secret: \x1b[2J\u202e\n",
)  # fmt: skip

WRITTEN: Final = (
    Target(name="text", corpus=_given(*_TEXTS), read=_show),
    Target(
        name="cron",
        corpus=_given(*(f"{text}{_ZONE}{zone}" for text in _CRONS for zone in _ZONES)),
        read=_read_cron,
        expected=(InvalidArgumentError,),
    ),
    Target(name="time", corpus=_given(*_TIMES), read=_read_time),
    Target(name="json", corpus=_given(*_JSON), read=_read_json, expected=(InvalidArgumentError, PayloadError)),
    Target(name="url", corpus=_given(*_URLS), read=_read_url, expected=(UsageError, NoDatabaseError)),
    Target(name="settings", corpus=_given(*_TOML), read=_read_settings, expected=(InvalidArgumentError,)),
    Target(name="source", corpus=_sources, read=_read_source),
    Target(name="history-file", corpus=_histories, read=_read_history, expected=(HistoryError,)),
)
