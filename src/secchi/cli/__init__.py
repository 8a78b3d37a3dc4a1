"""The ``secchi`` command: one file per command; a command parses, calls the library, prints."""

import sys
from typing import NoReturn

INTERRUPTED = "interrupted; what was computed is kept, and the same command goes on from there"


def main() -> NoReturn:
    """Run the command line; exit 0, 1 (the error says what to do) or 2 (usage)."""
    try:
        # Imported inside: Ctrl-C while a command is only starting ends with a line as well.
        from secchi.cli.app import run
    except KeyboardInterrupt:
        print(f"error: {INTERRUPTED}", file=sys.stderr)
        sys.exit(1)
    run()
