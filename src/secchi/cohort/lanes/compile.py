"""From LLVM's intermediate code to functions that can be called."""

import contextlib
import ctypes
import functools
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import llvmlite.binding as llvm
from llvmlite import ir


@functools.cache
def _start() -> None:
    """Make LLVM ready, once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    library = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("ucrtbase")
    for name in ("erf", "erff"):
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        llvm.add_symbol(name, address)


def _machine() -> llvm.TargetMachine:
    """The processor that this runs on, with all that it can; each engine owns one."""
    _start()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
    )


@functools.cache
def register_bytes() -> int:
    """How many bytes a vector register has here: 64, 32 or 16."""
    _start()
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


def lanes_of(precision: str) -> int:
    """How many networks a vector holds here.

    >>> lanes_of("fp32") == 2 * lanes_of("fp64")
    True
    """
    return register_bytes() // (8 if precision == "fp64" else 4)


@contextlib.contextmanager
def garbage_put_off() -> Iterator[None]:
    """Put off the collection of garbage.

    A program is tens of thousands of objects that hold each other. Collected on the way, those that
    are in use grow old, and all objects of the process are looked at for them, which takes as long
    as compiling; collected behind it they are all young, which takes no time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def compiled(module: ir.Module, name: str, parameters: int) -> Callable[..., None]:
    """A function of a module as machine code; it takes so many pointers, as whole numbers.

    While it runs, Python's other threads do too.
    """
    parsed, machine = llvm.parse_assembly(str(module)), _machine()
    # The code is of vectors with inner loops written out: more passes make it no faster.
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(parsed, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * parameters)
    function: Any = kind(engine.get_function_address(name))
    function.engine = engine  # which owns the code
    return cast("Callable[..., None]", function)
