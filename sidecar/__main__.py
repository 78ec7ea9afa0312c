"""Starts the command line; the environment is read here and nowhere else."""

import os
import sys

from sidecar.cli import commands


def main() -> int:
    """Run the command that the process was started with; give its exit status."""
    return commands.main(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
