"""Hostile texts in every place, through every output: nothing is obeyed, forged or executed, and JSON comes back."""

import asyncio
import contextlib
import copy
import functools
import io
import json
import logging
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import Context, Cron, Debounce, Engine, Retry, Signal, Stream, activity, workflow
from perdure.cli import application, row_securing
from perdure.cli.annotations import Annotation, as_github, as_ruff, as_sarif
from perdure.cli.application import make_application, run_command_line
from perdure.cli.printing import complain
from perdure.client.handle import Run
from perdure.codecs import FileBlobs, Payloads
from perdure.errors import InvalidArgumentError
from perdure.kernel.events import ActivityFailed
from perdure.kernel.history import RecordedEvent
from perdure.kernel.tasks import LONGEST_QUEUE_NAME
from perdure.ports.tasks import Serving
from perdure.redaction import masked
from perdure.stores.postgres.row_security import RowSecurity
from perdure.stores.sqlite.store import SqliteStore
from perdure.testing.history_files import read_history_file
from perdure.texts import printable
from tests.architecture.repository import PACKAGE, python_files, relative
from tests.hostile.outputs import COMMANDS, MARKUP
from tests.hostile.texts import TEXTS, UNRECORDABLE, assert_harmless, assert_harmless_json

NAMES = tuple(text for text in TEXTS if text)
AT_ONCE = 40
SHARE = 5
"""Each command gets one of so many texts, each of another length of its name others: all pass through `complain`."""
FEW_ON_A_LINE = 8
GROUPS = tuple(NAMES[at : at + AT_ONCE] for at in range(0, len(NAMES), AT_ONCE))
GO_ON = Signal("go on", int)


@activity(name="hostile.raise", retry=Retry.never())
async def raising(text: str) -> None:
    raise ValueError(text)


@workflow(name="hostile.everything")
async def everything(ctx: Context, texts: list[str]) -> None:
    """Put each text wherever a run can hold one, call activities of these names, and wait."""
    for text in texts:
        async with ctx.stage(text):
            ctx.set(text, text)
            ctx.publish(Stream(text, str), text)
            ctx.trace_event(text, **{text: text})
        with contextlib.suppress(Exception):
            await raising(text)
    for text in texts:
        await ctx.lock(text).__aenter__()
    await asyncio.gather(
        ctx.wait_for(GO_ON),
        *(named(raising, text)(text) for text in texts),
        *(far.options(queue=text[:LONGEST_QUEUE_NAME])() for text in texts),
    )


@activity(name="hostile.far")
async def far() -> None: ...


@workflow(name="hostile.waits")
async def waits(ctx: Context) -> None:
    await ctx.wait_for(GO_ON)


def test_there_are_hundreds_of_texts() -> None:
    assert len(TEXTS) >= 300
    assert len(TEXTS) == len(set(TEXTS))


# --- a database that holds them all ----------------------------------------------------------------------------------


def named(definition: Any, name: str) -> Any:
    """Return a definition under another name, which no registry holds."""
    twin = copy.copy(definition)
    object.__setattr__(twin, "name", name)
    return twin


async def fill(url: str) -> None:
    async with Engine(url, works=False) as engine:
        for text in NAMES:
            labels = {text: text}
            await engine.start(named(waits, text), id=text, tenant=text, labels=labels, request_id=text)
            await engine.start(waits, debounce=Debounce(text, wait=timedelta(hours=1)))
            await engine.schedules.create(text, waits, when=Cron("@yearly"), note=text, labels=labels)
    async with Engine(url) as engine:
        for number, texts in enumerate(GROUPS):
            run = await engine.start(everything, list(texts), id=f"everything-{number}")
            await until_it_holds(run, locks=len(texts))


async def until_it_holds(run: Run[Any], *, locks: int) -> None:
    """Wait until a run holds so many locks, and has as many tasks in queues."""
    granted = queued = 0
    async for recorded in run.watch():
        granted += recorded.type == "lock_acquired"
        queued += recorded.type == "activity_deferred"
        if granted == queued == locks:
            return


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "perdure.db"
    asyncio.run(fill(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="module", autouse=True)
def _one_parser() -> Iterator[None]:
    """Make the parser once for all calls in this process: that takes longer than most commands do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "make_application", functools.cache(make_application))
        yield


def called(*arguments: str) -> tuple[int, str, str]:
    """Call the command line in this process; return its status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command_line(arguments)
    assert_harmless(err.getvalue())
    assert "Traceback" not in err.getvalue()
    return code, out.getvalue(), err.getvalue()


def read(database: Path, *arguments: str) -> str:
    code, out, err = called(*arguments, "--db", f"sqlite:///{database}")
    assert (code, err) == (0, "")
    assert_harmless(out)
    return out


def values_of(history: list[RecordedEvent]) -> list[object]:
    """Return what events say, whatever the form of their JSON."""
    return [(each.type, msgspec.json.decode(msgspec.json.encode(each.event))) for each in history]


def read_json(database: Path, *arguments: str) -> Any:
    return assert_harmless_json(read(database, *arguments, "--json"))


# --- tables and reports ----------------------------------------------------------------------------------------------


def test_a_list_has_one_line_for_each_run_and_its_json_has_their_texts(database: Path) -> None:
    everything = ("list", "--limit", "1000")
    lines = read(database, *everything).splitlines()
    assert len(lines) == 1 + len(NAMES) + len(GROUPS)
    runs = [run for run in read_json(database, *everything)["runs"] if run["labels"]]
    assert {run["id"] for run in runs} == set(NAMES)
    for run in runs:
        assert (run["workflow"], run["tenant"]) == (run["id"], run["id"])
        assert run["labels"] == masked({run["id"]: run["id"]})


@pytest.mark.parametrize("number", range(len(GROUPS)))
def test_a_run_that_holds_all_kinds_of_texts_is_shown_line_by_line(database: Path, number: int) -> None:
    run_id, texts = f"everything-{number}", GROUPS[number]
    lines = read(database, "show", run_id).splitlines()
    held = [line for line in lines if re.search(r" held +\d", line)]
    assert len(held) == len(texts)
    assert all(any(line.startswith(printable(text)) for line in held) for text in texts)
    report = read_json(database, "show", run_id)
    assert report["state"] == masked({text: text for text in texts})
    assert {lock["key"] for lock in report["locks"]} == set(texts)
    assert {pending["activity"] for pending in report["activities"]["pending"]} == {*texts, far.name}


@pytest.mark.parametrize("number", range(len(GROUPS)))
def test_a_history_has_one_line_for_each_event_and_can_be_read_back(
    database: Path, number: int, tmp_path: Path
) -> None:
    run_id, file = f"everything-{number}", tmp_path / "history.jsonl"
    lines = read(database, "history", run_id).splitlines()
    records = [assert_harmless_json(line) for line in read(database, "history", run_id, "--json").splitlines()]
    assert len(lines) == 1 + len(records)
    read(database, "history", run_id, "--export", str(file))
    events = read_history_file(file)
    printed = tmp_path / "printed.jsonl"
    printed.write_text("\n".join(map(json.dumps, records)))
    assert values_of(read_history_file(printed)) == values_of(events)
    raised = [each.event.failure.message for each in events if isinstance(each.event, ActivityFailed)]
    assert raised == list(GROUPS[number])


@pytest.mark.parametrize(
    ("arguments", "name", "of"),
    [
        (("schedules", "list"), "schedules", "id"),
        (("waiting",), "waiting", "key"),
        (("locks", "--limit", "1000"), "locks", "key"),
        (("tasks", "--limit", "1000"), "tasks", "queue"),
    ],
)
def test_other_lists_have_one_line_for_each_entry(
    database: Path, arguments: tuple[str, ...], name: str, of: str
) -> None:
    entries = read_json(database, *arguments)[name]
    longest = LONGEST_QUEUE_NAME if of == "queue" else None
    assert {entry[of] for entry in entries} == {text[:longest] for text in NAMES}
    assert len(read(database, *arguments).splitlines()) == 1 + len(entries)


async def test_what_workers_announce_has_one_line_for_each(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    groups = [NAMES[at : at + FEW_ON_A_LINE] for at in range(0, len(NAMES), FEW_ON_A_LINE)]
    stores = [SqliteStore(path) for _ in groups]
    for store, texts in zip(stores, groups, strict=True):
        await store.open(session_name=texts[0], lease_seconds=60.0, on_changes=lambda _: None)
        await store.announce(
            Serving(queues=texts, labels=dict(zip(texts, texts, strict=True)), room={texts[0]: 1}, code=texts[0])
        )
    found = await asyncio.to_thread(read_json, path, "workers")
    assert {queue for worker in found["workers"] for queue in worker["queues"]} == set(NAMES)
    lines = (await asyncio.to_thread(read, path, "workers")).splitlines()
    assert sum(line.endswith(" left") for line in lines) == len(groups)  # wide cells go on in the next line
    for store in stores:
        await store.close()


def test_the_doctor_and_commands_in_bulk_forge_nothing(database: Path) -> None:
    assert {check["verdict"] for check in read_json(database, "doctor")["checks"]} <= {"ok", "warn"}
    read(database, "doctor")
    assert read_json(database, "verify")["is_sound"] is True
    read(database, "verify")
    read(database, "bulk", "cancel", "--dry-run")


def test_runs_of_all_names_are_exported_and_taken_in_elsewhere(database: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "runs.jsonl.gz", tmp_path / "other.db"
    read(database, "export", "--to", str(file))
    taking = ("import", str(file), "--open", "--db", f"sqlite:///{other}")
    _, out, _ = called(*taking, "--json")
    report: Any = assert_harmless_json(out)
    assert (report["imported"], report["refused"]) == (len(NAMES), len(GROUPS))  # those that hold locks stay
    _, out, _ = called(*taking)
    assert_harmless(out)
    runs = read_json(other, "list", "--limit", "1000")["runs"]
    assert {run["id"] for run in runs} == set(NAMES)


# --- one text at a time ----------------------------------------------------------------------------------------------


def test_every_run_and_schedule_is_found_by_its_id_and_is_advised_about_in_words_that_no_shell_takes_apart(
    database: Path,
) -> None:
    for text in NAMES[:: len(NAMES) // 25]:
        if text.startswith("-") or not text.isprintable():
            continue  # a command line takes the first for options; the others cannot be advised as they are
        assert read_json(database, "show", text)["id"] == text
        assert read_json(database, "schedules", "show", text)["note"] == text
        advised = re.search(r"`perdure show (.*)` tells", read(database, "cancel", text))
        assert advised is not None
        assert shlex.split(advised[1]) == [text]


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "{}"),
        ("show", "x", "--db", "{}"),
        ("list", "--label", "{}"),
        ("list", "--since", "{}"),
        ("list", "--cursor", "{}"),
        ("signal", "{}", "{}", "{}"),
        ("update", "{}", "{}", "{}"),
        ("query", "{}", "{}", "{}"),
        ("start", "{}", "{}"),
        ("complete", "{}", "{}"),
        ("fail", "{}", "{}"),
        ("stream", "{}", "{}"),
        ("schedules", "create", "{}", "{}", "--cron", "{}"),
        ("backup", "--to", "{}"),
        ("restore", "--from", "{}", "--to", "{}"),
        ("restore", "--from", "{}", "--list"),
        ("lint", "{}"),
        ("replay", "{}"),
        ("{}",),
    ],
    ids=" ".join,
)
def test_what_is_refused_is_refused_in_harmless_words(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (*TEXTS[len(arguments[0]) % SHARE :: SHARE], *UNRECORDABLE):
        given = [argument.replace("{}", text) for argument in arguments]
        _, out, err = called(*given)
        assert_harmless(out)
        assert all(line.startswith((" ", "perdure")) or not line for line in err.splitlines()), (text, err)
    assert list(tmp_path.iterdir()) == []


def test_a_complaint_begins_one_line_whatever_it_tells(capsys: pytest.CaptureFixture[str]) -> None:
    for text in TEXTS:
        complain(f"{text}: there is no run {text}", command=text)
        lines = capsys.readouterr().err.splitlines()
        assert_harmless("\n".join(lines))
        assert lines[0].startswith("perdure")
        assert all(line.startswith(" ") or not line for line in lines[1:])


@pytest.mark.parametrize("text", UNRECORDABLE)
async def test_what_cannot_be_recorded_is_refused_in_harmless_words(text: str) -> None:
    async with Engine("memory:", works=False) as engine:
        for options in ({"id": text}, {"tenant": text}, {"labels": {text: "x"}}, {"labels": {"x": text}}):
            with pytest.raises(InvalidArgumentError) as refused:
                await engine.start(waits, **options)
            assert_harmless(str(refused.value))


def test_annotations_for_other_tools_stay_one_line_and_json() -> None:
    for text in TEXTS:
        annotation = Annotation(code="PDR101", text=text, path=text, line=3, column=1)
        for line in (*as_ruff([annotation]), *as_github([annotation])):
            assert_harmless(line)
            assert "\n" not in line
        found: Any = assert_harmless_json(as_sarif([annotation], rules=[]))
        assert found["runs"][0]["results"][0]["message"]["text"] == text


def test_names_of_roles_and_namespaces_stay_in_their_lines() -> None:
    roles: dict[str, tuple[str, ...]] = {text: (text, text) for text in NAMES}
    unbound = {text: text for text in NAMES[::2]}
    stands = RowSecurity(is_on=True, is_forced=False, roles=roles, unbound=unbound)
    lines = list(row_securing._lines(stands))
    assert len(lines) == 1 + len(NAMES)
    assert_harmless("\n".join(lines))
    assert all("\n" not in line for line in lines)


# --- logs ------------------------------------------------------------------------------------------------------------


@workflow(name="hostile.fails")
async def fails(ctx: Context, text: str) -> None:
    ctx.logger.warning("given %s", text)
    ctx.logger.warning(text)
    await raising(text)


async def test_a_record_of_the_log_begins_one_line_whatever_it_tells(caplog: pytest.LogCaptureFixture) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("LOG %(name)s %(message)s %(levelname)s"))
    logging.getLogger("perdure").addHandler(handler)
    caplog.set_level(logging.DEBUG, "perdure")
    try:
        async with Engine("memory:") as engine:
            runs = [await engine.start(fails, text, id=text) for text in NAMES]
            await asyncio.gather(*(run.result() for run in runs), return_exceptions=True)
            for text in NAMES:
                await engine.start(named(waits, text), id=f"{text}!")
    finally:
        logging.getLogger("perdure").removeHandler(handler)
    assert_harmless(log.getvalue())
    begun = [line for line in log.getvalue().splitlines() if line and not line.startswith(" ")]
    records = [
        record for record in caplog.records if record.name.startswith("perdure.")
    ]  # a library may tell something
    assert len(records) > 4 * len(NAMES)
    assert len(begun) == len(records)
    assert all(line.startswith("LOG perdure.") for line in begun)
    assert {vars(record).get("run_id", "").isprintable() for record in records} == {True}


# --- files, and outputs to come --------------------------------------------------------------------------------------


async def test_no_file_is_named_by_a_text_of_others(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    payloads = Payloads(blobs=FileBlobs(tmp_path / "inside" / "blobs"), blobs_above=0)
    async with Engine(f"sqlite:///{tmp_path}/inside/perdure.db", payloads=payloads, works=False) as engine:
        for text in NAMES[::10]:
            await engine.start(named(waits, text), id=text, tenant=text)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*")]  # noqa: ASYNC240 - the test's own files
    assert {file.parts[0] for file in files} == {"inside"}
    assert all(
        re.fullmatch(r"inside|perdure\.db.*|blobs|[0-9a-f]{2}|[0-9a-f]{64}|[\w-]+\.(lock|sock)", file.name)
        for file in files
    )


def test_every_command_is_fed_or_says_why_not() -> None:
    assert {name for name in make_application() if not name.startswith("-")} == COMMANDS.keys()


def test_every_maker_of_markup_is_fed_or_says_why_not() -> None:
    marks = re.compile(
        r"<(?:svg|html|table)\b|\bdigraph\b|\bstateDiagram|\bgraph (?:TD|LR)\b|\bimport csv\b|text/html", re.IGNORECASE
    )
    found = {relative(path) for path in python_files(PACKAGE) if marks.search(path.read_text("utf-8"))}
    assert found - MARKUP.keys() == set()
