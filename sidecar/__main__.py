"""The command line; the environment is read here and nowhere else."""

import sys

from sidecar.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
