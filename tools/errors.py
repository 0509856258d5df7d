"""errors.py - two habits of every command: errors in one line, and files whole or not at all.

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
    """The first line of an error's text, cut to `length`; its name where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:length]


def run_cli(main: Callable[[], int | None]) -> None:
    """Run a program's main() and exit with what it returns; None is 0.

    An InputError is one line on stderr and exit code 2, Ctrl-C is 130.
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
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    Otherwise it is deleted. It has the same suffix. An old file stays until the rename. Raises
    InputError when the folder cannot be written or the disk is full.
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
            why = "the disk is full; free some space or write elsewhere"
            raise InputError(f"{path}: {why}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
