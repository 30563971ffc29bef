"""The breakages of the test kit; see `planted`."""

from typing import Final

from tests.proofs.defect import Defect

__all__ = ["TESTING"]

TESTING: Final[dict[str, tuple[Defect, ...]]] = {
    "env.advance": (
        Defect(
            "testing.environment.driving",
            "self.time.pass_to(moment)",
            "self.time.pass_to(Timestamp(moment + 1_000_000))",
        ),
    ),
    "env.own_clock": (
        Defect(
            "testing.environment.environment",
            'self._time = VirtualTime(Timestamp(require_moment(start, "start")))',
            'self._time = globals().setdefault("_all", VirtualTime(Timestamp(require_moment(start, "start"))))',
        ),
    ),
    "env.stands_still": (
        Defect("testing.environment.driving", "        if self._is_busy():\n", "        if False:\n"),
    ),
    "env.replace": (
        Defect("testing.environment.cast", "        require_same_signature(activity, player)\n", ""),
        Defect("testing.environment.cast", "        self._players[activity.name] = player\n", ""),
    ),
    "env.fail_next": (Defect("testing.environment.cast", "failures.popleft() if failures", "failures[0] if failures"),),
    "env.restore": (
        Defect("testing.environment.cast", "            table.pop(activity.name, None)\n", "            pass\n"),
    ),
    "env.calls": (
        Defect("testing.environment.performing", "                args=args,\n", "                args=(),\n"),
    ),
    "env.strict": (Defect("testing.environment.cast", "if player is None and self.is_strict:", "if False:"),),
    "env.assert_played": (
        Defect("testing.environment.cast", "return [*sorted(missed), *idle, *whole, *spared]", "return []"),
        Defect("testing.environment.cast", "            self._missed.add(activity.name)\n", ""),
    ),
    "env.crash_and_recover": (
        Defect("testing.environment.environment", "            self._life.die()\n", "            pass\n"),
    ),
    "env.at": (Defect("testing.time_travel", "fold(RunState(), history[:number])", "fold(RunState(), history)"),),
    "moment.query": (Defect("testing.time_travel", "self._history[: self._seen_by_code()]", "self._history"),),
    "crash_everywhere": (
        Defect(
            "testing.environment.points",
            "        self.struck.append(point)\n        return False\n",
            "        return True\n",
        ),
    ),
    "crash_everywhere.passes": (
        Defect("testing.crashes", "random.Random(self._seed).sample(numbers, self._passes)", "numbers"),
    ),
    "crash_everywhere.only": (Defect("testing.crashes", "if self._only is not None:", "if False:"),),
    "crash_everywhere.environment": (
        Defect("testing.environment.environment", "cast=self._cast.again()", "cast=None"),
    ),
    "crash_everywhere.twice": (Defect("testing.crashes", "        yield _Kind.AGAIN, Points(undisturbed)\n", ""),),
    "crash_everywhere_sync": (Defect("testing.environment.synchronous", "        around.inside = environment\n", ""),),
    "assert_golden": (
        Defect("testing.golden", "    if differences:\n", "    if False:\n"),
        Defect("testing.golden", "    if replayed.verdict is not Verdict.SAME:\n", "    if False:\n"),
    ),
    "assert_history": (Defect("testing.histories", "return len(lines) in reachable", "return True"),),
    "SyncTestEnvironment": (
        Defect("testing.environment.synchronous", "        self._wait(self.inside.advance, duration)\n", ""),
    ),
}
