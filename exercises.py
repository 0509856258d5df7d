"""exercises.py - write the paper's equations yourself: stubs, and a check that says what is wrong.

    python exercises.py list                     what there is, by session
    python exercises.py start my/                a folder of stubs; never writes over a file
    python exercises.py check my/ --only eq8     one line per exercise; --json for a grader

`check` ends with 0 when all passed, 1 when not, 2 when the folder, NAME or FILE cannot be used.
How a stub is made and judged is in classroom/. Next: the stub of the first exercise.
"""
from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from classroom.registry import link_of
from classroom.runner import LIMIT, WIDTH, check, need_folder, report, write_json
from classroom.stubs import EXERCISES, SESSIONS, choose, start
from tools.errors import replacing, run_cli

COMMANDS = {
    "list": "what there is, by session",
    "start": "write stubs into a folder",
    "check": "check the functions in a folder; exit code 0 when all passed, 1 when not, 2 when the "
             "folder, NAME or FILE cannot be used"}


def show_list(names: list[str]) -> None:
    """The exercises by session."""
    for number, (title, members) in enumerate(SESSIONS.items(), 1):
        here = [EXERCISES[n] for n in members.split() if n in names]
        if here:
            print(f"Session {number}: {title}")
        for e in here:
            link = link_of(e.name)
            print(f"  {e.name:{WIDTH}} {e.rating:7} {e.title} ({link.paper}, {link.function})")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line: list, start or check, and what belongs to each."""
    parser = argparse.ArgumentParser(description="Exercises: write the paper's equations yourself.")
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {}
    for name, text in COMMANDS.items():
        parsers[name] = commands.add_parser(name, help=text, description=text)
        parsers[name].add_argument("--only", metavar="NAME",
                                   help="one exercise, or all of an equation, for example eq1")
    for name in ("start", "check"):
        parsers[name].add_argument("folder", type=Path, help="your folder, for example my/")
    parsers["check"].add_argument("--json", type=Path, metavar="FILE",
                                  help="also write the results for a grader")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """List the exercises, write stubs, or check a folder and return 1 where not all passed."""
    args = parse(arguments)
    names = choose(args.only)
    if args.command == "list":
        show_list(names)
    elif args.command == "start":
        start(args.folder, names)
    else:
        need_folder(args.folder)
        # A FILE that cannot be written is told before the checks.
        with replacing(args.json) if args.json else nullcontext() as file:
            verdicts = report(check(args.folder, names, LIMIT), len(names))
            if file:
                write_json(file, verdicts)
        return int(any(v.status != "passed" for v in verdicts))
    return 0


if __name__ == "__main__":
    run_cli(main)
