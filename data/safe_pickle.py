"""safe_pickle.py - Sec. 4.1's pickles, read without running anything that they name.

A pickle can call any function of Python. VOCASET's hold dictionaries, numbers, text and arrays of
numbers, written by Python 2 (latin1); only these are rebuilt, everything else is refused.

In:  a path. Out: its nested containers with NumPy arrays. Read next: voca.py, which reads them.
"""

import pickle
from pathlib import Path

import numpy as np

from tools.errors import InputError, in_one_line


class _Plain:
    """Rebuilds pickled dtypes and arrays of numbers from their state, without NumPy's own hooks."""

    def __init__(self, *args):
        self.args, self.value = args, None

    def __setstate__(self, state):
        if self.args and isinstance(self.args[0], str):  # a dtype: ("i2", ...), (version, "<", ...)
            self.args = (state[1].strip("=|") + self.args[0].lstrip("<>=|"),)
        else:  # an array: (version, shape, dtype, is_fortran, bytes)
            _, shape, dtype, fortran, raw = state
            self.value = _frombuffer(raw, dtype, shape, "F" if fortran else "C")

    def numbers(self) -> np.dtype:
        dtype = np.dtype(self.args[0])
        if dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"holds an array of {dtype}, not of numbers")
        return dtype


def _frombuffer(raw, dtype: _Plain, shape: tuple, order: str) -> np.ndarray:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, dtype.numbers()).reshape(shape, order=order)


def _scalar(dtype: _Plain, raw):
    return _frombuffer(raw, dtype, (-1,), "C")[0].item()


def _encode(text: str, codec: str = "latin1") -> bytes:
    return text.encode({"latin1": "latin1"}[codec])


def _no_bytes() -> bytes:
    """What Python 3 calls for the bytes of an empty array."""
    return b""


ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _Plain, ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer, ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _Plain, ("numpy", "dtype"): _Plain,
    ("__builtin__", "bytes"): _no_bytes, ("builtins", "bytes"): _no_bytes}


class _SafeUnpickler(pickle.Unpickler):
    """Admits plain containers and arrays of numbers; every other name is refused."""

    def find_class(self, module, name):
        place = (module.replace("numpy._core", "numpy.core"), name)  # NumPy 2 renamed it
        if place in ADMITTED:
            return ADMITTED[place]
        raise pickle.UnpicklingError(f"names {module}.{name}, which data never needs")


def _unwrap(tree):
    """Nested containers with _Plain leaves -> the same with NumPy arrays."""
    if isinstance(tree, dict):
        return {_unwrap(k): _unwrap(v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_unwrap(v) for v in tree)
    return tree.value if isinstance(tree, _Plain) else tree


def safe_pickle(path: str | Path) -> object:
    """What a pickle of nested containers, numbers, text and numeric arrays holds, Python 2's too.

    Raises InputError on a damaged or locked file and on any name outside that list, without running
    it.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; take it from the download that it belongs to")
    try:
        with in_one_line(path), path.open("rb") as file:
            return _unwrap(_SafeUnpickler(file, encoding="latin1").load())
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: refused, it {error}; "
                         "get the file from its publisher again") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: is damaged ({type(error).__name__}); "
                         "get the file from its publisher again") from error
