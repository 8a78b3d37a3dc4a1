"""The public names are a list that one can read, and reading it costs nothing."""

import importlib
import subprocess
import sys

import pytest

import secchi


def test_the_list_is_sorted_and_has_a_home_for_every_name() -> None:
    assert list(secchi.__all__) == sorted(secchi.__all__)
    assert set(secchi.__all__) == {*secchi._HOME, "__version__"}
    assert list(secchi._HOME) == sorted(secchi._HOME)
    assert dir(secchi) == secchi.__all__


@pytest.mark.parametrize("name", secchi.__all__)
def test_every_name_can_be_used(name: str) -> None:
    value = getattr(secchi, name)
    if name != "__version__":
        assert value is getattr(importlib.import_module(secchi._HOME[name]), name)
        assert value.__module__ == secchi._HOME[name]
        assert value.__doc__


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Lerner'"):
        _ = secchi.Lerner


def test_importing_secchi_loads_none_of_its_libraries() -> None:
    program = "import sys, secchi; dir(secchi); secchi.__version__; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "secchi" in loaded
    assert not loaded & {"numpy", "torch", "timm", "openvino", "PIL", "pandas", "matplotlib"}
    assert not any(name.startswith("secchi.") for name in loaded)
