"""Clusters: activities that run on Ray or Dask, behind the same interface as worker processes of our own.

**Promise.** The cluster finds a place for the function and runs it there, once for each attempt. What makes an activity
durable stays here: attempts, their limits and retries, the queue, what is recorded. So the cluster's own retries are
out of force: an attempt whose node dies has failed with `WorkerProcessDiedError`, and `Retry` decides on another.

**What travels** are the orders and reports of worker processes (`perdure.execution.process_messages`), as bytes of
JSON: arguments, results, heartbeats, published values, failures. Ray and Dask pickle nothing but such bytes and the
names of two functions of this package, so every node needs the same version of Perdure, and the module of the activity.

**Who does what.** `ClusterExecutor` keeps the attempts of an engine: it connects at the first one, submits each, takes
in what it reports, gives it up. A `Cluster` is what differs between Ray and Dask (`ray_cluster`, `dask_cluster`, each
the only file that imports its library, late). At the other end a `Performance` runs the function.

**States of an attempt.** connecting → submitted → begun (its first report; only then its time counts) → ended. One that
is given up before it has begun is withdrawn and never begins. Later its next heartbeat raises, and it gets
`Settings.process_stop_seconds` to clean up; then, or at once if it has never called `heartbeat`, its process is killed,
where the cluster can do so: Ray can, Dask cannot stop a thread. Its slot stays taken until it has really ended.

**Failures.** The function's own come back as reports. `WorkerProcessDiedError`: its process or node is gone.
`ClusterUnavailableError`: the cluster could not be reached or refused the attempt. Both may be retried. A usage error
may not: the library is not installed, or the nodes could not find the function. An engine that works does not even open
(`require_libraries`) when an activity is declared for a cluster whose library is missing: better than to fail its runs.

**Rejected.** Actors, of Ray since each costs a process, of Dask since its scheduler does not count their load. Pickled
functions: what runs is what a node has imported, as in every other executor. A store for outcomes beside the history.
"""
