"""Exceptions as data: what of them crosses a history, whatever they are."""

import re
from pathlib import Path

import msgspec
import pytest

import perdure
from perdure.errors import ActivityError, NonRetryableError, UsageError
from perdure.kernel.failure import TRACEBACK_LIMIT_CHARACTERS, Failure, failure_from_exception


class CardDeclinedError(NonRetryableError):
    pass


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class FalseError(Exception):
    def __bool__(self) -> bool:
        return False


def throw(error: BaseException) -> None:
    raise error


def raised(error: BaseException, *, cause: BaseException | None = None) -> BaseException:
    """Return an exception as it is after it was raised from a cause."""
    error.__cause__ = cause
    with pytest.raises(type(error)):
        throw(error)
    return error


def raised_while_handling(error: Exception, *, suppressed: bool) -> Exception:
    def handle() -> None:
        try:
            throw(KeyError("first"))
        except KeyError:
            if suppressed:
                raise error from None
            throw(error)

    with pytest.raises(type(error)):
        handle()
    return error


def test_a_failure_names_its_class_and_the_bases_that_say_something() -> None:
    failure = failure_from_exception(raised(CardDeclinedError("no")))
    assert (failure.type, failure.message) == ("CardDeclinedError", "no")
    assert failure.types == ("CardDeclinedError", "NonRetryableError")
    assert failure_from_exception(KeyError("x")).types == ("KeyError", "LookupError")


@pytest.mark.parametrize(
    ("error", "retryable"), [(CardDeclinedError(), False), (UsageError(), False), (OSError(), True)]
)
def test_a_failure_says_whether_its_raiser_ruled_out_a_retry(error: Exception, retryable: bool) -> None:
    assert failure_from_exception(error).retryable is retryable


def test_a_failure_keeps_the_end_of_its_traceback() -> None:
    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise ValueError("deep")

    with pytest.raises(ValueError, match="deep") as caught:
        deep(300)
    traceback = failure_from_exception(caught.value).traceback
    assert traceback is not None
    assert len(traceback) <= TRACEBACK_LIMIT_CHARACTERS
    assert traceback.endswith("ValueError: deep\n")
    assert failure_from_exception(caught.value, with_traceback=False).traceback is None


def test_a_failure_keeps_what_it_was_raised_from_or_while_handling() -> None:
    failure = failure_from_exception(raised(ValueError("outer"), cause=KeyError("inner")))
    assert failure.cause == Failure(type="KeyError", types=("KeyError", "LookupError"), message="'inner'")
    handled = failure_from_exception(raised_while_handling(ValueError("second"), suppressed=False))
    assert handled.cause is not None
    assert handled.cause.type == "KeyError"


def test_a_suppressed_context_is_not_recorded() -> None:
    assert failure_from_exception(raised_while_handling(ValueError("second"), suppressed=True)).cause is None


def test_a_cause_counts_even_if_it_calls_itself_false() -> None:
    failure = failure_from_exception(raised(ValueError("outer"), cause=FalseError("inner")))
    assert failure.cause is not None
    assert failure.cause.type == "FalseError"


def test_a_chain_of_causes_is_cut_off() -> None:
    error: BaseException = ValueError("0")
    for number in range(1, 20):
        error = raised(ValueError(str(number)), cause=error)
    depth, failure = 0, failure_from_exception(error)
    while failure.cause is not None:
        depth, failure = depth + 1, failure.cause
    assert depth == 5


def test_a_chain_that_is_a_circle_ends() -> None:
    error, other = ValueError("a"), ValueError("b")
    error.__cause__, other.__cause__ = other, error
    assert failure_from_exception(error).type == "ValueError"


def test_an_exception_that_cannot_say_what_it_is_is_recorded_all_the_same() -> None:
    assert failure_from_exception(raised(SpeechlessError())).message == "<the exception's __str__ raised>"


def test_text_that_no_database_takes_is_replaced() -> None:
    failure = failure_from_exception(raised(ValueError("lone \ud800 surrogate")))
    assert failure.message == "lone ? surrogate"
    assert msgspec.json.decode(msgspec.json.encode(failure), type=Failure) == failure


def test_a_long_message_is_cut_off() -> None:
    assert len(failure_from_exception(ValueError("x" * 10**6)).message) == 4_000


def test_a_group_shows_its_members_in_the_traceback() -> None:
    group = raised(ExceptionGroup("two", [ValueError("a"), KeyError("b")]))
    failure = failure_from_exception(group)
    assert failure.type == "ExceptionGroup"
    assert failure.traceback is not None
    assert "KeyError: 'b'" in failure.traceback


def test_the_message_of_a_group_says_what_was_raised_in_it() -> None:
    group = ExceptionGroup(
        "unhandled errors in a TaskGroup", [ValueError("bad 2"), SpeechlessError(), KeyError("k"), OSError()]
    )
    assert failure_from_exception(raised(group)).message == (
        "unhandled errors in a TaskGroup (4 sub-exceptions): ValueError: bad 2; "
        "SpeechlessError: <the exception's __str__ raised>; KeyError: 'k'"
    )


# --- what people read ------------------------------------------------------------------------------------------------


def recorded(error: BaseException) -> Failure:
    return failure_from_exception(raised(error))


def test_a_failure_reads_as_one_sentence_with_the_place() -> None:
    failure = recorded(LookupError("no such card"))
    assert failure.sentence == "LookupError: no such card"
    assert re.fullmatch(r".*test_failure\.py:\d+ in throw", failure.place or "")
    assert failure.explanation == f"LookupError: no such card ({failure.place})"


def test_an_error_that_names_what_failed_needs_no_class() -> None:
    failure = recorded(ActivityError("activity charge failed at attempt 3 (the last one): OSError: no line"))
    assert failure.sentence == "activity charge failed at attempt 3 (the last one): OSError: no line"


def test_the_place_is_where_the_activity_raised_not_where_it_was_awaited() -> None:
    error = raised(ActivityError("activity charge failed"))
    error.add_note('\nIn the activity:\n  File "shop/cards.py", line 7, in charge\n    raise OSError\nOSError')
    assert failure_from_exception(error).place == "shop/cards.py:7 in charge"


def test_perdure_s_own_lines_are_no_place() -> None:
    package = str(Path(perdure.__file__).parent)
    traceback = (
        f'  File "shop.py", line 7, in sell\n    await charge()\n  File "{package}/authoring/a.py", line 9, in call'
    )
    failure = Failure(type="PayloadError", message="too large", traceback=traceback)
    assert failure.place == "shop.py:7 in sell"


def test_a_failure_without_a_traceback_has_no_place() -> None:
    failure = Failure(type="OSError", message="no line")
    assert (failure.place, failure.explanation) == (None, "OSError: no line")
