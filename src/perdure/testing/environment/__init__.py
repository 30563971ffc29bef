"""The test environment and its parts.

**Promise.** A test sees the engine as it is, not a model of it: the same worker, kernel and store run on an event loop
whose timers are virtual. Time passes only where a test waits for it, so a wait of thirty days takes milliseconds and
each run of a test does the same.

**Parts.** `virtual_time`: the clock and the loop. `driving`: when time passes. `life`: one process of the engine, and
its death. `bridge`: between the test's loop and the engine's. `cast`, `performing`: who plays the activities. `points`:
where a process may die. `environment`: the whole. `synchronous`: the same for synchronous tests.

**Rejected.** Patching `time` or the test's own loop: two environments would share one clock, and so would the test's
fixtures. A thread for the engine: stand-ins would run beside the test, and an `asyncio.Event` of the test could not be
waited for in one. A clock that only the engine knows, on the test's loop: `asyncio.sleep` in an activity would be real,
and a death could not stop what runs.
"""

from perdure.testing.environment.cast import ActivityCalled, UnreplacedActivityError
from perdure.testing.environment.environment import EPOCH, StandstillError, TestEnvironment
from perdure.testing.environment.synchronous import SyncTestEnvironment

__all__ = [
    "EPOCH",
    "ActivityCalled",
    "StandstillError",
    "SyncTestEnvironment",
    "TestEnvironment",
    "UnreplacedActivityError",
]
