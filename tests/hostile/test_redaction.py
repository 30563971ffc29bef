"""Secrets taken out of texts: every spelling by which one is told, every form of a registered one, and what stays."""

import base64
import html
import io
import json
import logging
import re
import threading
from collections.abc import Callable
from textwrap import indent
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from perdure import redaction, register_secret
from perdure.errors import InvalidArgumentError
from perdure.kernel.failure import TRACEBACK_LIMIT_CHARACTERS, Failure, concealed_failure
from perdure.logs import logger_named
from perdure.redaction import concealed, has_secrets, masked, recorded_failure, redacted

# --- told by their place ---------------------------------------------------------------------------------------------

SURE = [
    ("postgres://u:p/w@h/db", "postgres://u:***@h/db"),
    ("amqp://:p@h", "amqp://:***@h"),
    ("redis://:1234@cache", "redis://:***@cache"),
    ("postgres://u:p'q@h", "postgres://u:***@h"),
    (f"postgres://u:{'p' * 300}@h/x", "postgres://u:***@h/x"),
    (f"postgres://{'u' * 300}:p@h/x", f"postgres://{'u' * 300}:***@h/x"),
    ("['postgres://u:p@h', 'x@y']", "['postgres://u:***@h', 'x@y']"),
    ("password=x y", "password=*** y"),
    ("password=1234-abcd", "password=***"),
    ("password=12345", "password=***"),
    ("password2=x", "password2=***"),
    ("passwords=x", "passwords=***"),
    ('{"password": "x y", "a": 1}', '{"password": ***, "a": 1}'),
    ('{"password": 12345}', '{"password": ***}'),
    (json.dumps({"a": json.dumps({"password": 'x"y', "b": 1})}), r'{"a": "{\"password\": ***, \"b\": 1}"}'),
    ("password=b'x y'", "password=***"),
    ("DB_PASSWORD='x y'", "DB_PASSWORD=***"),
    (r"password='it\'s' z", "password=*** z"),
    ('password="an end that was cut', "password=***"),
    ("pwd=ab,cd&ef", "pwd=***"),
    ("pwd=pa)ss;w y", "pwd=*** y"),
    ("password=it's z", "password=*** z"),
    ("Login(password=x, user=y)", "Login(password=***, user=y)"),
    ("Server=h;Password=x;User=y", "Server=h;Password=***;User=y"),
    ("session_key=x&a=b", "session_key=***&a=b"),
    ("?access_token=x&y=1", "?access_token=***&y=1"),
    ("DBPass=x", "DBPass=***"),
    ("dbpassword=x", "dbpassword=***"),
    ("password => 'x'", "password => ***"),
    ("secret == x1", "secret == ***"),
    ("Authorization: Basic eA==", "Authorization: Basic ***"),
    ("Authorization: Bearer word", "Authorization: Bearer ***"),
    ("bearer abcdefgh.ijk", "bearer ***"),
    ("Cookie: a=b1; c=d; e", "Cookie: ***; e"),
    ("client-secret: x9-y", "client-secret: ***"),
    ("password: 'x y'", "password: ***"),
    ("password: 12345", "password: ***"),
]
"""A text, and how it is recorded and shown."""

DOUBTFUL = [
    ("client-secret: x", "client-secret: ***"),
    ("password: must be longer", "password: *** be longer"),
    ("unexpected token: EOF", "unexpected token: ***"),
    ("unexpected token: 'EOF'", "unexpected token: ***"),
    ("{password:x,user:y}", "{password:***,user:y}"),
]
"""A text that is recorded as it is, and how it is shown."""

HARMLESS = [
    "the password was refused",
    "password incorrect; bearer authentication failed",
    "fencing token: 5, then token=12",
    "that is no token of an activity; take it from current_attempt().token",
    "http://localhost:8080/a@b",
    '{"url":"redis://h:6379","mail":"a@b"}',
    '{"url":"https://x.y/z","mail":"a@b.c"}',
    "sqlite:///orders.db",
    "StaleTokenError: the attempt has its outcome",
    "compass=3 bypass=yes passing: yes",
    "tokens=many",
    "token=None, password=null, has_secret=False",
    "password:\nTraceback",
]


@pytest.mark.parametrize(("text", "hidden"), SURE)
def test_what_is_surely_a_secret_by_its_place_is_hidden_and_not_recorded(text: str, hidden: str) -> None:
    assert (redacted(text), concealed(text)) == (hidden, hidden)
    assert (redacted(hidden), concealed(hidden)) == (hidden, hidden)


@pytest.mark.parametrize(("text", "hidden"), DOUBTFUL)
def test_what_only_may_be_a_secret_is_hidden_and_recorded_as_it_is(text: str, hidden: str) -> None:
    assert (redacted(text), concealed(text)) == (hidden, text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    assert (redacted(text), concealed(text)) == (text, text)


def test_members_with_names_of_secrets_are_hidden_and_others_are_not() -> None:
    names = ("password", "userPassword", "api-key", "DBPassword", "dbpassword", "accesstoken", "db_pass", "DBPass")
    hidden = {name: value for name in names for value in ("x", ["x"], {"a": "x"})} | {"pwd": 12345, "secret_2": "x"}
    shown = {"token": 5, "tokens": "y", "bypass": "y", "compass": 3, "secret": "", "has_password": True, "pass": None}
    assert masked({**hidden, **shown}) == {**dict.fromkeys(hidden, "***"), **shown}
    assert has_secrets('{"DBPass":1}')
    assert not has_secrets('{"bypass":1}')


# --- registered ------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "repr": repr,
    "repr beside quotes of the other kind": lambda text: repr(f'"{text}'),
    "repr of a repr": lambda text: repr(repr({"a": text})),
    "repr of bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: msgspec.json.encode(text).decode(),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})),
    "JSON in JSON in UTF-8": lambda text: json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False),
    "quoted for a URL": lambda text: quote(text, safe=""),
    "quoted as a path": quote,
    "quoted in small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "quoted for a form": quote_plus,
    "HTML": html.escape,
    "HTML text": lambda text: html.escape(text, quote=False),
    "hexadecimal": lambda text: text.encode().hex(),
    "capital hexadecimal": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 behind four": lambda text: base64.b64encode(f"ann:{text}".encode()).decode(),
    "base64 behind five": lambda text: base64.b64encode(f"bert:{text}".encode()).decode(),
    "base64 behind six": lambda text: base64.b64encode(f"clara:{text}".encode()).decode(),
    "base64 between others": lambda text: base64.b64encode(f"ann:{text}:more".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_registered_value_is_hidden_in_every_form(form: str) -> None:
    write, secret = FORMS[form], f"{list(FORMS).index(form):02}th: trés/'s3cret'+\"q\" \\&<7>~"
    written, frame = write(secret), write("")
    assert redacted(written) == written
    register_secret(secret)
    for hide in (redacted, concealed):
        hidden = hide(written)
        assert "***" in hidden
        assert len(hidden) <= len(frame) + len("***") + 5, hidden  # base64 has characters that are of both
    assert masked([written]) == [redacted(written)]


def test_bytes_are_hidden_as_well_as_texts() -> None:
    value = b"\xff\x00key of bytes"
    register_secret(value)
    assert redacted(f"refused {value!r}, {value.hex()}") == "refused b'***', ***"


def test_the_longest_value_is_hidden_and_what_follows_is_searched() -> None:
    for value in ("sesame-1", "sesame-1-long", "me-1-long-and"):
        register_secret(value)
    assert redacted("sesame-1-long-and sesame-12 sesame") == "***-and ***2 sesame"


@pytest.mark.parametrize("value", ["short", b"short", "", 7, None])
def test_what_would_hide_other_texts_cannot_be_registered(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="register_secret"):
        register_secret(value)  # type: ignore[arg-type]


def test_values_are_registered_by_many_threads_and_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counting(redaction._Index):
        def __init__(self, texts: set[str]) -> None:
            made.append(len(texts))
            super().__init__(texts)

    monkeypatch.setattr(redaction, "_Index", Counting)
    values = [f"thread {number} has {number * 7_919:06}" for number in range(400)]
    threads = [
        threading.Thread(target=lambda part: [*map(register_secret, part)], args=(values[at::4],)) for at in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == []
    assert redacted(" ".join(values)) == " ".join(["***"] * 400)
    assert redacted("thread 7 has nothing") == "thread 7 has nothing"
    assert len(made) == 1


PRIVATE_KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq 'hkiG9\"w\\0BAQEF\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"


@pytest.mark.parametrize("write", [str, lambda text: text.replace("\n", "\r\n"), lambda text: indent(text, "  | ")])
def test_each_long_line_of_a_registered_value_is_hidden(write: Callable[[str], str]) -> None:
    register_secret(PRIVATE_KEY)
    for text in (write(PRIVATE_KEY), repr(write(PRIVATE_KEY))):
        for hidden in (redacted(text), concealed(text)):
            assert [part for part in re.findall("[A-Za-z0-9]{5,}", PRIVATE_KEY) if part in hidden] == []


def test_a_registered_value_of_several_lines_is_hidden_in_groups_of_errors_and_in_logs() -> None:
    short_lines = "no line\nof this\nis long"
    for secret in (PRIVATE_KEY, short_lines):
        register_secret(secret)
    error = ExceptionGroup("several", [ValueError(PRIVATE_KEY), ExceptionGroup("more", [ValueError(PRIVATE_KEY)])])
    assert "AQEFAASCBK" not in texts_of(recorded_failure(error))
    written = io.StringIO()
    logger, handler = logger_named("perdure.lines"), logging.StreamHandler(written)
    logger.addHandler(handler)
    logger.error(f"the key is {PRIVATE_KEY}", exc_info=error)  # noqa: G004 - what people do
    logger.error(f"the key is {short_lines}")  # noqa: G004 - as above
    logger.error("the key is %s and %s", short_lines, ValueError(short_lines))
    logger.removeHandler(handler)
    assert [part for part in ("AQEFAASCBK", "of this", "is long") if part in written.getvalue()] == []


# --- what is recorded ------------------------------------------------------------------------------------------------


def straddling(limit: int) -> str:
    """Return a text whose limit is within a secret, whose first half would tell enough."""
    register_secret("straddling-0123456789")
    return f"{'x' * (limit - 11)} straddling-0123456789 {'y' * (limit - 11)}"


def texts_of(failure: Failure | None) -> str:
    return "" if failure is None else f"{failure.message} {failure.traceback} {texts_of(failure.cause)}"


@pytest.mark.parametrize("limit", [4_000, 8_000])
def test_no_half_of_a_secret_is_left_where_a_text_is_cut(limit: int) -> None:
    error = ValueError(straddling(limit))
    error.__cause__ = KeyError(straddling(limit))
    for failure in (recorded_failure(error), recorded_failure(ExceptionGroup("several", [error]))):
        assert "straddling" not in texts_of(failure)
        assert "0123456789" not in texts_of(failure)


@pytest.mark.parametrize("limit", [4_000, 8_000])
def test_what_another_process_sends_is_concealed_before_it_is_cut(limit: int) -> None:
    text = straddling(limit)
    sent = Failure(type="A", message=text, traceback=text, cause=Failure(type="B", message=text))
    failure = concealed_failure(sent, concealed)
    assert "straddling" not in texts_of(failure)
    assert "0123456789" not in texts_of(failure)
    assert (len(failure.message), len(failure.traceback or "")) == (4_000, TRACEBACK_LIMIT_CHARACTERS)
