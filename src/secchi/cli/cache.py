"""``secchi cache``: what is kept, how large it is, and clearing it."""

import datetime
from typing import Annotated

import typer

from secchi.cli.options import Json, console, print_json


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything that is kept.")] = False,
    as_json: Json = False,
) -> None:
    """Show or clear what was computed once and kept."""
    from secchi.features.cache import FeatureCache

    screen = console(as_json)
    kept = FeatureCache()
    freed = kept.clear() if clear else 0
    lines = kept.usage()
    total = sum(line.bytes for line in lines)
    if as_json:
        print_json(
            {
                "folder": str(kept.root),
                "bytes": total,
                "limit_bytes": int(kept.limit_gb * 1e9),
                "freed_bytes": freed,
                "kept": [
                    {
                        "kind": line.kind,
                        "title": line.title,
                        "pictures": line.pictures,
                        "bytes": line.bytes,
                        "used": line.used,
                    }
                    for line in lines
                ],
            }
        )
        return
    if clear:
        screen.line(f"{freed / 1e6:,.1f} MB deleted")
    for line in lines:
        used = datetime.datetime.fromtimestamp(line.used).strftime("%Y-%m-%d %H:%M")
        what = f"{line.pictures:,} pictures" if line.kind == "features" else "converted model"
        screen.line(f"{line.bytes / 1e6:>10,.1f} MB  {used}  {line.title}: {what}")
    screen.line(f"{total / 1e6:>10,.1f} MB  of at most {kept.limit_gb:g} GB in {kept.root}")
