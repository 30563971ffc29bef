"""What a check finds."""

from enum import StrEnum

import msgspec

__all__ = ["Anomaly", "Kind"]


class Kind(StrEnum):
    """The anomalies that are seen without following dependencies. Those of cycles have the names of Adya and Elle."""

    ABORTED = "G1a (aborted read)"
    INTERMEDIATE = "G1b (intermediate read)"
    INCOMPATIBLE = "incompatible order"
    DUPLICATE = "duplicate element"
    PHANTOM = "phantom element"
    LOST = "lost element"
    INTERNAL = "internal"


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly: its name, and why it is one, with all that takes part in it, in words."""

    kind: str
    why: str

    def __str__(self) -> str:
        """Render for people."""
        return f"{self.kind}: {self.why}"
