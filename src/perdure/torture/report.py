"""Reports: what a tool prints, in the same form for all."""

import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["Progress", "Report"]


class Report(msgspec.Struct, kw_only=True):
    """The outcome of one tool.

    `runs` is how much was tried, `violations` what broke a promise, `mishaps` what kept the tool from its work, such as
    a process that broke: it has found nothing then, and is not good either. `controls` names the controls that failed
    as they must, `survivors` those that did not, `notes` what could not be tried on this machine. `details` are lines
    that were asked for, or that help, `coverage` the same for machines, where a tool has it. `tally` says how often
    what happened in the trials: what they came to. `cpu_seconds`: of all processes of the tool, with its controls;
    `controls_cpu_seconds`: of each control, by its name.
    """

    name: str
    runs: int = 0
    violations: list[str] = []
    mishaps: list[str] = []
    seconds: float = 0.0
    seed: int = 0
    controls: list[str] = []
    survivors: list[str] = []
    notes: list[str] = []
    details: list[str] = []
    coverage: dict[str, dict[str, list[str]]] = {}
    tally: dict[str, int] = {}
    cpu_seconds: float = 0.0
    controls_cpu_seconds: dict[str, float] = {}

    @property
    def is_good(self) -> bool:
        """Whether something was tried, no promise was broken, every control failed, and there was no mishap."""
        return self.runs > 0 and not (self.violations or self.survivors or self.mishaps)

    def line(self, unit: str) -> str:
        """Return the result as one line."""
        rate = self.runs / self.seconds if self.seconds else 0.0
        verdict = "ok" if self.is_good else "FAILED" if self.runs else "FAILED, since nothing was tried"
        controls = ""
        if self.controls or self.survivors:
            controls = (
                f", {len(self.controls)} of {len(self.controls) + len(self.survivors)} controls failed as they must"
            )
        tally = "".join(f", {count} {what}" for what, count in self.tally.items())
        return (
            f"{self.name}: {verdict}: {self.runs} {unit} in {self.seconds:.1f} s ({rate:.0f}/s){tally}, "
            f"{len(self.violations)} violations, seed {self.seed}{controls}"
        )

    def as_json(self) -> str:
        """Return the result for machines; of the violations the first ones stand in it."""
        result: dict[str, object] = {
            "name": self.name,
            "runs": self.runs,
            "violations": len(self.violations),
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "seed": self.seed,
            "controls": {
                "failed_as_they_must": self.controls,
                "survived": self.survivors,
                "cpu_seconds": self.controls_cpu_seconds,
            },
        }
        if self.violations:
            result["findings"] = self.violations[:_MOST_FINDINGS]
        if self.mishaps:
            result["mishaps"] = self.mishaps
        if self.tally:
            result["tally"] = self.tally
        if self.coverage:
            result["coverage"] = self.coverage
        return msgspec.json.encode(result).decode()


class Progress:
    """A line on the terminal that says how far a tool is; silent where there is no terminal."""

    def __init__(self, name: str, total: int) -> None:
        """Count to `total`."""
        self._name = name
        self._total = max(total, 1)
        self._begun = time.monotonic()
        self._is_shown = sys.stderr.isatty()
        self._write: Callable[[str], object] = sys.stderr.write

    def show(self, done: int) -> None:
        """Say that `done` are done."""
        if self._is_shown:
            filled = round(_WIDTH * min(done / self._total, 1.0))
            seconds = time.monotonic() - self._begun
            self._write(
                f"\r{self._name} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{self._total} {seconds:.0f} s "
            )
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._write("\r\033[K")


_WIDTH: Final = 30
_MOST_FINDINGS: Final = 10
