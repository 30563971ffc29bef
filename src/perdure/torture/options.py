"""What a tool is asked to do."""

import msgspec

__all__ = ["Options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of all tools; each reads its own. `count` None: as much as `is_ci` or `is_long` say, or a little."""

    seed: int
    count: int | None = None
    is_ci: bool = False
    is_long: bool = False
    plan: str = ""
    workloads: tuple[str, ...] = ()
    processes: int = 1
    stops_at_first: bool = False
    only: tuple[str, ...] = ()
    history: str = ""

    def how_many(self, *, usually: int, ci: int, long: int) -> int:
        """Return how much to try."""
        if self.count is not None:
            return self.count
        if self.is_long:
            return long
        return ci if self.is_ci else usually
