"""``python -m perdure.torture.kills [--count N] [--seed S] [--ci] [--long] [--json]``: the tool by itself."""

import argparse
import logging
import random
import sys

from perdure.torture.kills.tool import run
from perdure.torture.options import Options


def main() -> int:
    """Kill, print what was found, return the status to exit with: 0 if every promise held."""
    parser = argparse.ArgumentParser(prog="python -m perdure.torture.kills", description="Kill processes of Perdure.")
    parser.add_argument("--count", type=int, help="how many kills")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--ci", action="store_true", help="as many as continuous integration demands")
    parser.add_argument("--long", action="store_true", help="as many as a release demands")
    parser.add_argument("--json", action="store_true", help="end with the result as one line of JSON")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what the engine warns of is what the tool provokes
    report = run(Options(count=given.count, seed=given.seed, is_ci=given.ci, is_long=given.long))
    for finding in [*report.violations, *(f"this control did not fail: {name}" for name in report.survivors)]:
        print(finding)
    print(report.line("kills"))
    if given.json:
        print(report.as_json())
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
