"""props.py - what exercises hand to a student's function in place of our own objects.

No part of the paper. Small classes of plain arrays, which the student's process can build again.
They share no code with the program. Read next: questions/.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# ---- the frames of a corpus, for the exercise `contrast` -----------------------------------------


@dataclass
class StandInCorpus:
    """Frames 0 .. F - 1 with what the contrast reads of them, named as in data/corpus.py.

    label {"id", "al", "ill"} -> (F,) int; upper (F, E): what brows and eyes do; lips (F, L).
    """
    label: dict[str, np.ndarray]
    upper: np.ndarray
    lips: np.ndarray

    def __len__(self) -> int:
        return len(self.upper)
