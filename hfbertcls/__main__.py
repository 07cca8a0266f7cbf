"""`python -m hfbertcls`."""

import sys

from hfbertcls.cli import main


sys.exit(main())
