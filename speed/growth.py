"""growth.py - how cost grows: what was measured along an axis as rows of a table and as a picture.

In: Axis: what grows, and seconds or megabytes at some of its values. Out: rows, growth.png.
Read next: bench.py.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tools.errors import replacing


@dataclass(frozen=True)
class Axis:
    """What grows, its values, and curves: name -> a y in `unit` for each value."""
    name: str
    values: Sequence[float | int]
    curves: dict[str, Sequence[float | int]]
    unit: str = "s"


def exponent(x: Sequence[float | int], y: Sequence[float | int]) -> float:
    """k of y ~ x^k: least squares on logarithms. 1: twice the work takes twice as long."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def table_of(axes: Sequence[Axis]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row for each curve, "value: y" at each point, the exponent at the end."""
    most, rows = max(len(axis.values) for axis in axes), []
    for axis in axes:
        for name, ys in axis.curves.items():
            cells = [f"{x:g}: {y:.3g} {axis.unit}" for x, y in zip(axis.values, ys)]
            cells += [""] * (most - len(cells))
            rows.append([axis.name, name, *cells, f"{exponent(axis.values, ys):.2f}"])
    return ["axis", "what", *(f"point {i + 1}" for i in range(most)), "exponent"], rows


def plot(axes: Sequence[Axis], path: Path) -> None:
    """A panel for each axis, both scales logarithmic, each curve's exponent in the legend."""
    columns = -(-len(axes) // 2)
    figure = Figure(figsize=(4 * columns, 7))
    panels = figure.subplots(2, columns, squeeze=False).flat
    for axis, panel in zip(axes, panels):  # what is left stays in `panels`
        for marker, (name, ys) in zip("os^v", axis.curves.items()):
            label = f"{name}, exponent {exponent(axis.values, ys):.2f}"
            panel.loglog(axis.values, ys, f"{marker}-", label=label)
        panel.set(xlabel=axis.name, ylabel=axis.unit)
        panel.set_xticks(axis.values, [f"{x:g}" for x in axis.values])
        panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    for panel in panels:
        panel.set_axis_off()
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
