"""Scheduling: which of the waiting items goes next.

**Promise.** A decision is a pure function of what was enqueued, dispatched and completed before it: there is no clock
(`now` is an argument), no I/O and no randomness, so the same calls give the same order on every machine, and a
recorded load can be replayed under another tree. A tree never loses an item, never gives one twice, and never answers
"nothing" while something waits.

**Shape.** A `SchedulingTree` is made of nodes. A leaf (`Keyed`) holds items in an order. A `Branch` routes each item
to a child by one of its fields and lets a `Policy` choose among the children that have work. Policies are small
classes that know children by name only: `Strict` (a better class always first) and `Fair` (shares by weight and cost).
The default tree is Strict over the five priority classes -> Fair over tenants -> Keyed by deadline, then arrival:

    SchedulingTree ── Branch(Strict, by priority)
                        ├── CRITICAL: Branch(Fair, by tenant)
                        │               ├── "acme": Keyed ── items
                        │               └── "zeta": Keyed ── items
                        └── NORMAL:   Branch(Fair, by tenant) ...

    >>> from perdure.kernel.priority import Priority
    >>> from perdure.kernel.time import Timestamp
    >>> from perdure.scheduling.item import Item
    >>> from perdure.scheduling.tree import default_tree
    >>> tree, now = default_tree(), Timestamp(0)
    >>> report = Item(key="report", priority=Priority.LOW, tenant="acme", enqueued_at=now)
    >>> tree.enqueue(report, now)
    >>> tree.enqueue(Item(key="payment", priority=Priority.HIGH, tenant="acme", enqueued_at=now), now)
    >>> print(tree.explain(report).reason)
    priority class: 1 ahead of LOW (HIGH); a better class that has work is always served first
    >>> [item.key for item in (tree.select(now), tree.select(now)) if item]
    ['payment', 'report']

Beside the tree stand the limits, which keep an item from starting although a slot is free: `ConcurrencyLimit`,
`RateGate`, `ResourceDemand`. `Admission` keeps the items that are over one out of the tree; see there.

**Life of an item.** `enqueue` -> `select` (chooses and dispatches: the estimated cost is charged) -> `complete` (the
charge is corrected to the actual cost). `remove` and `reprioritise` act on items that still wait. Whoever selects an
item owes the tree its `complete`, with cost 0 if nothing was run; without it the item counts as running for ever.

**Limits.** Strict classes starve the lower ones under sustained overload of the upper ones; that is what strict means,
and no ageing here softens it (ageing across classes turns into first-in-first-out for all under overload).
Shares hold among tenants of one class, not across classes. The structures live in the memory of one process.

**Rejected.** Sorting by a computed score at each decision (O(n), and an order that shifts with time); filtering after
selection (a blocked head holds up everything behind it); counting items instead of cost (a tenant of long items gets
more than its share).

**Sources.** Goyal, Vin, Cheng, "Start-time fair queuing", SIGCOMM 1996 (IEEE/ACM ToN 5(5), 1997); Jin, Chase, Kaur,
"Interposed proportional sharing for a storage service utility", SIGMETRICS 2004 (SFQ(D), several in service).
"""
