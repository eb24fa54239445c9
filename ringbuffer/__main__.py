"""``python -m ringbuffer`` is the ``ringbuffer`` command."""

import sys

from ringbuffer.cli import main

if __name__ == "__main__":
    sys.exit(main())
