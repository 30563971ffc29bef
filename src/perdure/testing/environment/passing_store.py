"""A store whose calls pass through a function: to another event loop, or past a counter."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import msgspec

from perdure.ports.store import RunStore

__all__ = ["StoreCall", "passing_store"]


class StoreCall(msgspec.Struct, frozen=True):
    """A call of a store: it can be made several times, each time of the store that there is then."""

    store: Callable[[], RunStore]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def make(self) -> Awaitable[Any]:
        """Make the call."""
        made: Awaitable[Any] = getattr(self.store(), self.name)(*self.args, **self.kwargs)
        return made


Pass = Callable[[StoreCall], Awaitable[Any]]
"""Makes a call and returns its answer."""


def passing_store(store: Callable[[], RunStore], passing: Pass) -> RunStore:
    """Return a store that is `store()` at each call, with each asynchronous one made by `passing`."""
    return cast("RunStore", _PassingStore(store, passing))


class _PassingStore:
    """Every method of the port, without naming them. There need not be a store yet when an asynchronous one is got."""

    def __init__(self, store: Callable[[], RunStore], passing: Pass) -> None:
        self._store = store
        self._passing = passing

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has under the name
        if inspect.iscoroutinefunction(getattr(RunStore, name, None)):
            return partial(self._call, name)
        return getattr(self._store(), name)

    async def _call(self, name: str, *args: object, **kwargs: object) -> object:
        return await self._passing(StoreCall(self._store, name, args, kwargs))
