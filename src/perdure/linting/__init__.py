"""The determinism linter: what workflow code does that another replay would do differently, found without running it.

**What is workflow code?** Functions under `@workflow`, and the functions of the same project that these call, wherever
they stand. Bodies of activities and of `ctx.side_effect` are not: there everything is allowed.

**How.** Names are followed through imports (`import datetime as dt; dt.datetime.now()` is `datetime.datetime.now`), and
local variables through the call that made them (`path = Path("a"); path.read_text()`). What cannot be told from the
source is not reported: a linter that is wrong is turned off.

**Rejected.** Importing the user's code, as runtime checkers do: the code would run, and what it needs would have to be
there. Type inference beyond one assignment: slow, and wrong sooner than it helps.
"""

from perdure.linting.finding import Finding
from perdure.linting.linter import Source, lint
from perdure.linting.rules import RULES, Rule

__all__ = ["RULES", "Finding", "Rule", "Source", "lint"]
