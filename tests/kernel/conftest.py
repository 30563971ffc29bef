"""What holds for every test of the kernel: no run outlives its test, and none leaves anything behind unseen."""

import gc
from collections.abc import Iterator

import pytest

from tests.kernel import lives


@pytest.fixture(autouse=True, scope="module")
def frozen_heap() -> Iterator[None]:
    """Keep what is there before out of the collector's way, so that a collection after each test is quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def closed_lives() -> Iterator[None]:
    """Close the runs of a test; what the collector then finds destroyed or never awaited fails this test."""
    yield
    if lives.programs:
        for program in lives.programs:
            program.close()
        lives.programs.clear()
        gc.collect()
