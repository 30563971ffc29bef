"""The command line: the demonstration, and looking at, steering and examining the runs of a database.

**Promise.** A command that reads never makes a database and never takes work: it opens the one that is there, beside
the workers that run on it, as a client. What comes from runs (ids, messages, payloads) is shown with control characters
escaped, so that nobody draws on an operator's terminal from afar. With ``--json`` standard output is for programs: one
JSON value (or, for histories, one per line) with times in ISO 8601; errors go to standard error, as does progress.

**Shape.** `application` holds the commands with all their arguments and nothing else; each imports its own module when
it is called, so that `perdure list` does not pay for the demonstration. `exits` is the table of exit codes.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its code."""
    from perdure.cli.application import run_command_line

    sys.exit(run_command_line(sys.argv[1:]))
