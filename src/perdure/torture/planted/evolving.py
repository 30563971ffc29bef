"""Bugs of versions that stand side by side."""

from typing import Final

from perdure.torture.planted.mutant import Mutant

__all__ = ["PLANTED"]

PLANTED: Final = (
    Mutant(
        name="a run is loaded with the newest version",
        breaks="P8: a run goes on with the code that it began with",
        module="perdure.authoring.registry",
        old="self.workflow(created.workflow, created.definition_version)",
        new="self.workflow(created.workflow)",
        workloads=("versions",),
    ),
    Mutant(
        name="the next generation keeps the version of the one before",
        breaks="P8: the version that was recorded runs",
        module="perdure.kernel.consequences",
        old="event.definition_version or before.definition_version",
        new="before.definition_version",
        workloads=("versions",),
    ),
)
