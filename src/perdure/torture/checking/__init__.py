"""Checking histories: what many clients did at a time, in several processes, must be what one could have done alone.

**Source.** Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020), on
the graphs of Adya, Liskov and O'Neil, "Generalized Isolation Level Definitions" (ICDE 2000). State is kept in lists
that are appended to and read whole, each element once: so a read tells all that was written before it, in its order,
and the graph of dependencies needs no guess. A cycle in it is an anomaly; who sees none knows that one order explains
all that was read, as far as it was.

**What happens** (`campaign`). Three processes share one database: two that work and have clients, one that has clients
only. The `clients` make calls of the public API, one after the other each, and note every call and its answer with the
time of the machine's monotonic clock, which all processes share (`records`). Processes are killed and begin again;
calls are cut off after a moment; another program locks the database for longer than an engine waits, or, with
``--postgres``, where it is a database of a server of the round's own, all runs, or ends connections. So there are calls
of which nobody knows the outcome: they may have happened or not, at any time after they began. In the end a last
process ends every run (`subjects`) and reads it once more. `translation` makes transactions of the calls, and of what
runs did by themselves; `checker` judges them, and knows nothing of the engine.

**What is claimed** (`translation`; from docs/design/promises.md, and where that is silent from what the engine gives):

- *strictly serialisable*, so also read-your-writes and monotonic reads for every client: an acknowledged start, signal
  and update; a query, a description, a stream as far as it is there, a result, a line of a lock, and a page of
  `list_runs` that one look of the store fills (one statement): each takes effect at one moment between its call and its
  answer, for all processes, with all that its transition does. What is published is seen by a listener not before that.
- *one effect* per request id: of a signal as long as the run's row is there, of an update in its generation (P2); a
  later call with it comes after that effect. One run per id, whoever asks first.
- *a signal* takes effect on the inbox at once, on the run's state later, by the run itself: what is in the inbox of a
  run is taken in in its order, per name, exactly once, over all generations (P9). A read of the state need not show it.
  A signal that is acknowledged came before the run's end, though perhaps too late to be taken in.
- *a transition* is one transaction: what it appends, the messages that it sends to other runs, the child that it starts
  (P12). Messages to two runs are in the same order in both.
- *an error* means that nothing was saved (P2; of an update unless the error says that it may still happen),
  and what it tells of the run is a read: it is not there, has ended.
- *a lock* is held by one run at a time, by its activities, too, and given in the order in which it was asked for (P17).
- *an end* is for ever (P1): who has seen that a run has ended never sees it open. In the end every run that was
  acknowledged is there and has ended, with its children: none waits for what never comes.

Not claimed, and not looked at: an order between signals and updates that are on their way at a time; several pages as
one moment; times.

**Limits.** A seed repeats the workload, not the schedule of the processes. What was noted is kept in a file when
something is wrong, and judged again by ``check --history FILE``. Processes are killed, not stopped: what one that was
paused beyond its lease may still read is not in it. The disk neither fails nor loses anything.
"""
