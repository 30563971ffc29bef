"""All targets, by name."""

from typing import Final

from perdure.torture.fuzzing.copied import COPIED
from perdure.torture.fuzzing.encoded import ENCODED
from perdure.torture.fuzzing.exported import EXPORTED
from perdure.torture.fuzzing.shown import SHOWN
from perdure.torture.fuzzing.spoken import SPOKEN
from perdure.torture.fuzzing.stored import STORED
from perdure.torture.fuzzing.target import Target
from perdure.torture.fuzzing.valued import VALUED
from perdure.torture.fuzzing.written import WRITTEN

__all__ = ["TARGETS"]

TARGETS: Final[dict[str, Target]] = {
    target.name: target for target in (*STORED, *COPIED, *EXPORTED, *ENCODED, *VALUED, *SPOKEN, *WRITTEN, *SHOWN)
}
