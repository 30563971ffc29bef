"""The deterministic simulation: the real engine on virtual time, struck by crashes at every point that matters.

**Promise.** A trial is a function of its plan: the same plan gives the same course, callback for callback. What runs is
the engine itself (client, worker, committer, dispatcher, kernel, memory store); simulated are only time, the event loop
that carries it, and the moments at which a process dies, stands still, or finds the store unavailable.

**How.** A `World` (`world`) holds several processes, each with an event loop of its own on one virtual clock. A
process' callbacks keep their order; which process goes next, how long a commit, a read or an activity takes, is drawn
from the plan's seed. *Points* are counted over the whole trial: before and after each commit and the effect of each
activity, and within a recovery: after a session has begun, after runs were freed or claimed, at each page of a history
that is loaded. A plan (`plans`) says what strikes at which points. A struck process starts again on the same
database, and its client program goes on where its acknowledgements end (`program`).

**The oracle** compares every table (`canon`) with those of the same workload left undisturbed, after taking out what
may differ (times, keys, owners, events about recovery), and checks each history by itself (`laws`): gapless, legal, one
outcome per operation, nothing after the end, timers neither early nor late, replayed by today's code, folded to the
row. Acknowledged calls must be there; each effect must have been durable as a plan before it happened.

**Two stores.** What the memory store does, the SQLite store's own functions do once more in a `shadow`; each answer and
in the end each row must be equal. So a trial is also one on the tables that users have, at a third of its cost.

**Rejected.** Simulating with the real loop and a fast clock: callbacks of a process that died could not be dropped
whole. Threads of one process per worker: their order is nobody's to choose.

Source of the idea: FoundationDB's simulation (Zhou et al., SIGMOD 2021).
"""
