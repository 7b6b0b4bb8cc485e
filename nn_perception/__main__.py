"""``python -m nn_perception``: the same as ``nn-perception``."""

import sys

from nn_perception.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
