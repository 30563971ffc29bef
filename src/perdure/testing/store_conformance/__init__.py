"""The conformance suite of stores: every sentence of `perdure.ports.store`, as a test that any store must pass.

**Use.** Derive a test class from `StoreConformance` and give it a fixture `harness` that yields a `StoreHarness` on a
fresh database. The tests are async: run them with pytest-asyncio in auto mode.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        async def harness(self) -> AsyncIterator[StoreHarness]:
            harness = MyHarness()
            yield harness
            await harness.close()

**Readings.** Where the port leaves a choice, the suite holds the reading that loses nothing and wakes nobody too late;
such a test says its reading in its name.

**Time.** All instants are the suite's own (`START` and later), in the past of any real clock. Nothing sleeps.
"""

from perdure.testing.store_conformance.advancing import AdvancingConformance
from perdure.testing.store_conformance.agenda import AgendaConformance
from perdure.testing.store_conformance.claiming import ClaimingConformance
from perdure.testing.store_conformance.clocks import ClocksConformance
from perdure.testing.store_conformance.continuing import ContinuingConformance
from perdure.testing.store_conformance.creating import CreatingConformance
from perdure.testing.store_conformance.delivering import DeliveringConformance
from perdure.testing.store_conformance.ending import EndingConformance
from perdure.testing.store_conformance.following import FollowingConformance
from perdure.testing.store_conformance.harness import START, StoreHarness, StoreSession
from perdure.testing.store_conformance.keeping import KeepingConformance
from perdure.testing.store_conformance.listing import ListingConformance
from perdure.testing.store_conformance.locking import LockingConformance
from perdure.testing.store_conformance.parking import ParkingConformance
from perdure.testing.store_conformance.placing import PlacingConformance
from perdure.testing.store_conformance.reading import ReadingConformance
from perdure.testing.store_conformance.repairing import RepairingConformance
from perdure.testing.store_conformance.requesting import RequestingConformance
from perdure.testing.store_conformance.sessions import SessionsConformance
from perdure.testing.store_conformance.sharing import SharingConformance
from perdure.testing.store_conformance.tasks import TasksConformance

__all__ = ["START", "StoreConformance", "StoreHarness", "StoreSession"]


class StoreConformance(
    CreatingConformance,
    AdvancingConformance,
    ContinuingConformance,
    DeliveringConformance,
    RequestingConformance,
    ClaimingConformance,
    ParkingConformance,
    EndingConformance,
    LockingConformance,
    TasksConformance,
    PlacingConformance,
    SharingConformance,
    RepairingConformance,
    SessionsConformance,
    ClocksConformance,
    ReadingConformance,
    FollowingConformance,
    ListingConformance,
    AgendaConformance,
    KeepingConformance,
):
    """Everything a store must do."""
