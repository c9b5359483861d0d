"""``python -m tgworker``."""

import sys

from tgworker.cli import main

sys.exit(main())
