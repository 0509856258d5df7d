"""exercises.py - write the paper's equations yourself: stubs, and a check that says what is wrong.

    python exercises.py list                     what there is, by session
    python exercises.py start my/                a folder of stubs; never writes over a file that is there
    python exercises.py check my/ --only eq8     one line an exercise; --json for a grader

`check` ends with 0 when all passed, 1 when not, 2 when the folder, NAME or FILE cannot be used.
Read next: the stub of the first exercise; how it is made and judged is in classroom/.
"""
from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from classroom.registry import link_of
from classroom.runner import LIMIT, WIDTH, check, need_folder, report, write_json
from classroom.stubs import EXERCISES, SESSIONS, choose, start
from tools.errors import replacing, run_cli


def show_list(names: list[str]) -> None:
    """The exercises by session."""
    for number, (title, members) in enumerate(SESSIONS.items(), 1):
        here = [EXERCISES[n] for n in members.split() if n in names]
        if here:
            print(f"Session {number}: {title}")
        for e in here:
            print(f"  {e.name:{WIDTH}} {e.rating:7} {e.title} ({link_of(e.name).paper}, {link_of(e.name).function})")


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Exercises: write the paper's equations yourself.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("list", "what there is, by session"), ("start", "write stubs into a folder"),
                       ("check", "check the functions in a folder; exit code 0 when all passed, 1 when not, 2 when "
                                 "the folder, NAME or FILE cannot be used")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--only", metavar="NAME", help="one exercise, or all of an equation, for example eq1")
        if name != "list":
            command.add_argument("folder", type=Path, help="your folder, for example my/")
    command.add_argument("--json", type=Path, metavar="FILE", help="also write the results for a grader")
    args = parser.parse_args(arguments)
    names = choose(args.only)
    if args.command == "list":
        show_list(names)
    elif args.command == "start":
        start(args.folder, names)
    else:
        need_folder(args.folder)
        with replacing(args.json) if args.json else nullcontext() as file:  # a wrong FILE is told before the checks
            verdicts = report(check(args.folder, names, LIMIT), len(names))
            if file:
                write_json(file, verdicts)
        return int(any(v.status != "passed" for v in verdicts))
    return 0


if __name__ == "__main__":
    run_cli(main)
