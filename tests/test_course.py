"""test_course.py - the course says what is there: exercises, files, functions, headings, options and known mistakes.

In: classroom/course.md. What it names is looked up in the program itself; commands go through the program's own
parsers. Its form (minutes, quizzes, lengths of lines and sentences) is checked, and each check is shown to fail.
"""
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import animate
import evaluate
import exercises
from classroom import runner, stubs
from classroom.checks import Verdict
from classroom.registry import anchor
from inference import options

ROOT = Path(__file__).resolve().parent.parent
COURSE = ROOT / "classroom" / "course.md"
COLUMNS, WORDS = 100, 30
POINTS = {"easy": 1, "medium": 2, "hard": 3}
PARSERS = {"train.py": options.parse, "animate.py": animate.parse, "evaluate.py": evaluate.parse,
           "exercises.py": exercises.parse}
MADE = ("my", "runs", "hand_in")  # folders that a command makes, or a student
LEFT = {"preview.mp4", "loss.png", "log.csv", "explore.html",  # what a run has
        "disentangle.md", "swaps.png", "evaluation.md"}


def sessions(text):
    """Title -> text of each session."""
    parts = re.split(r"^## (?:Session (\d+): (.*)|.*)$", text, flags=re.M)
    found = [(int(parts[k]), parts[k + 1], parts[k + 2]) for k in range(1, len(parts), 3) if parts[k]]
    assert [number for number, *_ in found] == list(range(1, len(found) + 1)), "sessions are out of order"
    return {title: body for _, title, body in found}


def part(body, name):
    """The text under **Name.** of a session, up to the next bold line."""
    found = re.findall(rf"^\*\*{name}\.\*\*(.*?)(?=^\*\*|\Z)", body, re.M | re.S)
    assert len(found) == 1, f"{name}: {len(found)} times in a session"
    return found[0]


def commands(text):
    """Every command line: `python ...` in a line or a block."""
    return re.findall(r"(?:^|`)python ([^`\n]+?)`?$", text, re.M) + re.findall(r"`python ([^`\n]+)`", text)


def command_fault(command):
    """What is wrong with a command: no such program, or an option that its parser refuses."""
    program, *rest = command.split()
    if program not in PARSERS:
        return f"python {command}: no such program"
    try:
        PARSERS[program](rest)
    except SystemExit:
        return f"python {command}: refused"
    if "--only" in rest and rest[rest.index("--only") + 1] not in stubs.EXERCISES:
        return f"python {command}: no such exercise"


def link_faults(text, tutorial):
    """Links into the tutorial whose heading is not there, or whose text is not the heading's."""
    headings = {f"#{anchor(h)}": h for h in re.findall(r"^## (.*)$", tutorial, re.M)}
    targets = dict(re.findall(r"^\[(\w+)\]: (\S+)$", text, re.M))
    links = re.findall(r"\[([^\]]+)\]\((\.\./tutorial\.md#[^)]+)\)", text)
    links += [(name, targets.get(key, "no target")) for name, key in re.findall(r"\[([^\]]+)\]\[(\w+)\]", text)]
    faults = [f"{name}: {target}" for name, target in links
              if headings.get(target.replace("../tutorial.md", "")) != " ".join(name.split())]
    assert len(links) > 15
    return faults


def code_faults(text):
    """Names in `code` that the program does not have: module.name, files, figures."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    files = [path.relative_to(ROOT) for path in (*ROOT.glob("*.py"), *ROOT.glob("*/*.py"))]
    modules = {path.stem: ".".join(path.with_suffix("").parts) for path in files if path.parts[0] != "tests"}
    faults = []
    for name in re.findall(r"`([\w/.-]+)`", prose):
        first = name.split("/")[0]
        if re.search(r"\.(py|md|ipynb|png|csv|html|mp4|wav)$", name):
            there = (ROOT / name).is_file() or (first in MADE or "/" not in name) and Path(name).name in LEFT
            if not there and name != "speech.wav":  # that the lecturer records
                faults.append(name)
        elif re.fullmatch(r"[a-z_]+\.\w+", name):
            module, attribute = name.split(".")
            if module not in modules or not hasattr(importlib.import_module(modules[module]), attribute):
                faults.append(name)
    return faults


def mistakes(text):
    """(exercise, mistake) of each common wrong answer."""
    return re.findall(r"^- `(\w+)`, \*([^*]+)\*:", text, re.M)


def minutes_fault(body):
    """What is wrong with a session's timetable: it should go from 0 to 90 without a gap."""
    rows = [(int(a), int(b)) for a, b in re.findall(r"^\| (\d+)-(\d+) \|", body, re.M)]
    ends = [0, *(b for _, b in rows)]
    if [a for a, _ in rows] != ends[:-1] or ends[-1] != 90 or any(a >= b for a, b in rows):
        return f"timetable: {rows}"


def long_sentences(text):
    """Sentences of more than WORDS words, outside code, tables and headings; a piece of `code` is one word."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    text = re.sub(r"^(\||#|\[\w+\]: ).*$", "", text, flags=re.M)
    text = re.sub(r"^(?=- |\d+\. )", "\n", text, flags=re.M)
    long = []
    for paragraph in re.split(r"\n\s*\n", text):
        paragraph = re.sub(r"`[^`]*`", "code", re.sub(r"^\d+\. ", "", " ".join(paragraph.split())))
        paragraph = re.sub(r"\b(Sec|Eq|Fig)\. ", r"\1 ", paragraph)
        long += [s for s in re.split(r"(?<=[.?!])[*)\"]*\s+", paragraph) if len(s.split()) > WORDS]
    return long


@pytest.fixture(scope="module")
def text():
    return COURSE.read_text()


def test_six_sessions_have_the_titles_and_the_exercises_of_the_stubs(text):
    found = sessions(text)
    assert list(found) == list(stubs.SESSIONS) and len(found) == 6
    for title, names in stubs.SESSIONS.items():
        entries = re.findall(r"^- `(\w+)` \((\w+), (\d+) minutes.*?\):\s+`python exercises.py check my/ --only (\w+)`$",
                             part(found[title], "Exercises"), re.M)
        assert [name for name, *_ in entries] == names.split(), title
        for name, rating, _, only in entries:
            assert name == only and rating == stubs.EXERCISES[name].rating
        assert sum(int(minutes) for *_, minutes, _ in entries) < 60
        for other in set(stubs.EXERCISES) - set(names.split()):
            assert f"--only {other}`" not in found[title], f"{other} is asked in another session, too: {title}"


def test_each_session_has_its_parts_and_fills_ninety_minutes(text):
    for title, body in sessions(text).items():
        for name in ("Aim", "Read before", "Exercises", "On the projector", "Quiz", "Answers", "Common wrong answers"):
            assert part(body, name).strip(), f"{title}: {name}"
        assert not minutes_fault(body), f"{title}: {minutes_fault(body)}"


def test_each_quiz_has_five_questions_and_five_answers(text):
    for title, body in sessions(text).items():
        for name in ("Quiz", "Answers"):
            entries = re.split(r"^(\d+)\. ", part(body, name), flags=re.M)[1:]
            assert entries[::2] == list("12345"), f"{title}: {name}"
            assert all(len(entry.split()) > 5 for entry in entries[1::2])
            assert name != "Quiz" or all("?" in entry for entry in entries[1::2]), f"{title}: not a question"


def test_wrong_answers_are_those_that_the_checker_knows(text):
    for title, body in sessions(text).items():
        known = mistakes(part(body, "Common wrong answers"))
        for name, mistake in known:
            assert mistake in stubs.EXERCISES[name].mistakes, f"{title}: {name} knows no mistake '{mistake}'"
        assert {name for name, _ in known} == set(stubs.SESSIONS[title].split()), title


def test_every_command_is_one_that_its_program_takes(text):
    faults = [fault for command in commands(text) if (fault := command_fault(command))]
    assert not faults, "\n".join(faults)
    assert len(commands(text)) > 30


def test_every_heading_file_and_function_that_is_named_exists(text):
    assert not link_faults(text, (ROOT / "tutorial.md").read_text())
    assert not code_faults(text)


def test_lines_and_sentences_are_short(text):
    assert not [line for line in text.splitlines() if len(line) > COLUMNS]
    assert not long_sentences(text), "\n".join(long_sentences(text))


def test_points_are_added_up_from_what_the_checker_writes(text, tmp_path):
    program = re.search(r"^```python\n(.*?)^```$", text, re.M | re.S)[1]
    (tmp_path / "marks.py").write_text(program)
    verdicts = [Verdict(name, "wrong" if name == "eq8" else "passed") for name in stubs.EXERCISES]
    runner.write_json(tmp_path / "ana.json", verdicts)
    written = json.loads((tmp_path / "ana.json").read_text())
    assert all(f"`{key}`" in text for key in (*written, *written["exercises"][0]))
    command = [sys.executable, "marks.py", "ana.json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    total = sum(POINTS[e.rating] for e in stubs.EXERCISES.values())
    assert ran.stdout.split() == ["ana.json", str(total - POINTS[stubs.EXERCISES["eq8"].rating])]
    assert f"{total} in all" in text and f"of {total} points" in text


def test_the_readme_names_the_course():
    assert "classroom/course.md" in (ROOT / "README.md").read_text()


# ---- the checks themselves can fail ---------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["train.py --mines my/", "trains.py", "animate.py runs/heads", "evaluate.py --table3",
                                     "exercises.py check my/ --only eq88", "exercises.py check"])
def test_a_wrong_command_is_seen(command):
    assert command_fault(command)


def test_a_wrong_name_is_seen(text):
    assert code_faults("`losses.info_nse` `nothing.at_all` `losses.info_nce`") == ["losses.info_nse", "nothing.at_all"]
    assert code_faults("`figures/none.png` `loss.png` `runs/heads/none.md` `other/x.py` `train.py`") == [
        "figures/none.png", "runs/heads/none.md", "other/x.py"]
    tutorial = (ROOT / "tutorial.md").read_text()
    changed = tutorial.replace("## 4.3 Measures", "## 4.3 Scores")
    assert "4.3 Measures: ../tutorial.md#43-measures" in link_faults(text, changed)


def test_a_gap_and_a_long_sentence_are_seen():
    assert not minutes_fault("| 0-30 | a |\n| 30-90 | b |\n")
    for rows in ("| 0-30 | a |\n| 31-90 | b |\n", "| 0-80 | a |\n", "| 5-90 | a |\n", "no table"):
        assert minutes_fault(rows)
    assert long_sentences("One. " + "a " * 30 + "b. Two.\n\n| " + "c " * 40 + "|\n") == ["a " * 30 + "b."]
    assert not long_sentences("a " * 29 + "b.\n- " + "a " * 20 + "\n- " + "a " * 20)
