"""Commands run to their end in the process of the tests."""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from secchi.cli.app import run


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that standard output has to be."""
        assert self.out.endswith("\n")
        return json.loads(self.out)


@pytest.fixture
def secchi(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run a command to its end, in this process, since another takes seconds to start."""

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["secchi", *map(str, arguments)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # run() changes it
        with pytest.raises(SystemExit) as ended:
            run()
        code = ended.value.code
        assert isinstance(code, int)
        return Done(code, *capsys.readouterr())

    return command


@pytest.fixture
def ended() -> type[Done]:
    """How a command in a process of its own ended, of its code and what it wrote."""
    return Done
