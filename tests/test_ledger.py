"""test_ledger.py - classroom/ledger.md: each entry is whole, its tests exist, and one of them fails with another choice.

The last is proved: tests/flips.py has, for each entry, the other choice as a change of the program. It is made in a
copy of the program, in which the tests that the entry names then run (tests/flipping.py); one has to fail by its
assertion. The tests that failed are then run on the copy without a change, where they have to pass.
`pytest -m flips` runs this alone, `-m "not flips"` leaves it out; workers of xdist share it, each with its own copy.
"""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flips import FLIPS

ROOT = Path(__file__).resolve().parent.parent
LEDGER = ROOT / "classroom" / "ledger.md"
PARTS = {"1. Choices that change results": ["Paper", "Here", "Why", "Test"],
         "2. Choices that were measured": ["Paper", "Here", "Why", "Figure", "Test"],
         "3. Housekeeping": ["Paper", "Here", "Why", "Test"]}
NAME = r"`(test_\w+)\.(test_\w+)(\[[^`]*\])?`"


def entries(text=None):
    """{heading: {"part": ..., "Paper": ..., ...}} of the ledger, lines of an item joined."""
    found, parts = {}, re.split(r"^## (.+)\n", text or LEDGER.read_text(), flags=re.M)
    for part, body in zip(parts[1::2], parts[2::2]):
        headings = re.split(r"^### (.+)\n", body, flags=re.M)
        for heading, items in zip(headings[1::2], headings[2::2]):
            assert heading not in found, f"two entries are called {heading}"
            each = re.findall(r"^- (\w+)(?: \([^)]*\))?:((?:.*\n)(?:  .+\n)*)", items, re.M)
            found[heading] = {"part": part} | {name: " ".join(said.split()) for name, said in each}
    return found


def named(entry):
    """Tests of an entry as pytest calls them."""
    return [f"tests/{file}.py::{test}{case}" for file, test, case in re.findall(NAME, entry["Test"])]


ENTRIES = entries()
CASES = [(heading, number) for heading, changes in FLIPS.items() for number in range(len(changes))]


# ---- the page --------------------------------------------------------------------------------------------------

def test_every_entry_is_whole_and_in_a_part():
    text = LEDGER.read_text()
    assert len(ENTRIES) == len(re.findall("^### ", text, re.M)) > 60
    for heading, entry in ENTRIES.items():
        assert list(entry)[1:] == PARTS[entry["part"]], f"{heading}: {list(entry)[1:]}"
        assert named(entry), f"{heading}: no test"
        assert re.sub(NAME, "", entry["Test"]).strip(", ") == "", f"{heading}: {entry['Test']}"


def test_every_test_of_the_ledger_exists():
    for heading, entry in ENTRIES.items():
        for file, test, _ in re.findall(NAME, entry["Test"]):
            source = (ROOT / "tests" / f"{file}.py").read_text()
            assert f"\ndef {test}(" in source, f"{heading} names tests/{file}.py: {test}, which does not exist"


def test_lines_are_short_and_sentences_too():
    text = LEDGER.read_text()
    assert max(map(len, text.splitlines())) <= 100
    for heading, entry in {"head": {"Paper": text.split("\n## ")[0]}, **ENTRIES}.items():
        for name in ("Paper", "Here", "Why", "Figure"):
            for sentence in re.split(r"(?<=[.:;?!])\s", " ".join(entry.get(name, "").split())):
                words = re.findall(r"[A-Za-z][\w'-]*", sentence)
                assert len(words) <= 30, f"{heading}: {len(words)} words: {sentence}"


def test_every_value_that_test_values_holds_is_of_an_entry():
    from test_values import VALUES
    asked = {case[1:-1] for entry in ENTRIES.values() for _, test, case in re.findall(NAME, entry["Test"]) if test == "test_value"}
    assert asked == set(VALUES)


def test_the_tutorial_leads_to_the_ledger():
    section = (ROOT / "tutorial.md").read_text().split("\n## The ledger\n")[1].split("\n## ")[0]
    assert "(classroom/ledger.md)" in section and "|" not in section


# ---- the flips -------------------------------------------------------------------------------------------------

def test_every_entry_has_a_flip_whose_old_text_stands_once():
    assert set(FLIPS) == set(ENTRIES), f"one of the two lacks {set(FLIPS) ^ set(ENTRIES)}"
    for heading, changes in FLIPS.items():
        for change in changes:
            for file, old, new in zip(change[::3], change[1::3], change[2::3]):
                assert (ROOT / file).read_text().count(old) == 1 and old != new, f"{heading}: {file} has not once {old!r}"


class Server:
    """tests/flipping.py on a copy of the program; ask(edits, tests) -> its answer."""

    def __init__(self, folder):
        self.copy, self.seen = folder / "copy", set()
        shutil.copytree(ROOT, self.copy, ignore=shutil.ignore_patterns(
            ".*", "__pycache__", "figures", "runs", "*.mp4", "*.ipynb", "test_ledger.py", "flips.py"))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        files = sorted({test.split("::")[0] for entry in ENTRIES.values() for test in named(entry)})
        self.process = subprocess.Popen([sys.executable, ROOT / "tests" / "flipping.py", self.copy, *files], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=environment)

    def ask(self, edits, tests):
        self.process.stdin.write(json.dumps({"edits": edits, "tests": tests}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("flips"))
    yield made
    made.process.stdin.close()
    made.process.wait()


@pytest.mark.flips
@pytest.mark.parametrize("heading, number", CASES, ids=[f"{heading}, {number + 1}" for heading, number in CASES])
def test_the_other_choice_fails_a_test_of_the_entry(server, heading, number):
    change = FLIPS[heading][number]
    edits = list(zip(change[::3], change[1::3], change[2::3]))
    answer = server.ask(edits, named(ENTRIES[heading]))
    assert answer["failed"], f"{heading}: all its tests pass with the other choice: {edits}"
    assert set(answer["failed"].values()) == {"assertion"}, f"{heading}: {answer['failed']}"
    server.seen |= set(answer["failed"])


@pytest.mark.flips
def test_what_failed_passes_without_a_change(server):
    """After the flips of this process, and of no other."""
    if not server.seen:
        pytest.skip("no choice was changed in this process")
    answer = server.ask([], sorted(server.seen))
    assert not answer["failed"] and set(answer["passed"]) == server.seen, answer["failed"]
