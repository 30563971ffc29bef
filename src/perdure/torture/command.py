"""The command line of the torture tools."""

import argparse
import logging
import os
import random
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Final

from perdure.torture import sim
from perdure.torture.options import Options
from perdure.torture.report import Report

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run the tool that `arguments` name; return the status to exit with: 0 if every promise held."""
    given = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    again = [*arguments] if given.seed is not None else [*arguments, "--seed", str(seed)]
    was_disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what the engine warns of is what the tools provoke
    try:
        return _run(given, seed=seed, again=shlex.join(again))
    finally:
        logging.disable(was_disabled)


def _run(given: argparse.Namespace, *, seed: int, again: str) -> int:
    options = Options(
        count=given.count,
        seed=seed,
        is_ci=given.ci,
        is_long=given.long,
        plan=given.plan or "",
        workloads=tuple(given.workload or ()),
        processes=given.processes or min(os.cpu_count() or 1, _MOST_PROCESSES),
        stops_at_first=given.first,
        only=tuple(given.only or ()),
    )
    tool, unit = _TOOLS[given.name]
    report = tool(options)
    for violation in report.violations:
        print(violation)
    for control in report.controls:
        print(f"this control failed as it must: {control}")
    for survivor in report.survivors:
        print(f"this control did not fail: {survivor}")
    print(report.line(unit))
    if not report.is_good:
        print(f"again: python -m perdure.torture {again}")
    if given.json:
        print(report.as_json())
    sys.stdout.flush()
    return 0 if report.is_good else 1


def _sim(options: Options) -> Report:
    return sim.run(options)


def _mutants(options: Options) -> Report:
    from perdure.torture import mutants  # noqa: PLC0415 - starts processes; the others need not know it

    return mutants.run(options)


def _kill(options: Options) -> Report:
    from perdure.torture.kills import tool  # noqa: PLC0415 - imports SQLite, which the simulation does not need

    return tool.run(options)


def _stateful(options: Options) -> Report:
    from perdure.torture import stateful  # noqa: PLC0415 - as above

    return stateful.run(options)


def _powerloss(options: Options) -> Report:
    from perdure.torture import powerloss  # noqa: PLC0415 - as above

    return powerloss.run(options)


def _fsyncgate(options: Options) -> Report:
    from perdure.torture import fsyncgate  # noqa: PLC0415 - as above

    return fsyncgate.run(options)


def _ioerr(options: Options) -> Report:
    from perdure.torture import ioerr  # noqa: PLC0415 - as above

    return ioerr.run(options)


_TOOLS: Final[dict[str, tuple[Callable[[Options], Report], str]]] = {
    "sim": (_sim, "plans"),
    "mutants": (_mutants, "mutants"),
    "kill": (_kill, "kills"),
    "stateful": (_stateful, "programs"),
    "powerloss": (_powerloss, "states"),
    "fsyncgate": (_fsyncgate, "states"),
    "ioerr": (_ioerr, "failures"),
}
_MOST_PROCESSES: Final = 8


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perdure.torture", description="Try to break Perdure's promises.")
    parser.add_argument("name", choices=sorted(_TOOLS))
    parser.add_argument("--count", type=int, help="how much to try")
    parser.add_argument("--seed", type=int, help="repeat the choices of an earlier run")
    parser.add_argument("--ci", action="store_true", help="as much as continuous integration demands, with controls")
    parser.add_argument("--long", action="store_true", help="as much as a release demands")
    parser.add_argument("--json", action="store_true", help="end with the result as one line of JSON")
    parser.add_argument("--plan", help="sim: run this plan only, as a violation names it")
    parser.add_argument("--workload", action="append", help="sim: only this workload; may be given several times")
    parser.add_argument("--only", action="append", help="mutants: only this one; may be given several times")
    parser.add_argument("--processes", type=int, help="how many processes share the work")
    parser.add_argument("--first", action="store_true", help="sim: stop at the first violation")
    return parser
