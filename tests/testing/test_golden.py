"""Golden histories: what differs from the kept one, and what the kept one does not replay against."""

from pathlib import Path

import pytest

from perdure import Context, workflow
from perdure.errors import HistoryError
from perdure.kernel.history import RecordedEvent
from perdure.testing import EPOCH, TestEnvironment, assert_golden, assert_replays, read_history_file
from tests.testing.subjects import MONTH, debit, invoice, pay, raise_price, subscription


async def months(
    number: int, *, billed: str = "billed", crashes: bool = False, late: bool = False
) -> list[RecordedEvent]:
    async with TestEnvironment(start=EPOCH + MONTH if late else EPOCH) as env:
        env.replace(debit, lambda cents, *, note="": f"{billed} {cents}{note}")
        run = await env.start(subscription, number, id="kept")
        if crashes:
            await env.crash_and_recover()
        await run.result()
        return await env.history(run)


async def test_a_history_is_kept_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "golden" / "subscription.jsonl"
    history = await months(2)
    assert_golden(history, file, update=True)
    assert read_history_file(file) == history
    assert_golden(await months(2), file)
    assert_replays(file)


async def test_neither_times_nor_crashes_matter(tmp_path: Path) -> None:
    file = tmp_path / "subscription.jsonl"
    assert_golden(await months(2), file, update=True)
    assert_golden(await months(2, late=True), file)
    assert_golden(await months(2, crashes=True), file)


async def test_ids_that_clients_make_by_chance_do_not_matter(tmp_path: Path) -> None:
    async def paid() -> list[RecordedEvent]:
        async with TestEnvironment() as env:
            run = await env.start(invoice)
            await run.update(raise_price, 1)
            await run.signal(pay, 2)
            await run.result()
            return await env.history(run)

    assert_golden(await paid(), tmp_path / "invoice.jsonl", update=True)
    assert_golden(await paid(), tmp_path / "invoice.jsonl")


async def test_another_history_is_shown_as_a_diff_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "subscription.jsonl"
    assert_golden(await months(1), file, update=True)
    with pytest.raises(AssertionError) as failed:
        assert_golden(await months(1, billed="charged"), file)
    assert str(failed.value).splitlines() == [
        "the history differs from the golden one",
        f"--- {file}",
        "+++ this run",
        "@@ -3,4 +3,4 @@",
        " timer of 30 days, 0:00:00 fired",
        " activity debit(0) called",
        '-activity debit returned "billed 0"',
        '-run completed with ["billed 0"]',
        '+activity debit returned "charged 0"',
        '+run completed with ["charged 0"]',
        "",
        "if this run is right, keep its history with: pytest --perdure-update-golden",
    ]


async def test_what_the_lines_do_not_tell_is_compared_too(tmp_path: Path) -> None:
    async def labelled(label: str) -> list[RecordedEvent]:
        async with TestEnvironment() as env:
            run = await env.start(subscription, 0, id="kept", labels={"color": label})
            await run.result()
            return await env.history(run)

    file = tmp_path / "subscription.jsonl"
    assert_golden(await labelled("red"), file, update=True)
    with pytest.raises(AssertionError) as failed:
        assert_golden(await labelled("blue"), file)
    assert '-RunCreated {"' in str(failed.value)
    assert '"labels":{"color":"blue"}' in str(failed.value)


async def test_without_a_golden_history_the_message_shows_this_one_and_how_to_keep_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_golden(await months(1), tmp_path / "none.jsonl")
    first, *others = str(failed.value).splitlines()
    assert first.endswith("none.jsonl; look at this one and keep it with: pytest --perdure-update-golden")
    assert others[0] == "    run created: subscription(1)"


async def test_a_golden_history_must_replay_against_todays_code(tmp_path: Path) -> None:
    todays: list[str] = []

    @workflow
    async def changes_with_the_days(ctx: Context) -> None:
        await (ctx.sleep(MONTH) if todays else debit(0))

    async with TestEnvironment() as env:
        run = await env.start(changes_with_the_days)
        await run.result()
        history = await env.history(run)
    assert_golden(history, tmp_path / "kept.jsonl", update=True)
    todays.append("code")
    with pytest.raises(AssertionError) as failed:
        assert_golden(history, tmp_path / "kept.jsonl")
    assert str(failed.value).startswith("the golden history does not replay")
    assert "the code asks for" in str(failed.value)
    assert "await (ctx.sleep(MONTH) if todays else debit(0))" in str(failed.value)


async def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "damaged.jsonl"
    file.write_text("{}\n")
    with pytest.raises(HistoryError, match=r"damaged\.jsonl:1"):
        assert_golden(await months(0), file)
