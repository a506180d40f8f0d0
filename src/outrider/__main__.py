"""`python -m outrider` is `outrider`."""

from __future__ import annotations

import sys

from outrider.cli.main import main

sys.exit(main())
