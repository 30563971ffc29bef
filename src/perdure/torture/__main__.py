"""``python -m perdure.torture NAME``: see the package."""

import sys

from perdure.torture.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
