"""folder.py - Sec. 4.2: the run folder: what a run writes there, and nothing else of the user's.

In:  the folder that the user names with --out.
Out: a folder that holds no file of another's under a name that a run writes, and in it `prepared/`,
     the frames that training reads, which goes when the run is done.
Read next: run.py, which writes checkpoint.pt.
"""
from __future__ import annotations

import shutil
from pathlib import Path

from tools.errors import InputError, replacing

WORK = "prepared"   # frames, crops and features, while a run trains
MARK = ".dhnerf"    # in it: this program made the folder
FOUND = "found"     # landmarks and mattes that were found in clips which bring none
OUTPUTS = ("checkpoint.pt", "log.csv", "loss.png", "prepared.png", "preview.png", "preview.mp4",
           "heldout.json", "explore.html", FOUND)


def open_folder(out: Path) -> None:
    """Make the run folder.

    Raises InputError when it cannot be made, holds a run already, or holds anything under a name
    that this run would write: what the user has there stays.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"cannot be made ({error.strerror})"
        raise InputError(f"{out}: {why}; choose another --out") from error
    if (out / "config.json").exists():
        raise InputError(f"{out}: already holds a run; go on with --resume, "
                         "or choose another --out")
    for name in OUTPUTS:
        if (out / name).exists():
            raise InputError(f"{out / name}: is there already, and a run would write it; "
                             "choose another --out")
    check_work(out)


def check_work(out: Path) -> None:
    """Raise InputError where out/prepared was not made by this program: it would be removed."""
    work = out / WORK
    if work.exists() and not (work / MARK).is_file():
        raise InputError(f"{work}: is there already, and not of this program, which would keep its "
                         "frames under that name; choose another --out")


def open_work(out: Path) -> Path:
    """out/prepared, made and marked, or as an interrupted run left it; see check_work."""
    check_work(out)
    work = out / WORK
    try:
        if not work.exists():
            work.mkdir(parents=True)
        if not (work / MARK).is_file():
            with replacing(work / MARK) as temporary:
                temporary.write_text("Frames that training reads; removed when it is done.\n")
    except OSError as error:
        raise InputError(f"{work}: cannot be made ({error.strerror}); "
                         "choose another --out") from error
    return work


def forget(out: Path) -> None:
    """Remove what a new run left that was refused before it learnt anything, so that it can be
    tried again: open_folder has seen that none of it was there before.
    """
    if (out / "log.csv").exists() or (out / "checkpoint.pt").exists():
        return
    clear_work(out)
    shutil.rmtree(out / FOUND, ignore_errors=True)
    for name in ("config.json", "prepared.png"):
        (out / name).unlink(missing_ok=True)
    if not any(out.iterdir()):
        out.rmdir()


def clear_work(out: Path) -> None:
    """Remove out/prepared, which animate.py does not need and which is large, if it is ours."""
    if (out / WORK / MARK).is_file():
        shutil.rmtree(out / WORK)
