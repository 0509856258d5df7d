"""people.py - Sec. 3.1, 4.1: a folder of clips, and who is in each, in which light.

The disentangling of Sec. 3.3 needs to know which clips share a person, an albedo or a light. Unless
people.csv says so, no two clips share any.

In:  a folder of videos, perhaps with landmarks beside them; in it people.csv, if there is one: a
     line per file under the header file,person,albedo,light,av_offset, of which only file is needed.
Out: a Take of each clip, with its labels.
Read next: prepare.py.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from data.clip import asked_offset, load_clip
from data.found import Detectors
from data.take import Take
from data.voca import pick_pairs
from tools.errors import InputError, first_line, in_one_line

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".m4v")
TABLE = "people.csv"
COLUMNS = ("file", "person", "albedo", "light", "av_offset")


@dataclass(frozen=True)
class Clip:
    """A video of a folder and the words for what it shows: equal words are equal labels."""
    path: Path
    person: str
    albedo: str
    light: str
    av_offset: str  # as the user gives it; "": what the command line says
    name: str       # of its take
    listed: bool    # in people.csv, where there is one


def videos_in(folder: Path) -> list[Path]:
    """The videos of a folder, by name; hidden files and the overlays of tracking.py are none."""
    with in_one_line(folder):
        return sorted(path for path in folder.iterdir()
                      if path.suffix.lower() in VIDEOS and path.is_file()
                      and not path.name.startswith(".") and not path.stem.endswith(".tracking"))


def listed_clips(folder: Path) -> list[Clip]:
    """The clips of a folder, by file name. InputError: two of one name, a fault of people.csv."""
    paths, table, stems = videos_in(folder), folder / TABLE, {}
    for path in paths:
        if (twin := stems.setdefault(path.stem, path)) is not path:
            raise InputError(f"{path}: shares its name, and so its landmarks, with {twin.name}; "
                             "rename or remove one of them")
    rows = read_table(table, {path.name for path in paths}) if table.is_file() else None
    return [_described(path, rows) for path in paths]


def _described(path: Path, rows: dict[str, dict[str, str]] | None) -> Clip:
    """The clip at path, in the words of its row where it has one. rows: None without people.csv."""
    row = (rows or {}).get(path.name, {})
    person = row.get("person") or path.stem
    name = path.stem + "/all" if rows is None else f"{person}/{path.stem}"
    return Clip(path, person, row.get("albedo") or person, row.get("light") or path.stem,
                row.get("av_offset", ""), name, rows is None or path.name in rows)


# ---- people.csv ----------------------------------------------------------------------------------

def read_table(table: Path, files: set[str]) -> dict[str, dict[str, str]]:
    """{file: {column: word}} of people.csv; InputError, with the line, on any fault of it.

    files: names of the videos that are there.
    """
    header, *lines = _lines(table)
    columns = _columns(table, *header)
    rows, places = {}, {}
    for number, cells in lines:
        here, row = f"{table}, line {number}", dict(zip(columns, cells))
        name = row.get("file", "")
        if len(cells) > len(columns):
            raise InputError(f"{here}: has {len(cells)} entries under {len(columns)} columns; "
                             "put an entry that holds a comma in double quotes")
        if name not in files:
            raise InputError(f"{here}: {name or 'an empty entry'} is no clip in this folder; "
                             f"write one of {', '.join(sorted(files))}, or remove the line")
        if name in rows:
            raise InputError(f"{here}: {name} is in line {places[name]} already; "
                             "keep one line of it")
        if row.get("av_offset"):
            asked_offset(row["av_offset"], f"{here}: av_offset")
        rows[name], places[name] = row, number
    return rows


def _lines(table: Path) -> list[tuple[int, list[str]]]:
    """(number, entries) of the lines that are not blank, the header first."""
    try:
        with in_one_line(table), table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: is no table in UTF-8 ({first_line(error)}); "
                         "save it as CSV, UTF-8") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise InputError(f"{table}: is empty; begin it with the line {','.join(COLUMNS)}")
    return lines


def _columns(table: Path, number: int, cells: list[str]) -> list[str]:
    """The columns that the header names, in its order."""
    columns = [cell.lower() for cell in cells]
    wrong = [f"unknown column {cell or '(empty)'}" for cell in columns if cell not in COLUMNS]
    wrong += [f"column {cell} twice" for cell in COLUMNS if columns.count(cell) > 1]
    wrong += ["no column file"] if "file" not in columns else []
    if wrong:
        raise InputError(f"{table}, line {number}: {wrong[0]}; begin it with the line "
                         f"{','.join(COLUMNS)} (commas between them; only file is needed)")
    return columns


# ---- takes ---------------------------------------------------------------------------------------

def load_clips(folder: Path, size: int, cache_dir: Path, subjects: list[str] | int | None = None,
               sentences: list[str] | int | None = None, av_offset: str = "auto",
               *, detectors: Detectors) -> list[Take]:
    """A take of each clip chosen; arguments and errors as in data.prepare.load."""
    clips = listed_clips(folder)
    if left := [clip.path.name for clip in clips if not clip.listed]:
        print(f"{folder / TABLE} does not list {', '.join(left)}: each shows a person of its own, "
              "in a light of its own")
    index: dict[str, dict[str, Clip]] = {}
    for clip in clips:
        index.setdefault(clip.person, {})[clip.path.stem] = clip
    chosen = [index[who][stem] for who, stem in pick_pairs(index, subjects, sentences, folder)]
    labels = {"id": numbered([clip.person for clip in chosen]),
              "al": numbered([clip.albedo for clip in chosen]),
              "ill": numbered([clip.light for clip in chosen])}
    takes = []
    for i, clip in enumerate(chosen):
        take = load_clip(clip.path, size, cache_dir, detectors, clip.av_offset or av_offset)
        takes.append(replace(take, name=clip.name, subject=clip.person,
                             labels={name: numbers[i] for name, numbers in labels.items()}))
    return takes


def numbered(words: list[str]) -> list[int]:
    """Each word's place among the distinct words, sorted."""
    order = sorted(set(words))
    return [order.index(word) for word in words]
