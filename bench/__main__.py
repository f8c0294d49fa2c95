"""`uv run bench` (which runs this folder) and `python -m bench`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # Run as a folder: it is the folder above that holds the package.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
