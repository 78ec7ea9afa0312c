"""``python -m bench.scale``."""

import sys

from bench.scale.command import main

sys.exit(main())
