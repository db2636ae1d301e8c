"""`python -m saima.worker`."""

import sys

from saima.worker.main import main

sys.exit(main())
