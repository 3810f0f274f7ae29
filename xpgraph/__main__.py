"""``python -m xpgraph``: the same as the command ``xpgraph``."""

import sys

from .cli.app import main

sys.exit(main())
