"""log.py - log.csv of a run: the losses of every LOG_EVERY-th iteration, one line each.

In: the terms of a loss. Out: a file that report.py plots and that a resumed run goes on with. Next: seeds.py.
"""
from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tools.errors import replacing

COLUMNS = ("stage", "iteration", "loss", "L_rec", "L_per", "L_pho", "L_dis", "L_v", "L_opacity", "psnr")


# ---------------------------------------------------------------------------------------------------------------------
# Checkpoint and log


class Log:
    """log.csv: one row every LOG_EVERY iterations. On resume, rows that the checkpoint does not cover are dropped."""

    def __init__(self, path: Path, keep):
        rows = [r for r in path.read_text().splitlines()[1:] if keep(*r.split(",")[:2])] if path.is_file() else []
        with replacing(path) as temporary:
            temporary.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
        self.file = path.open("a", buffering=1)

    def add(self, **values) -> None:
        cells = [values.get(c, "") for c in COLUMNS]
        self.file.write(",".join(f"{c.item():.6g}" if isinstance(c, Tensor) else str(c) for c in cells) + "\n")
