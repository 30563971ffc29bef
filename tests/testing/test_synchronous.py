"""The environment of synchronous tests, and of unittest."""

import unittest
from datetime import timedelta

import pytest

from perdure import NonRetryableError, RunFailedError
from perdure.errors import EngineClosedError
from perdure.testing import EPOCH, SyncTestEnvironment, TestEnvironment
from perdure.testing.environment.environment import TestEnvironment as Asynchronous
from tests.testing.subjects import MONTH, debit, invoice, letter, pay, print_letter, raise_price, subscription


def test_months_pass_in_a_synchronous_test() -> None:
    with SyncTestEnvironment() as env:
        run = env.start(subscription, 3)
        env.advance(MONTH)
        assert (env.now(), len(env.calls(debit))) == (EPOCH + MONTH, 1)
        env.crash_and_recover()
        assert env.crashes == 1
        assert run.result() == ["billed 0", "billed 1", "billed 2"]
        assert env.now() == EPOCH + 3 * MONTH


def test_activities_are_replaced_and_fail_in_a_synchronous_test() -> None:
    with SyncTestEnvironment() as env:
        env.replace(print_letter, lambda text: -len(text))
        assert env.start(letter, "abc").result() == -3
        env.restore(print_letter)
        assert env.start(letter, "abc").result() == 3
        env.fail_next(print_letter, NonRetryableError("no paper"))
        with pytest.raises(RunFailedError, match="no paper"):
            env.start(letter, "abc").result()


def test_a_strict_synchronous_environment_fails_in_the_end_but_hides_no_error() -> None:
    def body(error: Exception | None) -> None:
        with SyncTestEnvironment(strict=True) as env:
            env.replace(print_letter, lambda text: -len(text))
            with pytest.raises(AssertionError):
                env.assert_played()
            if error is not None:
                raise error

    with pytest.raises(AssertionError, match="the stand-in for activity print_letter was never called"):
        body(None)
    with pytest.raises(LookupError):
        body(LookupError())


def test_messages_and_histories_work_in_a_synchronous_test() -> None:
    with SyncTestEnvironment() as env:
        run = env.start(invoice)
        env.run_until_idle()
        assert run.update(raise_price, 1) == 101
        run.signal(pay, 3)
        assert run.result() == "paid 3 of 101"
        assert env.history(run)[-1].type == "run_completed"
        assert env.at(run, event=3).number == 3


def test_a_synchronous_environment_that_is_not_open_says_so() -> None:
    with pytest.raises(EngineClosedError):
        SyncTestEnvironment().advance(timedelta(1))


def test_the_synchronous_environment_offers_what_the_asynchronous_does() -> None:
    offered = {name for name in vars(Asynchronous) if name[0].islower()}
    assert offered - {"dispose", "sibling", "is_closed", "is_strict", "database"} <= set(dir(SyncTestEnvironment))


class TestWithUnittest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.env = await self.enterAsyncContext(TestEnvironment())

    async def test_months_pass(self) -> None:
        run = await self.env.start(subscription, 2)
        await self.env.crash_and_recover()
        self.assertEqual(await run.result(), ["billed 0", "billed 1"])  # noqa: PT009 - as unittest does
        self.assertEqual(self.env.now(), EPOCH + 2 * MONTH)  # noqa: PT009 - as unittest does
