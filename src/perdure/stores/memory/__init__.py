"""The store in memory: for tests, for experiments, and as the ground of the deterministic simulation.

**Promise.** It passes the same conformance suite as the durable stores and keeps every promise of the port except
durability beyond the process. It has no threads, no clock and no chance: what it does depends only on the calls and
their order, so a simulated run is repeated by repeating its calls.

**Sessions.** A `MemoryDatabase` holds the tables; each `MemoryStore` opened on it is one worker's session. Closing a
session leaves the tables as they are. `MemoryDatabase.kill` is a crash: from then on the session's calls fail, a
commit that had not been applied never is, and the next `free_expired` of another session gives its runs back.

**Time.** Nothing here knows what time it is. A lease begins at the first `now` that any call mentions after the
session was opened; runs that a closing session gives back are due since their last event.

**Failures.** A `CommitGate` stands before and after each commit, where a simulator lets other tasks run, waits, or
crashes. Events and messages are kept encoded, so that what cannot be stored elsewhere cannot be stored here, and a
test can damage them.
"""

from perdure.stores.memory.gate import CommitGate
from perdure.stores.memory.store import MemoryStore
from perdure.stores.memory.tables import MemoryDatabase

__all__ = ["CommitGate", "MemoryDatabase", "MemoryStore"]
