"""Hybrid: where an activity runs that leaves the choice to the engine.

A thread is cheap to reach (some 70 microseconds) but shares one interpreter lock with everything else; a pool process
costs a few hundred microseconds more and burns its own core. So an activity belongs into a process when it burns CPU
for longer than `Settings.hybrid_process_seconds`, and into a thread when it mostly waits. What counts is the CPU time
of the attempts so far, averaged with the latest weighing most; before the first one the declared `expected_duration`
decides, and without it a thread.

An attempt that runs out of time counts with all its time: a process can be killed, a thread cannot.

Between half the limit and the limit nothing changes, so that an activity near it does not move to and fro.
"""

from typing import Final

from perdure.kernel.options import Executor

__all__ = ["Hybrid", "choose_hybrid", "moving_average"]

LATEST_WEIGHT: Final = 0.3
"""How much the latest measurement counts in the average."""


def choose_hybrid(
    *, expected_seconds: float | None, measured_seconds: float | None, before: Executor, process_seconds: float
) -> Executor:
    """Return THREAD or PROCESS for the next attempt of an activity.

    `expected_seconds`: the declared duration, None if nothing is declared. `measured_seconds`: CPU time of earlier
    attempts, None before the first. `before`: where the last one ran.

    >>> choose_hybrid(expected_seconds=2.0, measured_seconds=None, before=Executor.THREAD, process_seconds=0.05)
    <Executor.PROCESS: 'process'>
    >>> choose_hybrid(expected_seconds=2.0, measured_seconds=0.001, before=Executor.PROCESS, process_seconds=0.05)
    <Executor.THREAD: 'thread'>
    """
    if measured_seconds is None:
        is_heavy = expected_seconds is not None and expected_seconds > process_seconds
        return Executor.PROCESS if is_heavy else Executor.THREAD
    if measured_seconds > process_seconds:
        return Executor.PROCESS
    if measured_seconds < process_seconds / 2:
        return Executor.THREAD
    return before


def moving_average(average: float | None, latest: float) -> float:
    """Return the exponentially weighted average that includes `latest`; None: there is none yet.

    >>> moving_average(None, 2.0), moving_average(2.0, 1.0)
    (2.0, 1.7)
    """
    return latest if average is None else average + LATEST_WEIGHT * (latest - average)


class Hybrid:
    """What was measured of the hybrid activities of this process: one number each, so at most one per definition."""

    def __init__(self, *, process_seconds: float) -> None:
        """Send into a process what burns CPU for longer than `process_seconds`."""
        self._process_seconds = process_seconds
        self._measured: dict[str, float] = {}
        self._before: dict[str, Executor] = {}

    def choose(self, activity: str, expected_seconds: float | None) -> Executor:
        """Return where the next attempt of an activity runs."""
        chosen = choose_hybrid(
            expected_seconds=expected_seconds,
            measured_seconds=self._measured.get(activity),
            before=self._before.get(activity, Executor.THREAD),
            process_seconds=self._process_seconds,
        )
        self._before[activity] = chosen
        return chosen

    def note(self, activity: str, cpu_seconds: float) -> None:
        """Learn what an attempt has cost."""
        self._measured[activity] = moving_average(self._measured.get(activity), cpu_seconds)
