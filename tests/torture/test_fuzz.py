"""Fuzzing: a short run finds nothing, each corpus is what its encoder writes, and what breaks a law is found."""

import json
import random
import sys
from collections.abc import Callable

import pytest

from perdure.errors import HistoryError, UsageError
from perdure.torture import fuzz
from perdure.torture.command import main
from perdure.torture.fuzzing import guided, trial
from perdure.torture.fuzzing.mutation import mutated
from perdure.torture.fuzzing.target import BrokenLawError, Target, demand_equal
from perdure.torture.fuzzing.targets import TARGETS
from perdure.torture.fuzzing.trial import what_is_wrong
from perdure.torture.options import Options

UNREADABLE = {"blob-name", "coded-payload", "compression", "url"}
"""Whose corpus has entries that are rightly refused: blobs that are not there, a bomb, a database of another kind."""


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fuzz", "--count", str(50 * len(TARGETS)), "--seed", "1", "--processes", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["name"], result["runs"], result["violations"]) == ("fuzz", 50 * len(TARGETS), 0)


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - UNREADABLE))
def test_what_an_encoder_writes_is_read(name: str) -> None:
    corpus = TARGETS[name].corpus()
    assert corpus
    for entry in corpus:
        TARGETS[name].read(entry)


def test_changes_by_chance_are_those_of_their_seed() -> None:
    corpus = [b'{"a":[1,{"b":null}]}', b"0 0 * * *"]
    twice = [[mutated(corpus, random.Random(seed)) for seed in range(200)] for _ in range(2)]
    assert twice[0] == twice[1]
    assert len(set(twice[0])) > 120
    assert any(entry in corpus for entry in twice[0])


def raising(error: BaseException) -> Callable[[bytes], None]:
    def read(_data: bytes) -> None:
        raise error

    return read


def without_end(_data: bytes) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (raising(HistoryError("damaged")), None),
        (raising(KeyError("a\udc80")), "it raised KeyError: \"'a\\\\udc80'\""),
        (raising(SystemExit(1)), "it raised SystemExit"),
        (raising(BrokenLawError("two texts")), "'two texts'"),
        (without_end, "it did not end within 0.05 s"),
    ],
)
def test_whatever_breaks_a_law_is_found(
    read: Callable[[bytes], None], says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_CPU_SECONDS", 0.05)
    wrong = what_is_wrong(Target(name="x", corpus=list, read=read, expected=(HistoryError,)), b"")
    assert (wrong is None) if says is None else str(wrong).startswith(says)


def test_what_takes_too_much_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter((0, 500 * 2**20, 500 * 2**20))
    monkeypatch.setattr(trial, "_peak_bytes", lambda: next(peaks))
    target = Target(name="x", corpus=list, read=lambda _data: None)
    assert what_is_wrong(target, b"") == "it took 500 MiB of memory"


def test_a_value_that_changes_on_its_way_breaks_the_law() -> None:
    demand_equal([1], [1])
    with pytest.raises(BrokenLawError, match="was written and read again as 2"):
        demand_equal(2, 1)


def test_a_finding_says_how_to_find_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "token", Target(name="token", corpus=lambda: [b"x"], read=raising(KeyError("x"))))
    report = fuzz.run(Options(seed=7, count=1, workloads=("token",)))
    assert report.runs == 1
    [finding] = report.violations
    assert finding.startswith(
        "python -m perdure.torture fuzz --count 1 --seed 7 --workload token\n    token: it raised"
    )


def test_guided_fuzzing_without_its_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(UsageError, match="needs the package atheris"):
        guided.main(["token"])
