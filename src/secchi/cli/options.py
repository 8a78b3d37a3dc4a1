"""Options that several commands share, and what they print."""

import json
import sys
from typing import Annotated, Any

import typer

from secchi.console import Console
from secchi.files import finite

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="Of the body: auto, fp32 or bf16.")]


def console(as_json: bool) -> Console:
    """Lines go to standard output, or to standard error where that belongs to JSON."""
    return Console(sys.stderr if as_json else None)


def print_json(document: Any) -> None:
    """Print the one document of a command; numbers that are none become null."""
    print(json.dumps(finite(document)))
