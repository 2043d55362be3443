"""`python -m googlenet` is `googlenet`."""

import sys

from googlenet.cli import main

sys.exit(main())
