"""The tools that part workers and their server: they find nothing on the store as it is, and what they do is real."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from perdure.torture.command import main
from perdure.torture.severed import absences, outages
from perdure.torture.severed.campaign import SeveredReport
from perdure.torture.severed.proxy import Proxy, proxied, socket_of


@pytest.mark.parametrize(("tool", "count"), [("partition", 1), ("pg", 2)])
def test_a_short_run_finds_nothing(
    tool: str, count: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine is doing besides: late is only who has not taken over at all."""
    for module in (absences, outages):
        monkeypatch.setattr(module, "_GOAL_SECONDS", module._LONGEST_SECONDS)
    assert main([tool, "--count", str(count), "--seed", "5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["violations"]) == (tool, 0)
    assert result["runs"] >= count


def test_a_short_run_with_a_failover_finds_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "_STRIKES_PER_FAILOVER", 2)
    monkeypatch.setattr(outages, "_GOAL_SECONDS", outages._LONGEST_SECONDS)
    assert main(["pg", "--count", "2", "--seed", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["violations"] == 0


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()

    path = str(tmp_path / "echo")
    async with await asyncio.start_unix_server(answer, path):
        yield path


async def test_what_is_sent_over_a_way_that_is_cut_arrives_when_it_is_mended(echo: str) -> None:
    proxy = Proxy(lambda: echo)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one\n")
    assert await reader.readline() == b"ONE\n"
    proxy.cut()
    writer.write(b"two\n")
    line = asyncio.ensure_future(reader.readline())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not line.done()
    proxy.mend()
    assert await line == b"TWO\n"
    writer.write(b"three\n")
    writer.write_eof()
    assert await reader.read() == b"THREE\n"
    writer.close()
    await writer.wait_closed()
    await proxy.close()


async def test_where_there_is_no_server_the_connection_ends(tmp_path: Path) -> None:
    proxy = Proxy(lambda: str(tmp_path / "none"))
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    await proxy.close()


async def test_a_url_leads_by_way_of_the_proxy_to_the_same_database() -> None:
    url = "postgresql://postgres@/campaign?host=/tmp/there/socket&port=5432"
    proxy = Proxy(lambda: socket_of(url))
    assert socket_of(url) == "/tmp/there/socket/.s.PGSQL.5432"
    expected = f"postgresql://postgres@127.0.0.1:{proxy.port}/campaign?sslmode=disable&application_name=process-1"
    assert proxied(url, proxy, name="process-1") == expected
    await proxy.close()


def test_what_is_late_is_a_violation_and_the_line_tells_the_times() -> None:
    report = SeveredReport(
        name="fence", what="times", runs=3, seed=7, violations=[], times=[2.0, 3.04, 1.0], seconds=1.5
    )
    assert "3 times after 2.0 s, at most 3.0 s; 0 acknowledged operations" in report.line("workers severed")
    assert report.is_good
    report.is_late("so late")
    assert report.violations == ["python -m perdure.torture fence --seed 7\n    late: so late"]
    assert not report.is_good
