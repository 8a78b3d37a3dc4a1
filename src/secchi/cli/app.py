"""The commands put together, and what becomes of their errors."""

import contextlib
import io
import json
import os
import sys
import warnings
from typing import Any, NoReturn

import typer
from typer.main import get_command

from secchi.cli import (
    INTERRUPTED,
    cache,
    demo,
    find_lr,
    look,
    predict,
    recipe,
    test,
    train,
    vary,
)
from secchi.errors import SecchiError, SpecError

_CTRL_C = 130
"""What typer makes of Ctrl-C."""

_OUT_OF_MEMORY = "out of memory; a smaller --size or fewer other programs would help"

app = typer.Typer(
    name="secchi",
    help="Train a network on your pictures or your table in seconds, and see why it is right or "
    "wrong.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("find-lr")(find_lr.find_lr)
app.command("recipe")(recipe.recipe)
app.command("predict")(predict.predict)
app.command("test")(test.test)
app.command("vary", help=vary.HELP)(vary.vary)
app.command("look")(look.look)
app.command("cache")(cache.cache)


def run() -> NoReturn:
    """Run the command line and end the process; see :func:`secchi.cli.main`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold what the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    code, message = _run()
    if message:
        if "--json" in sys.argv:
            print(json.dumps({"error": message}))
        with contextlib.suppress(BrokenPipeError):
            print(f"error: {message}", file=sys.stderr)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(code)


def _run() -> tuple[int, str]:
    """The exit code, and what went wrong."""
    try:
        code = get_command(app).main(sys.argv[1:] or ["--help"], standalone_mode=False)
        if code == _CTRL_C:
            return 1, INTERRUPTED
        return (code, "") if isinstance(code, int) else (0, "")
    except SpecError as error:
        return 1, error.lines
    except SecchiError as error:
        return 1, str(error)
    except KeyboardInterrupt:
        return 1, INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 1, ""
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return 1, f"{error.strerror or error}{where}"
    except MemoryError:
        return 1, _OUT_OF_MEMORY
    except Exception as error:
        return _usage_or_bug(error)


def _usage_or_bug(error: Exception) -> tuple[int, str]:
    """Usage errors of the command-line library, and errors that nobody foresaw."""
    if hasattr(error, "format_message"):
        message = error.format_message()
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "secchi"
        return (2, f"{message} ('{command} --help' shows what there is)") if message else (2, "")
    if type(error).__name__ == "Abort":
        return 1, INTERRUPTED
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
        return 1, _OUT_OF_MEMORY
    if os.environ.get("SECCHI_DEBUG"):
        raise error
    return 1, (
        f"secchi stumbled over something it did not foresee: {type(error).__name__}: {error}; "
        "SECCHI_DEBUG=1 shows where, and a report of it is welcome"
    )


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Show secchi's own warnings as a line; libraries' are for developers."""
    if category is UserWarning:
        print(f"warning: {message}", file=sys.stderr)
