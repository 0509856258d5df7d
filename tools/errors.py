"""errors.py - two habits of every program here.

An error of the user is one line, and a file appears whole or not at all.

In: what a command does. Out: its exit code; files under their own names only when they are
complete. Next: media.py.
"""

import errno
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(Exception):
    """What a user can put right. One line: 'FILE: what is wrong; what to do'."""


def first_line(error: BaseException, length: int = 120) -> str:
    """The first line of an error's text that is not empty, cut to `length`.

    The error's name where it says nothing.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:length]


def run_cli(main: Callable[[], int | None]) -> None:
    """Run a program's main() and exit.

    0, or 2 after an InputError (one line on stderr), or 130 after Ctrl-C.
    """
    try:
        sys.exit(main())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, same suffix.

    Rename it to `path` if the block succeeds, else delete it.

    Raises InputError when the folder cannot be written or the disk is full. An old file stays until
    the rename.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file name")
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        temporary.open("xb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot write in this folder ({error.strerror}); "
                         "choose a folder that exists and is writable") from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(f"{path}: the disk is full; free some space or write elsewhere") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
