"""A breakage of the engine: a piece of its text that becomes another."""

import msgspec


class Defect(msgspec.Struct, frozen=True):
    """In `perdure.<module>` the text `old` becomes `new`."""

    module: str
    old: str
    new: str
