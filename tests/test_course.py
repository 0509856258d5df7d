"""test_course.py - the course says what is there: exercises, files, functions, headings, options and known mistakes.

In: classroom/course.md. What it names is looked up in the program itself; commands go through the program's own
parsers. Its form (minutes, quizzes, lengths of lines and sentences) is checked, and each check is shown to fail.
"""
import importlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import animate
import audio
import config
import evaluate
import exercises
import losses
import render
import tracking
from classroom import runner, stubs
from classroom.checks import Verdict
from classroom.registry import anchor
from data import sampling
from data.corpus import Corpus
from evaluation import measures
from inference import options
from synthetic import cameras, light

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
    faults, tutorial = [], (ROOT / "tutorial.md").read_text()
    for name in re.findall(r"`([\w/.-]+)`", prose):
        first = name.split("/")[0]
        if re.search(r"\.(py|md|ipynb|png|csv|html|mp4|wav)$", name):
            there = (ROOT / name).is_file() or (first in MADE or "/" not in name) and Path(name).name in LEFT
            there |= name.startswith("figures/tut_") and f"]({name})" in tutorial  # compared by test_tutorial.py
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


def computed():
    """Session -> numbers of its quiz's answers, as they are written there, from the program itself."""
    default = config.for_data(config.SMALL, False, None, None)
    rays = (default.size // default.upsample) ** 2 * (default.n_coarse + default.n_fine)
    wave = lambda n: 2 / 2 ** (n - 1) * (config.PAPER.box[3] - config.PAPER.box[0]) / 2 * 100  # mm
    two = render.compositing_weights(torch.tensor([[[1.0, 3.0]]]), torch.full((1, 1, 2), 0.5))[0, 0]
    depth = config.PAPER.box[5] - config.PAPER.box[2]
    dense = render.compositing_weights(torch.full((1, 1, 6), 20.0), torch.full((1, 1, 6), depth / 6))[0, 0, 0]
    coarse = torch.tensor([[[0, 0.9, 0.09, 0]]])
    placed = render.hierarchical_samples(torch.arange(5.0)[None, None], coarse, 10).floor().flatten().int()
    zero = torch.zeros(2, 3, 2, 2)
    moved = (zero + torch.tensor([0.3, 0.1])[:, None, None, None]).requires_grad_()
    l_v = losses.velocity_loss(moved, zero, zero, zero)
    l_v.backward()
    lamp = np.zeros((2, 9))
    lamp[:, 0], lamp[:, 2] = 1 / light.SH_CONSTANTS[0], (1, 3)
    shading = light.sh_basis(np.array([[0, 0, 1.0], [0, 0, -1.0]])) @ lamp.T  # towards z and away; lamps
    three = Corpus.__new__(Corpus)  # the anchor, frame A and frame B of the question
    three.upper = np.array([[0.0], [1.0], [0.0]])
    three.label = {"id": np.array([0, 0, 1]), "al": np.zeros(3, int), "ill": np.array([0, 1, 1])}
    shared = -sampling.suitability(three, "al", np.array([0]), np.array([[1, 2]]))[0][0]
    assert shared[1] == 1
    camera = tracking.camera_to_head(np.array([[0, np.pi / 6, 0, 0, 0, -12.0]]))[0, :3, 3]
    half_turn = light.rotate_light(np.ones((9, 3)), np.diag([-1.0, 1, -1]))[:, 0]
    assert np.flatnonzero(half_turn < 0).tolist() == [2, 3, 4, 5]
    found, mean = [], tracking.generic_model().mean
    for away in (12.0, 24.0):
        K = np.array([[1024 * away / 12, 0, 256], [0, 1024 * away / 12, 256], [0, 0, 1]])
        pose = np.array([[0.1, 0.2, 0.05, 0.3, -0.2, -away]])
        seen = cameras.project(mean[None], K, tracking.camera_to_head(pose))
        found.append((tracking.initial_pose(seen, mean, K) - pose)[0])
    assert all(abs(error[5] - 0.5) < 0.05 for error in found)
    confidence, offset, _ = measures.sync_confidence(np.array([[3.0, 1.2, 2.9, 2.8, 3.1]]), np.ones((1, 5), bool))
    low, _, _ = losses.info_nce_range()
    side = torch.eye(11)
    right_angles = losses.info_nce(side[:1], side[:1], side[None, 1:])
    window = audio.align_to_frames(np.arange(9.0)[:, None], np.arange(9.0), np.array([4.0]), 16)[0, :, 0]
    return [
        [f"{wave(10):.2f} mm", f"{wave(4):.1f} mm", f"{rays * 64 * 64 / 1e6:.1f} million", f"= {64 * 64}."],
        [f"{math.log(2) / 4:.3f} dm", f"{two[0]:.3f}", f"{two[1]:.3f}", f"{1 - two.sum():.3f}", f"{dense:.5f}",
         f"{1 - math.exp(-depth * math.exp(-1.2)):.2f}", f"{config.PAPER.n_coarse + config.PAPER.n_fine}",
         f"None, {(placed == 1).sum()}, {(placed == 2).sum()}, none"],
        [f"{10 / (3 * 128**2) ** 0.5:.3f}", f"{config.SMALL.vgg}"],
        [f"{l_v.item():.1f}", f"{moved.grad[0, 0, 0, 0]:.3f}", f"{moved.grad[1, 0, 0, 0]:.3f}",
         f"exp(-2) = {shared[0] - 1:.3f} of", f"{shared[0]:.3f}.", *(f"{value:.3f}" for value in shading.flatten())],
        ["({:.0f}, {:.0f}, {:.2f})".format(*(camera + 0.0)), f"{np.degrees(np.linalg.norm(found[1][:3])):.1f} degrees"],
        [f"{window[0]:.2f}", f"{window[-1]:.2f}", f"{(480000 - 400) // 320 + 1}", f"{right_angles:.3f}", f"{low:.3f}",
         f"{math.log(10) - 4:.2f}", f"{confidence:.1f}", f"{offset:+d}"]]


def test_answers_have_the_numbers_that_the_program_computes(text):
    for (title, body), numbers in zip(sessions(text).items(), computed(), strict=True):
        answers = " ".join(part(body, "Answers").split())
        missing = [number for number in numbers if number not in answers]
        assert not missing, f"{title}: no answer says {missing}"


# ---- the checks themselves can fail ---------------------------------------------------------------------------

@pytest.mark.parametrize("command", [
    "train.py --mines my/", "trains.py", "animate.py runs/heads", "evaluate.py --table3",
    "exercises.py check my/ --only eq88", "exercises.py check"])
def test_a_wrong_command_is_seen(command):
    assert command_fault(command)


def test_a_wrong_name_is_seen(text):
    assert code_faults("`losses.info_nse` `nothing.at_all` `losses.info_nce`") == ["losses.info_nse", "nothing.at_all"]
    files = "`figures/none.png` `figures/tut_none.png` `loss.png` `runs/heads/none.md` `other/x.py` `train.py`"
    assert code_faults(files) == [
        "figures/none.png", "figures/tut_none.png", "runs/heads/none.md", "other/x.py"]
    tutorial = (ROOT / "tutorial.md").read_text()
    changed = tutorial.replace("## 4.3 Measures", "## 4.3 Scores")
    assert "4.3 Measures: ../tutorial.md#43-measures" in link_faults(text, changed)


def test_a_gap_and_a_long_sentence_are_seen():
    assert not minutes_fault("| 0-30 | a |\n| 30-90 | b |\n")
    for rows in ("| 0-30 | a |\n| 31-90 | b |\n", "| 0-80 | a |\n", "| 5-90 | a |\n", "no table"):
        assert minutes_fault(rows)
    assert long_sentences("One. " + "a " * 30 + "b. Two.\n\n| " + "c " * 40 + "|\n") == ["a " * 30 + "b."]
    assert not long_sentences("a " * 29 + "b.\n- " + "a " * 20 + "\n- " + "a " * 20)
