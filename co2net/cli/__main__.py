"""``python -m co2net.cli``: the command line without its script."""

from co2net.cli import main

main()
