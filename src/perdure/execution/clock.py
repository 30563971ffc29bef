"""The clock of the real world, and what is done when it is set.

**The time of everything that is recorded** is that of the store (`RunStore.clock`), which all who use it share: the
clock of the machine for a file, that of the server for a database of a server, whatever the machines of its workers
show. By it a timer is due, a schedule's time comes, a lease ends. It may be set forward or back, by a person, by NTP,
or because the machine slept. Then:

- Nothing is early. What is due at a time waits until the clock shows it, set back or not, and no due time is changed.
- Set forward: what has come due by that is done at the next look at the clock, of which there are several in a lease.
  Leases have passed by it: their owners, and there is one at a time (fencing), claim their runs again.
- Set back: what was due already waits for nothing (`RunStore.claim`), nobody's lease lasts longer than a lease from
  the next renewal of anybody's (or longer by what the clock was set back by, where that is less than the time between
  two renewals), and limits and circuits open as if nothing had happened. What was decided by the clock from before, and
  is committed only after that, waits for the next renewal of a lease. A run that is offered to others since the code of
  an activity is missing here waits until the clock shows when. A run's own time stands until the clock has caught up,
  so that its history never runs backwards, and a timer that it sets meanwhile counts from there.

**Waiting** is measured by the event loop, whose time does not jump, and neither do the time-outs of attempts.

Rejected: a time that goes on at its own pace after the clock was set back. It would differ between processes, be lost
with each of them, and have what is due at nine o'clock done before that.
"""

from perdure.kernel.time import Timestamp
from perdure.ports.clock import Clock

__all__ = ["not_ahead"]


def not_ahead(moment: Timestamp, clock: Clock) -> Timestamp:
    """Return a moment that has passed, as the clock shows it: it may have been set back since."""
    return min(moment, clock.now())
