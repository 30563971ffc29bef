"""``mutants``: the control of other tools. Each planted bug must be found by the tool that it is for, in a budget."""

import contextlib
import io
import multiprocessing
import os
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

import msgspec

from perdure.torture import command, planting
from perdure.torture.grafting import StaleTextError, demand_texts, graft, grafts_of
from perdure.torture.options import Options
from perdure.torture.planted import PLANTED, Mutant, Patch
from perdure.torture.report import Progress, Report

__all__ = ["add_controls", "run"]


def add_controls(report: Report, options: Options) -> None:
    """Try the tool that has made `report` on the bugs planted for it."""
    chosen = [mutant for mutant in PLANTED if mutant.tool == report.name and mutant.on_postgres is options.on_postgres]
    controls = _run(options, chosen, per_core=_PER_CORE.get(report.name, 1))
    report.controls += controls.controls
    report.survivors += controls.survivors
    report.cpu_seconds += controls.cpu_seconds
    report.controls_cpu_seconds |= controls.controls_cpu_seconds


def run(options: Options) -> Report:
    """Try the tools on every planted bug, or on those that `options` name."""
    return _run(options, [mutant for mutant in PLANTED if not options.only or mutant.name in options.only])


def _run(options: Options, chosen: list[Mutant], *, per_core: int = 1) -> Report:
    begun = time.monotonic()
    progress = Progress("mutants", len(chosen))
    report = Report(
        name="mutants", runs=len(chosen), seed=options.seed, controls=[], survivors=[], controls_cpu_seconds={}
    )
    with ThreadPoolExecutor(options.processes * per_core) as pool:
        waiting = {pool.submit(_try, mutant, options.seed): mutant for mutant in chosen}
        for done, future in enumerate(as_completed(waiting), start=1):
            mutant, outcome = waiting[future], future.result()
            (report.controls if outcome.is_found else report.survivors).append(f"{mutant}: {outcome.what}")
            report.controls_cpu_seconds[mutant.name] = outcome.cpu_seconds
            progress.show(done)
    progress.end()
    report.controls.sort()
    report.survivors.sort()
    report.seconds = time.monotonic() - begun
    report.cpu_seconds = sum(report.controls_cpu_seconds.values())
    return report


class _Outcome(NamedTuple):
    """Whether a tool has found a bug, what it said, and how long its processes worked."""

    is_found: bool
    what: str
    cpu_seconds: float = 0.0


def _try(mutant: Mutant, seed: int) -> _Outcome:
    """Return whether its tool finds the bug.

    Only a finding counts: a process that breaks, or does not come to an end, has found nothing.
    """
    arguments = [mutant.tool, "--json", "--first", "--processes", "1"]
    arguments += ["--seed", str(seed), "--count", str(_BUDGETS[mutant.tool])]
    arguments += ["--postgres"] if mutant.on_postgres else []
    for workload in mutant.workloads:
        arguments += ["--workload", workload]
    try:
        output = _run_in_a_fork(mutant.patches, arguments)
    except StaleTextError as error:
        return _Outcome(is_found=False, what=f"it is stale: {error}")
    except TimeoutError:
        return _Outcome(is_found=False, what=f"it did not end within {_SECONDS} s")
    except _BrokenError as error:
        return _Outcome(is_found=False, what=f"it broke: {str(error).strip()[-_LONGEST_CHARACTERS:]}")
    report = msgspec.json.decode(output.splitlines()[-1])
    return _Outcome(*_verdict(report), report["cpu_seconds"])


class _BrokenError(Exception):
    """A tool ended without a report; says what it said in place of it."""


def _run_in_a_fork(patches: Sequence[Patch], arguments: list[str]) -> str:
    """Return what a tool says that has the bug, in a process forked from one that has imported all tools without it.

    Raises StaleTextError, TimeoutError and _BrokenError.
    """
    demand_texts(patches)
    reading, writing = _WARM.Pipe(duplex=False)
    process = _WARM.Process(target=_live_with_bugs, args=(writing, patches, arguments))
    process.start()
    writing.close()
    with reading:
        try:
            if not reading.poll(_SECONDS):
                raise TimeoutError
            is_whole, said = reading.recv()
        except EOFError as error:
            raise _BrokenError("the process has ended without a word") from error
        finally:
            process.kill()  # it has nothing left to do, or does not come to an end
            process.join()
            process.close()
    if not is_whole:
        raise _BrokenError(said)
    return str(said)


def _live_with_bugs(writing: Connection, patches: Sequence[Patch], arguments: list[str]) -> None:
    """Be the forked process."""
    grafts, encoded, said = grafts_of(patches), msgspec.json.encode(patches).decode(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            if grafts is None:
                planting.forget_perdure()
                planting.main([encoded, *arguments])
            else:
                graft(grafts)
                os.environ[planting.PATCH_VARIABLE] = encoded
                command.main(arguments)
    except BaseException:  # noqa: BLE001 - whatever it is, the bug was not found
        writing.send((False, traceback.format_exc()))
    else:
        writing.send((True, said.getvalue()))


def _verdict(report: dict[str, Any]) -> tuple[bool, str]:
    if findings := report.get("findings"):
        again, _, what = findings[0].partition("\n")
        _, has_plan, plan = again.partition(" --plan ")
        trial = f"trial {report['runs']}" + (f", {plan}" if has_plan else "")
        return True, f"{trial}: {(what or again).strip().splitlines()[0][:_LONGEST_CHARACTERS]}"
    if mishaps := report.get("mishaps"):
        return False, f"it broke: {mishaps[0].strip()[-_LONGEST_CHARACTERS:]}"
    return False, f"it survived {report['runs']} trials"


_BUDGETS: Final = {
    "copies": 15_000,
    "corrupt": 2_000,
    "sim": 1_500,
    "stateful": 500,
    "powerloss": 20_000,
    "fsyncgate": 12_000,
    "ioerr": 3_000,
    "fuzz": 12_000,
    "load": 6_000,
    "skew": 600,
    "unknown": 400,
    "replay": 1,
    "check": 20_000,
    "kill": 40,
    "fence": 12,
    "partition": 12,
    "pg": 30,
}
"""How much each tool may try until it has found a bug."""
_PER_CORE: Final = {"kill": 2, "corrupt": 2}
"""How many controls of a tool keep a core busy: where they wait for what does not come, more than one."""
_WARM: Final = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload([__name__, *command.modules()])
_SECONDS: Final = 900
_LONGEST_CHARACTERS: Final = 160
