"""log.py - log.csv of a run: the losses of every LOG_EVERY-th iteration, one line each.

In: the terms of a loss. Out: a file that report.py plots and that a resumed run goes on with.
Next: seeds.py.
"""
from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tools.errors import in_one_line, replacing

COLUMNS = ("stage", "iteration", "loss", "L_rec", "L_per", "L_pho", "L_dis", "L_v", "L_opacity",
           "psnr")


class Log:
    """log.csv. Of an older one, lines that the checkpoint does not cover are dropped.

    They come again. So is what a full disk has left of a line. done: stage -> how many of its
    iterations the checkpoint covers. Raises InputError where the disk is full or the file locked.
    """

    def __init__(self, path: Path, done: dict[str, int]):
        self.path, text = path, ""
        with in_one_line(path):
            if path.is_file():
                text = path.read_text("utf-8", "replace")
        whole = [line for line in text.split("\n")[1:-1] if _is_covered(line, done)]
        with replacing(path) as temporary:
            temporary.write_text("\n".join([",".join(COLUMNS), *whole]) + "\n")

    def add(self, **values) -> None:
        """One line; values by column, numbers or tensors of one entry."""
        cells = [values.get(column, "") for column in COLUMNS]
        shown = [f"{cell.item():.6g}" if isinstance(cell, Tensor) else str(cell) for cell in cells]
        # Opened each time: what a full disk does not take must not wait to be written at exit.
        with in_one_line(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(",".join(shown) + "\n")


def _is_covered(line: str, done: dict[str, int]) -> bool:
    """Whether a line is whole, and the checkpoint covers its iteration."""
    stage, *cells = line.split(",")
    whole = len(cells) == len(COLUMNS) - 1 and cells[0].isdecimal()
    return whole and int(cells[0]) < done.get(stage, 0)
