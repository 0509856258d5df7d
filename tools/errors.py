"""errors.py - two habits of every command: errors in one line, and files whole or not at all.

In: what a command does. Out: its exit code; files under their own names only when they are
complete. Next: media.py.
"""

import errno
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

FULL = {errno.ENOSPC: "the disk is full; free some space or write elsewhere",
        errno.EDQUOT: "the quota of this disk is used up; free some space or write elsewhere",
        errno.EFBIG: "grows larger than files may be here; write elsewhere"}
LOCKED = errno.EACCES, errno.EPERM, errno.EROFS


class InputError(Exception):
    """What a user can put right. One line: 'FILE: what is wrong; what to do'."""


def first_line(error: BaseException, length: int = 120) -> str:
    """The first line of an error's text, cut to `length`; its name where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:length]


def run_cli(main: Callable[[], int | None]) -> None:
    """Run a program's main() and exit with what it returns; None is 0.

    An InputError is one line on stderr and exit code 2, Ctrl-C is 130. A character that the
    console's code page lacks is printed as its number: the result is written, and none is worth a
    traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test or a notebook has put its own
            stream.reconfigure(errors="backslashreplace")
    try:
        with terminate_cleanly(), in_one_line():
            sys.exit(main())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@contextmanager
def terminate_cleanly() -> Iterator[None]:
    """In the block, `kill` and a terminal that is closed end the program as Ctrl-C does.

    So what is half written is removed. Exit code 128 + the signal's number. A signal that is
    ignored, as under nohup, stays ignored.
    """
    def stop(number: int, frame) -> None:
        sys.exit(128 + number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    caught = [number for number in known if signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def told(error: OSError, path: str | Path | None = None) -> InputError | None:
    """An InputError for a full disk or a missing permission: no other file would mend these.

    None for every other error. path: the file; None: the one that the error names.
    """
    where = path or error.filename or "a file"
    if error.errno in FULL:
        return InputError(f"{where}: {FULL[error.errno]}")
    if error.errno in LOCKED:
        return InputError(f"{where}: no permission to use it ({error.strerror}); "
                          "change its permissions, or those of its folder")
    return None


@contextmanager
def in_one_line(path: str | Path | None = None) -> Iterator[None]:
    """In the block, a full disk or a missing permission is an InputError: see `told`.

    It goes inside a `try` that takes other errors for damage: what is only locked is not damaged.
    """
    try:
        yield
    except OSError as error:
        if (found := told(error, path)) is not None:
            raise found from error
        raise


def new_array(path: str | Path, kind: type | np.dtype, shape: tuple[int, ...]
              ) -> Shaped[np.ndarray, "..."]:
    """A new .npy file of zeros, memory-mapped, whose space on the disk is taken at once.

    Raises OSError where the disk is full. Without that space a later write into the array would
    end the program with a bus error.
    """
    array = np.lib.format.open_memmap(path, "w+", kind, shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a disk that cannot
                    raise
    return array


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    Otherwise it is deleted. It has the same suffix. An old file stays until the rename. Raises
    InputError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    with in_one_line(path):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give a file name")
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        temporary.open("xb").close()
    except OSError as error:
        why = FULL.get(error.errno, f"cannot write in this folder ({error.strerror}); "
                                    "choose a folder that exists and is writable")
        raise InputError(f"{path}: {why}") from error
    try:
        yield temporary
        with in_one_line(path):
            os.replace(temporary, path)
    except OSError as error:  # of the block, which may have read other files, too
        if error.errno in FULL:
            raise told(error, path) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
