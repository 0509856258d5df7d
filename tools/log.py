"""log.py - log.csv of a run: the losses of every LOG_EVERY-th iteration, one line each.

In: the terms of a loss. Out: a file that report.py plots and that a resumed run goes on with.
Next: seeds.py.
"""
from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tools.errors import replacing

COLUMNS = ("stage", "iteration", "loss", "L_rec", "L_per", "L_pho", "L_dis", "L_v", "L_opacity",
           "psnr")


class Log:
    """log.csv. Of an older one, lines that the checkpoint does not cover are dropped.

    They come again. done: stage -> how many of its iterations the checkpoint covers.
    """

    def __init__(self, path: Path, done: dict[str, int]):
        kept = []
        for line in path.read_text().splitlines()[1:] if path.is_file() else []:
            stage, iteration = line.split(",")[:2]
            kept += [line] if int(iteration) < done[stage] else []
        with replacing(path) as temporary:
            temporary.write_text("\n".join([",".join(COLUMNS), *kept]) + "\n")
        self.file = path.open("a", buffering=1)

    def add(self, **values) -> None:
        """One line; values by column, numbers or tensors of one entry."""
        cells = [values.get(column, "") for column in COLUMNS]
        shown = [f"{cell.item():.6g}" if isinstance(cell, Tensor) else str(cell) for cell in cells]
        self.file.write(",".join(shown) + "\n")
