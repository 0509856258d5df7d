"""tables.py - a table as Markdown and as CSV, both written whole or not at all.
"""
from __future__ import annotations

import csv
import io
from pathlib import Path

from tools.errors import replacing


def markdown(rows: list[dict], note: str) -> str:
    """The table as Markdown, `note` below it."""
    names = [name for name in rows[0] if name != "row"]
    cell = lambda value: f"{value:.3f}" if isinstance(value, float) else str(value)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines) + f"\n\n{note}\n"


def write_table(folder: Path, name: str, rows: list[dict], text: str) -> None:
    """NAME.csv with the rows and NAME.md with the text, in `folder`."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys())
    writer.writeheader(), writer.writerows(rows)
    for path, content in ((folder / f"{name}.md", text), (folder / f"{name}.csv", buffer.getvalue())):
        with replacing(path) as temporary:
            temporary.write_text(content)
