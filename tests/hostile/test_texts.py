"""Texts made harmless: what is escaped, and what a record of a log keeps."""

import logging
from decimal import Decimal
from fractions import Fraction

import pytest

from perdure.logs import Lines, logger_named
from perdure.texts import indented, json_escaped, printable
from tests.hostile.texts import TEXTS, assert_harmless, assert_harmless_json


def test_every_text_is_escaped_for_each_kind_of_output() -> None:
    for text in TEXTS:
        assert printable(text).isprintable()
        assert_harmless(indented(text))
        assert all(line.startswith(" ") or not line for line in indented(text).split("\n")[1:])
        assert assert_harmless_json(json_escaped(f'["{text}"]' if text.isalnum() else "[]")) in ([text], [])


class Evil(int):
    """A number that is shown as a text of others."""

    def __str__(self) -> str:
        return "\x1b[2J"


def test_a_record_keeps_its_template_and_its_numbers_where_nothing_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    logger = logger_named("perdure.test")
    assert logger_named("perdure.test").filters == logger.filters
    logger.warning("%s has %d: %r", "run\n1", 5, KeyError("x\x1b"))
    logger.warning("stack\n%s", Lines("a\nb"))
    logger.warning("%.2f of %d, %s", Decimal("0.105"), Fraction(7, 1), Evil(3))
    one, two, three = caplog.records
    assert (one.msg, one.getMessage()) == ("%s has %d: %r", "run\\n1 has 5: KeyError('x\\x1b')")
    assert two.getMessage() == "stack\n    a\n    b"
    assert three.getMessage() == "0.10 of 7, \\x1b[2J"


def test_an_exception_in_a_record_is_hidden_and_indented(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("password=hunter2\nforged line")  # noqa: TRY301 - the exception is what is tested
    except ValueError:
        logger_named("perdure.test").exception("it failed")
    [record] = caplog.records
    text = logging.Formatter().format(record)
    assert "hunter2" not in text
    assert all(line.startswith(" ") for line in text.splitlines()[2:])
