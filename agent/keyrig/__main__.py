"""`python -m keyrig`."""

from keyrig.cli import main

main()
