"""tables.py - a table as Markdown and as CSV. Both files are written whole or not at all."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from tools.errors import replacing


def markdown(header: Iterable[str], lines: Iterable[Iterable]) -> str:
    """A Markdown table; a cell that is a float is shown with three digits."""
    header = list(header)
    cell = lambda value: f"{value:.3f}" if isinstance(value, float) else str(value)
    shown = [header, ["---"] * len(header), *([cell(value) for value in line] for line in lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in shown)


def write_table(folder: Path, name: str, records: list[dict], text: str) -> None:
    """NAME.csv with the records, whose keys are its header, and NAME.md with the text, in `folder`."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, records[0].keys())
    writer.writeheader(), writer.writerows(records)
    for ending, content in (("md", text), ("csv", buffer.getvalue())):
        with replacing(folder / f"{name}.{ending}") as temporary:
            temporary.write_text(content)
