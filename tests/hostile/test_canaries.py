"""Canaries: secrets planted in eighty places, which must not appear in logs, errors, reprs, reports, histories, files.

Values of users are recorded as they are, and so stand in histories and exports: of these canaries the reports for
people are searched only, where members with names of secrets are hidden. `VISIBLE` is no secret: it must be found
everywhere, or the search would prove nothing.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import logging
import signal
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel, SecretStr

from perdure import (
    Context,
    Cron,
    Debounce,
    Engine,
    Retry,
    Settings,
    Signal,
    Update,
    activity,
    current_attempt,
    defer,
    register_secret,
    workflow,
)
from perdure.authoring.activity_context import Attempt
from perdure.cli.application import run_command_line
from perdure.codecs import Encryption, Payloads
from perdure.errors import PayloadError, PerdureError, UpdateError
from perdure.kernel.tokens import ActivityToken
from perdure.stores.opening import compact_store, open_store
from tests.hostile.canary_activities import fail_in_a_process

VISIBLE = "visible-49-kingfisher"

_made: dict[str, str] = {}
_spelled: dict[str, str] = {}
"""Place -> as what its secret is planted, and would be found, where that is not itself."""


def canary(place: str, *, registered: bool = False) -> str:
    """Return the secret of a place, the same each time; of a registered one every form is hidden."""
    if place not in _made:
        _made[place] = f"canary/{len(_made):02}+{hashlib.sha256(place.encode()).hexdigest()[:12]}"
        if registered:
            register_secret(_made[place])
    return _made[place]


def known(place: str) -> str:
    return canary(place, registered=True)


def spelled(place: str, spell: Callable[[bytes], str]) -> str:
    """Return the registered secret of a place in another form."""
    _spelled[place] = spell(known(place).encode()).rstrip("=")
    return _spelled[place]


def peculiar(place: str) -> str:
    """Return a registered secret that JSON and Python write otherwise than it is, around what is searched for."""
    value = f"ö\"'{canary(place)}\\"
    register_secret(value)
    return value


def basic(place: str) -> str:
    """Return credentials as HTTP sends them: the secret begins and ends in the middle of a character."""
    written = b64(f"shop:{known(place)}".encode())
    _spelled[place] = written[8:-4]
    return written


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


RAISED: dict[str, Callable[[], Exception]] = {
    "a registered value": lambda: ValueError(f"refused {known('a registered value')} {VISIBLE}"),
    "a cause": lambda: _chained(ValueError("outer"), ValueError(known("a cause"))),
    "a cause of a cause": lambda: _chained(ValueError("o"), _chained(KeyError("m"), known_error("a cause of a cause"))),
    "a group": lambda: _group(ValueError(known("a group"))),
    "base64": lambda: ValueError(spelled("base64", b64)),
    "base64 for URLs": lambda: ValueError(spelled("base64 for URLs", lambda it: urlsafe_b64encode(it).decode())),
    "base64 behind a name": lambda: ValueError(basic("base64 behind a name")),
    "hexadecimal": lambda: ValueError(spelled("hexadecimal", bytes.hex)),
    "capital hexadecimal": lambda: ValueError(spelled("capital hexadecimal", lambda it: it.hex().upper())),
    "quoted for a URL": lambda: ValueError(spelled("quoted for a URL", partial(quote, safe=""))),
    "quoted in small letters": lambda: ValueError(
        spelled("quoted in small letters", lambda it: quote(it, safe="").replace("%2F", "%2f").replace("%2B", "%2b"))
    ),
    "a repr with quotes": lambda: ValueError(repr([peculiar("a repr with quotes")])),
    "a repr of a repr": lambda: ValueError(repr(repr({"x": peculiar("a repr of a repr")}))),
    "JSON": lambda: ValueError(json.dumps({"x": peculiar("JSON")})),
    "JSON in UTF-8": lambda: ValueError(json.dumps([peculiar("JSON in UTF-8")], ensure_ascii=False)),
    "registered JSON in JSON": lambda: ValueError(json.dumps(json.dumps([peculiar("registered JSON in JSON")]))),
    "where a text is cut": lambda: ValueError(f"{'x' * 3_980} {known('where a text is cut')}"),
    "where a traceback is cut": lambda: ValueError(f"{known('where a traceback is cut')} {'x' * 3_984}"),
    "a repr": lambda: ValueError(repr({"x": known("a repr")})),
    "a repr of bytes": lambda: ValueError(repr(known("a repr of bytes").encode())),
    "a KeyError": lambda: KeyError(known("a KeyError")),
    "an OSError": lambda: OSError(13, "denied", known("an OSError")),
    "a URL of PostgreSQL": lambda: ValueError(f"postgresql://shop:{canary('a URL of PostgreSQL')}@db/x"),
    "a URL with a driver": lambda: ValueError(f"mysql+pymysql://shop:{canary('a URL with a driver')}@db:3306/x"),
    "a URL without a user": lambda: ValueError(f"redis://:{canary('a URL without a user')}@cache"),
    "a URL of HTTP": lambda: ValueError(f"GET https://u:{canary('a URL of HTTP')}@api.example/v1 failed"),
    "password=": lambda: ValueError(f"login failed: user=x password={canary('password=')} host=y"),
    "password= with digits first": lambda: ValueError(f"password=1234-{canary('password= with digits first')}"),
    "pwd= with commas": lambda: ValueError(f"pwd=ab,{canary('pwd= with commas')}&ef"),
    "a password of bytes": lambda: ValueError(f"password=b'a {canary('a password of bytes')}'"),
    "an abbreviated name": lambda: ValueError(json.dumps({"DBPass": canary("an abbreviated name")})),
    "a name in one word": lambda: ValueError(json.dumps({"accesstoken": canary("a name in one word")})),
    "a password in JSON in JSON": lambda: ValueError(
        json.dumps({"body": json.dumps({"password": canary("a password in JSON in JSON")})})
    ),
    "a second cookie": lambda: ValueError(f"Cookie: theme=dark; sid={canary('a second cookie')}"),
    "a long URL": lambda: ValueError(f"postgres://shop:{'p' * 300}{canary('a long URL')}@db"),
    "a quoted password": lambda: ValueError(f"password='{canary('a quoted password')} and more'"),
    "a password in JSON": lambda: ValueError(json.dumps({"dbPassword": canary("a password in JSON")})),
    "a passphrase": lambda: ValueError(f"passphrase: {canary('a passphrase')}"),
    "an API key": lambda: ValueError(f"X-Api-Key: {canary('an API key')}"),
    "an access key": lambda: ValueError(f"aws_secret_access_key={canary('an access key')}"),
    "a bearer": lambda: ValueError(f"Authorization: Bearer {canary('a bearer')}"),
    "a bearer alone": lambda: ValueError(f"sent bearer {canary('a bearer alone')}"),
    "a query of a URL": lambda: ValueError(f"https://api.example/?access_token={canary('a query of a URL')}&x=1"),
    "a cookie": lambda: ValueError(f"Cookie: {canary('a cookie')}"),
    "a private key": lambda: ValueError(f'{{"private_key": "{canary("a private key")}"}}'),
}
"""Place -> an error that an activity raises."""


def known_error(place: str) -> Exception:
    return OSError(known(place))


def _chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _group(*errors: Exception) -> Exception:
    return ExceptionGroup("several", errors)


@activity(name="canaries.raise", retry=Retry.never())
async def raise_one(place: str) -> None:
    error = RAISED[place]()
    raise error


@activity(name="canaries.defer", retry=Retry.never())
async def leave(_order: dict[str, str]) -> str:
    logging.getLogger("perdure.test").warning("attempt %r", current_attempt())
    TOKENS.put_nowait(current_attempt().token)
    defer()


TOKENS: asyncio.Queue[str] = asyncio.Queue()
ASK = Update("ask", str, str)
REVIEW = Signal("review", dict[str, str])
SHOWN_ONLY = (
    *("input", "state", "signal", "input of an activity", "result", "nested"),
    *("a label", "a tenant", "a lock", "a note", "a schedule", "a key of starts"),
)
"""Values of users, registered or under names of secrets: recorded, and hidden in reports."""


@workflow(name="canaries.carry")
async def carry(ctx: Context, order: dict[str, str]) -> dict[str, Any]:
    ctx.set("credentials", {"password": canary("state"), "visible": VISIBLE})
    for place in RAISED:
        with contextlib.suppress(Exception):
            await raise_one(place)
    with contextlib.suppress(Exception):
        await fail_in_a_process(f"{known('an error in a process')} {VISIBLE}"[::-1])
    ctx.logger.warning("%s and %s", known("an argument of a record"), VISIBLE)
    ctx.logger.warning(f"f {known('the text of a record')}")  # noqa: G004 - what people do
    ctx.logger.warning("password=%s", canary("a named argument of a record"))
    ctx.logger.warning("%(user)s", {"user": known("a mapping of a record")})
    ctx.logger.error("it went wrong", exc_info=OSError(known("a traceback of a record")))

    async def answer(_given: str) -> str:
        raise ValueError(known("an update"))

    ctx.on_update(ASK, answer)
    await ctx.lock(known("a lock")).__aenter__()
    await ctx.wait_for(REVIEW)
    with contextlib.suppress(Exception):
        await leave({"api_key": canary("input of an activity")})
    if order["fails"]:
        raise RuntimeError(f"{known('the end of a run')} {VISIBLE}")
    return {"session": {"auth_token": canary("result")}, "list": [{"secret": canary("nested")}], "visible": VISIBLE}


class _Login(BaseModel):
    user: str
    password: SecretStr


@workflow(name="canaries.enter")
async def enter(_ctx: Context, _login: _Login) -> None: ...


def errors() -> Iterator[str]:
    """Yield what is raised to callers, with its traceback and the repr of what it is about."""
    key = known("a key")
    for provoke in (
        lambda: open_store(f"mysql://u:{canary('the URL of an engine')}@h/db"),
        lambda: open_store(f"sqlite:///~/{known('the path of an engine')}"),
        lambda: open_store(f"postgresql://u:{canary('the URL of a server, as it is')}@h/db"),
        lambda: asyncio.run(Engine(unreachable("the URL of a server")).__aenter__()),
        lambda: Engine(f"mysql://u:{canary('the URL of a copy')}@h/db", settings=Settings(replicate_to="copies")),
        lambda: compact_store(f"mysql://u:{canary('the URL of a compaction')}@h/db"),
        lambda: Encryption({"k": key.encode()}),
        lambda: ActivityToken.parse(canary("a wrong token")),
        lambda: register_secret(canary("a short secret")[:5]),
    ):
        try:
            provoke()
        except PerdureError:
            yield traceback.format_exc()
        else:
            raise AssertionError("nothing was refused")
    ring = Encryption({"k": known("a key of 32 bytes").encode().ljust(32, b"x")})
    yield f"{ring!r} {ring} {Payloads(ring)!r} {vars(Payloads(ring))!r}"


def unreachable(place: str) -> str:
    """Return the URL of a server that nobody runs, with a password."""
    _spelled[place] = quote(canary(place), safe="")
    return f"postgresql://u:{_spelled[place]}@127.0.0.1:1/db"


async def live(url: str) -> None:
    async with Engine(url) as engine:
        for run_id, fails in (("well", ""), ("badly", "yes")):
            run = await engine.start(carry, {"password": canary("input"), "fails": fails}, id=run_id)
            with pytest.raises(UpdateError) as failed:
                await run.update(ASK, "x")
            logging.getLogger("perdure.test").error("it failed", exc_info=failed.value)
            await run.signal(REVIEW, {"token": canary("signal")})
            token = await TOKENS.get()
            _made[f"the token of {run_id}"] = token
            await engine.fail(token, ValueError(known(f"an outcome from outside, {run_id}")))
            with contextlib.suppress(PerdureError):
                await run.result()
        with pytest.raises(PayloadError) as refused:
            await engine.start(enter, _Login(user="x", password=SecretStr(canary("a secret type"))))
        logging.getLogger("perdure.test").error("refused", exc_info=refused.value)
        given = {"password": canary("input"), "fails": ""}
        waiting = await engine.start(
            carry, given, id="waiting", labels={"customer": known("a label")}, tenant=known("a tenant")
        )
        await engine.start(carry, given, debounce=Debounce(known("a key of starts"), wait=timedelta(hours=1)))
        await engine.schedules.create(known("a schedule"), carry, given, when=Cron("@yearly"), note=known("a note"))
        async for recorded in waiting.watch():
            if recorded.type == "lock_acquired":
                break


def called(*arguments: str) -> str:
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        run_command_line(arguments)
    return written.getvalue()


class _Interrupting(io.StringIO):
    """Ends what it is told of: a command that goes on until it is stopped."""

    def write(self, text: str) -> int:
        if text.startswith(("{", "the copy")):
            signal.raise_signal(signal.SIGTERM)
        return super().write(text)


def stopped(*arguments: str) -> str:
    with contextlib.redirect_stdout(_Interrupting()) as written:
        assert run_command_line(arguments) == 0
    return written.getvalue()


def reports(place: str) -> Iterator[str]:
    for run_id in ("well", "badly", "waiting"):
        yield called("show", run_id, "--db", place)
        yield called("show", run_id, "--json", "--db", place)
        yield called("history", run_id, "--db", place)
    for form in ((), ("--json",)):
        for command in ("list", "doctor", "locks", "tasks", "waiting", "schedules list", "verify"):
            yield called(*command.split(), "--db", place, *form)
    yield called("list", "--db", f"mysql://u:{canary('the URL of a command')}@h/db")
    yield called("list", "--db", f"postgresql://u:{canary('the URL of a server, for a command')}@h/db")
    for command in ("list", "doctor", "verify", "compact", "backup --to copy.db", "replicate --to copies"):
        yield called(*command.split(), "--db", unreachable("the URL of a server for commands"))
    yield called("query", "well", "x", "--app", "canary_module", "--db", place)
    yield called("signal", "well", "x", f'{{"password": "{canary("a refused argument")}"')


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logger = logging.getLogger("perdure")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)


def copies(place: str, folder: Path) -> Iterator[str]:
    """Yield what is told of copies, exports and archives in a place that nobody is to know."""
    secret = folder / known("a folder").replace("/", "-")
    register_secret(secret.name)
    _spelled["a folder"] = secret.name
    for form in ((), ("--json",)):
        yield called("backup", "--to", str(secret / f"copy{len(form)}.db"), "--db", place, *form)
        yield stopped("replicate", "--to", f"{secret}-live{len(form)}", "--db", place, *form)
        yield called("restore", "--from", str(secret), "--list", *form)
        yield called("export", "--to", str(secret / f"runs{len(form)}.jsonl"), "--db", place, *form)
        yield called("prune", "--older-than", "1d", "--archive", str(secret), "--db", place, *form)
        yield called("import", str(secret / "runs0.jsonl"), "--db", f"sqlite:///{folder}/other.db", *form)


def found_in(text: str, places: Any) -> set[str]:
    """Return the places whose secrets have left something in a text: a half that was cut off tells enough."""
    return {place for place in places if any(half in text for half in halves(place))}


def halves(place: str) -> Iterator[str]:
    for whole in (_made[place], _spelled.get(place, _made[place])[:-1]):
        yield from (whole[:12], whole[-12:])


def test_whatever_is_planted_would_be_found() -> None:
    raised = {place: "".join(traceback.format_exception(make())) for place, make in RAISED.items()}
    assert {place for place, text in raised.items() if place not in found_in(text, _made)} == set()


def test_no_canary_is_seen_anywhere(tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", canary("the environment"))
    monkeypatch.setenv("PERDURE_PAYLOADS_KEY", canary("the environment of a codec"))
    text = f"no database: postgres://shop:{canary('an import that fails')}@db"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "canary_module.py").write_text(f"raise RuntimeError({text!r})")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    database = tmp_path / "perdure.db"
    place = f"sqlite:///{database}"
    asyncio.run(live(place))
    told = "\n".join((*errors(), log.getvalue()))
    (tmp_path / "elsewhere").mkdir()
    shown = "\n".join((*reports(place), *copies(place, tmp_path / "elsewhere")))
    kept = "".join(path.read_bytes().decode("utf-8", "replace") for path in tmp_path.iterdir() if path.is_file())
    exported = ""
    for run_id in ("well", "badly"):
        called("history", run_id, "--export", str(tmp_path / run_id), "--db", place)
        exported += (tmp_path / run_id).read_text("utf-8") + called("history", run_id, "--json", "--db", place)
    assert len(_made) >= 80
    assert found_in(told + shown, _made) == set()
    assert found_in(kept + exported, _made.keys() - SHOWN_ONLY) == set()
    assert [VISIBLE in text for text in (told, shown, kept, exported)] == [True] * 4
    assert found_in(kept, SHOWN_ONLY) == set(SHOWN_ONLY)


def test_an_attempt_and_a_token_are_shown_without_what_makes_a_token() -> None:
    attempt = Attempt(
        run_id="r", namespace="n", workflow="w", activity="a", operation=1, attempt=2, idempotency_key="k",
        fencing_token=3, scheduled_at=None, token="the-token",  # type: ignore[arg-type]
    )  # fmt: skip
    assert repr(attempt) == "Attempt(n/r, a, operation 1, 2)"
    assert "12345678" not in repr(ActivityToken(1, 2, 3, b"12345678"))  # type: ignore[arg-type]
