"""Entry of `python -m memsync_results VERB ...`, which `memsync VERB ...` execs."""

import sys

from memsync_results.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
