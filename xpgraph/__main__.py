"""``python -m xpgraph``: the same as the command ``xpgraph``."""

import sys

from .cli import main

sys.exit(main())
