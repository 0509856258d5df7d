"""tables.py - a table as Markdown and as CSV. Both files are written whole or not at all."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from tools.errors import replacing


def markdown(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A Markdown table; a cell that is a float is shown with three digits."""
    cell = lambda value: f"{value:.3f}" if isinstance(value, float) else str(value)
    header = list(header)
    rows = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in rows)


def write_table(folder: Path, name: str, records: list[dict], text: str) -> None:
    """Write NAME.csv with the records, whose keys are its header, and NAME.md with the text."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, records[0].keys())
    writer.writeheader()
    writer.writerows(records)
    for ending, content in (("md", text), ("csv", buffer.getvalue())):
        with replacing(folder / f"{name}.{ending}") as temporary:
            temporary.write_text(content)
