"""``python3 -m mdguest``, and the way in of the zipapp."""

import sys

from mdguest.cli import main

sys.exit(main())
