"""The command line of the torture tools."""

import argparse
import logging
import os
import random
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from perdure.errors import InvalidArgumentError
from perdure.torture.options import WHOLE, Options, Part
from perdure.torture.report import Report

__all__ = ["main", "modules"]


def main(arguments: Sequence[str]) -> int:
    """Run the tool that `arguments` name, or all; return the status to exit with: 0 if every promise held."""
    given = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
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
        history=given.history or "",
        part=WHOLE if given.part is None else Part.parse(given.part),
        shows_coverage=given.coverage,
        on_postgres=given.postgres,
    )
    again = [*arguments] if given.seed is not None else [*arguments, "--seed", str(seed)]
    was_disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what the engine warns of is what the tools provoke
    try:
        if given.name == _ALL:
            names = _OF_SERVERS if options.on_postgres else _OF_FILES
            reports = [_run_of_all(name, options, [name, *(word for word in again if word != _ALL)]) for name in names]
        else:
            reports = [_run(given.name, options, again)]
    finally:
        logging.disable(was_disabled)
    if given.json:
        for report in reports:
            print(report.as_json())
    return 0 if all(report.is_good for report in reports) else 1


def modules() -> list[str]:
    """Return the modules of all tools, for processes that are to have them before they know which they need."""
    return [f"perdure.torture.{tool.module}" for tool in _TOOLS.values()]


def _run_of_all(name: str, options: Options, again: Sequence[str]) -> Report:
    """Run a tool; where it breaks the others go on."""
    try:
        return _run(name, options, again)
    except InvalidArgumentError:
        raise
    except Exception:  # noqa: BLE001 - whatever it is
        report = Report(name=name, seed=options.seed, mishaps=[traceback.format_exc()])
        _tell(report, again)
        return report


def _run(name: str, options: Options, again: Sequence[str]) -> Report:
    begun = _cpu_seconds()
    report = _load(name)(options)
    report.cpu_seconds += _cpu_seconds() - begun
    _tell(report, again)
    return report


def _tell(report: Report, again: Sequence[str]) -> None:
    for detail in report.details:
        print(detail)
    for violation in report.violations:
        print(violation)
    for mishap in report.mishaps:
        print(f"this went wrong with the tool itself: {mishap}")
    for control in report.controls:
        print(f"this control failed as it must: {control}")
    for survivor in report.survivors:
        print(f"this control did not fail: {survivor}")
    for note in report.notes:
        print(f"not tried here: {note}")
    print(report.line(_TOOLS[report.name].unit))
    if not report.is_good:
        print(f"again: python -m perdure.torture {shlex.join(again)}")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    """Return the CPU time of this process, and of its children that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _load(name: str) -> Callable[[Options], Report]:
    """Return what runs a tool. Each is imported when it is asked for: it need not know what the others need."""
    run: Callable[[Options], Report] = import_module(f"perdure.torture.{_TOOLS[name].module}").run
    return run


class _Tool(NamedTuple):
    module: str
    unit: str


_TOOLS: Final = {
    "sim": _Tool("sim", "plans"),
    "kill": _Tool("kills.tool", "kills"),
    "powerloss": _Tool("powerloss", "states"),
    "fsyncgate": _Tool("fsyncgate", "states"),
    "ioerr": _Tool("ioerr", "failures"),
    "copies": _Tool("copies.tool", "points in time and interruptions"),
    "corrupt": _Tool("corrupt", "damages"),
    "stateful": _Tool("stateful", "programs"),
    "fuzz": _Tool("fuzz", "inputs"),
    "load": _Tool("loads.tool", "open runs"),
    "skew": _Tool("skew", "plans"),
    "unknown": _Tool("unknown", "commits that raised"),
    "replay": _Tool("replay", "changes of code"),
    "check": _Tool("checking.tool", "operations"),
    "fence": _Tool("severed.fence", "workers severed"),
    "partition": _Tool("severed.partition", "workers severed"),
    "pg": _Tool("severed.pg", "strikes"),
    "mutants": _Tool("mutants", "mutants"),
}
_ALL: Final = "all"
_OF_SERVERS: Final = ("kill", "check", "fence", "partition", "pg")
"""The tools that try a server; the first two try a file unless they are told."""
_OF_FILES: Final = tuple(name for name in _TOOLS if name not in {"mutants", "fence", "partition", "pg"})
"""The bugs that `mutants` plants are the controls of the others, which try them with ``--ci`` and ``--long``."""
_MOST_PROCESSES: Final = 8


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perdure.torture", description="Try to break Perdure's promises.")
    parser.add_argument("name", choices=[_ALL, *sorted(_TOOLS)])
    parser.add_argument("--count", type=int, help="how much to try")
    parser.add_argument("--seed", type=int, help="repeat the choices of an earlier run")
    parser.add_argument("--ci", action="store_true", help="as much as continuous integration demands, with controls")
    parser.add_argument("--long", action="store_true", help="as much as a release demands")
    parser.add_argument("--json", action="store_true", help="end with the result as one line of JSON")
    parser.add_argument(
        "--plan", help="sim: run this plan only, as a violation names it; load: an order, as the tool gives to itself"
    )
    parser.add_argument(
        "--workload",
        action="append",
        help="sim, skew: only this workload; fuzz: this target; other tools: see docs; may be repeated",
    )
    parser.add_argument("--only", action="append", help="mutants: only this one; may be given several times")
    parser.add_argument(
        "--history", help="check, kill: judge again what is kept in this file or folder, as a violation names it"
    )
    parser.add_argument("--processes", type=int, help="how many processes share the work")
    parser.add_argument("--part", help="sim: this part only, as 3/10 is the third of ten, whose results add up")
    parser.add_argument("--coverage", action="store_true", help="sim: show which moments were struck, and by what")
    parser.add_argument(
        "--postgres",
        action="store_true",
        help="kill, check: on a server of its own, not on a file; all: the tools that try a PostgreSQL server",
    )
    parser.add_argument("--first", action="store_true", help="stop at the first violation, and leave out controls")
    return parser
