"""`python -m schakel` is `schakel`."""

from schakel.cli import main

main()
