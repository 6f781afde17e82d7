"""``python3 -m mdguest``, and the way in of the zipapp. Older Pythons understand this file too."""

import sys

if sys.version_info < (3, 9):  # noqa: UP036  # they are who this is for
    sys.exit("mdguest: it needs Python 3.9 or newer; this is {}.{}".format(*sys.version_info))

from mdguest.cli import main

sys.exit(main())
