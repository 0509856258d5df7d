"""handed.py - what lies in the arguments of a student's function (no part of the paper).

checks.py and worker.py both look, before a call and after it, since the one has no access to the
process of the other.

In:  arguments. Out: their arrays, and what lists and dictionaries hold. Read next: checks.py.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch


def arrays_in(value: object) -> Iterator[np.ndarray | torch.Tensor]:
    """The arrays and tensors in lists, tuples, dictionaries and modules of torch, in order."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        yield value
    elif isinstance(value, torch.nn.Module):
        yield from value.parameters()
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from arrays_in(part)


def outline(value: object) -> object:
    """Lists, dictionaries and the plain values in them, as JSON has them."""
    if isinstance(value, dict):
        return {str(key): outline(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [outline(part) for part in value]
    return value if isinstance(value, (int, float, str)) else type(value).__name__
