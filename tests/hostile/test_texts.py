"""Texts made harmless: what is hidden, what is left alone, and what a record of a log keeps."""

import logging

import pytest

from perdure import register_secret
from perdure.errors import InvalidArgumentError
from perdure.logs import Lines, logger_named
from perdure.texts import indented, json_escaped, masked, printable, redacted
from tests.hostile.texts import TEXTS, assert_harmless, assert_harmless_json


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgres://u:p/w@h/db", "postgres://u:***@h/db"),
        ("amqp://:p@h", "amqp://:***@h"),
        ("password=x y", "password=*** y"),
        ('{"password": "x y", "a": 1}', '{"password": ***, "a": 1}'),
        ("DB_PASSWORD='x y'", "DB_PASSWORD=***"),
        ("client-secret: x", "client-secret: ***"),
        ("Authorization: Basic eA==", "Authorization: Basic ***"),
        ("bearer abcdefgh.ijk", "bearer ***"),
        ("session_key=x&a=b", "session_key=***&a=b"),
    ],
)
def test_what_a_name_or_a_url_tells_to_be_a_secret_is_hidden(text: str, hidden: str) -> None:
    assert redacted(text) == hidden
    assert redacted(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "the password was refused",
        "fencing token: 5, then token=12",
        "that is no token of an activity; take it from current_attempt().token",
        "http://localhost:8080/a@b",
        "sqlite:///orders.db",
        "StaleTokenError: the attempt has its outcome",
        "compass=3 passing: yes",
        "tokens=many",
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_members_with_names_of_secrets_are_hidden_and_others_are_not() -> None:
    hidden = {"password": "x", "userPassword": ["x"], "api-key": {"a": "x"}}
    shown = {"token": 5, "tokens": "y", "bypass": "y", "secret": ""}
    assert masked({**hidden, **shown}) == {**dict.fromkeys(hidden, "***"), **shown}


@pytest.mark.parametrize("value", ["short", b"short", "", 7, None])
def test_what_would_hide_other_texts_cannot_be_registered(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="register_secret"):
        register_secret(value)  # type: ignore[arg-type]


def test_every_text_is_escaped_for_each_kind_of_output() -> None:
    for text in TEXTS:
        assert printable(text).isprintable()
        assert_harmless(indented(text))
        assert all(line.startswith(" ") or not line for line in indented(text).split("\n")[1:])
        assert assert_harmless_json(json_escaped(f'["{text}"]' if text.isalnum() else "[]")) in ([text], [])


def test_a_record_keeps_its_template_and_its_numbers_where_nothing_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    logger = logger_named("perdure.test")
    assert logger_named("perdure.test").filters == logger.filters
    logger.warning("%s has %d: %r", "run\n1", 5, KeyError("x\x1b"))
    logger.warning("stack\n%s", Lines("a\nb"))
    one, two = caplog.records
    assert (one.msg, one.getMessage()) == ("%s has %d: %r", "run\\n1 has 5: KeyError('x\\x1b')")
    assert two.getMessage() == "stack\n    a\n    b"


def test_an_exception_in_a_record_is_hidden_and_indented(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("password=hunter2\nforged line")  # noqa: TRY301 - the exception is what is tested
    except ValueError:
        logger_named("perdure.test").exception("it failed")
    [record] = caplog.records
    text = logging.Formatter().format(record)
    assert "hunter2" not in text
    assert all(line.startswith(" ") for line in text.splitlines()[2:])
