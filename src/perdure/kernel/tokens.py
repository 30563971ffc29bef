"""Tokens: how the world outside names one attempt of one activity of one generation of a run.

A token is 32 characters that are safe in a URL: base64 of the run's key, the operation, the attempt, and a check that
follows from the run's seed, hence from its id. The same attempt has the same token whenever it is asked for, also after
a crash. Whoever has a token can complete the attempt: it is as hard to guess as the id of the run.
"""

import base64
import hashlib
import hmac
import struct
from typing import Final, NamedTuple

from perdure.errors import InvalidArgumentError
from perdure.kernel.events import RunCreated
from perdure.kernel.identity import Operation, RunKey

__all__ = ["ActivityToken"]


class ActivityToken(NamedTuple):
    """The parts of a token; `check` is a digest of the others and the run's seed."""

    run_key: RunKey
    operation: Operation
    attempt: int
    check: bytes

    @classmethod
    def of(cls, created: RunCreated, run_key: RunKey, operation: Operation, attempt: int) -> "ActivityToken":
        """Return the token of an attempt of the run that `created` begins."""
        return cls(run_key, operation, attempt, _check(created.seed, run_key, operation, attempt))

    @classmethod
    def parse(cls, text: str) -> "ActivityToken":
        """Read a token back. Raises InvalidArgumentError for anything that cannot be one."""
        try:
            data = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
            run_key, operation, attempt, check = _LAYOUT.unpack(data)
        except (ValueError, struct.error):
            raise _no_token() from None
        token = cls(RunKey(run_key), Operation(operation), attempt, check)
        if str(token) != text:  # the decoder also takes texts that no token has
            raise _no_token()
        return token

    def is_of(self, created: RunCreated) -> bool:
        """Whether the run that `created` begins has given this token out."""
        return hmac.compare_digest(self.check, _check(created.seed, self.run_key, self.operation, self.attempt))

    def __repr__(self) -> str:
        """Render without the check, which makes a token."""
        return f"ActivityToken(run_key={self.run_key}, operation={self.operation}, attempt={self.attempt})"

    def __str__(self) -> str:
        """Render as text."""
        data = _LAYOUT.pack(self.run_key, self.operation, self.attempt, self.check)
        return base64.b64encode(data, altchars=b"-_").decode()


def _no_token() -> InvalidArgumentError:
    """Return the error for a text that is none, which is not shown: it may be somebody's secret."""
    return InvalidArgumentError("that is no token of an activity; take it from current_attempt().token")


_CHECK_BYTES: Final = 8
_LAYOUT: Final = struct.Struct(f"!qII{_CHECK_BYTES}s")
"""The key signed, as a store's integers are: what is no token must be no number that it cannot look for."""


def _check(seed: int, run_key: RunKey, operation: Operation, attempt: int) -> bytes:
    named = struct.pack("!qII", run_key, operation, attempt)
    return hashlib.blake2b(named, digest_size=_CHECK_BYTES, key=seed.to_bytes(8, "big")).digest()
