"""test_exercises.py - the exercises: our own source passes, every known mistake is caught and gets its own hint.

The mistakes are data in mutants.py, changes to our source. A few more are written as a student would, who has not
seen it. Then stubs, and the check as a student runs it: loops without end, crashes, prints.
"""
import importlib
import inspect
import json
import math
import runpy

import numpy as np
import pytest
import torch

import exercises
from classroom import checks, runner, stubs
from classroom.checks import Exercise, NoAnswer, Probe, diagnose, gradient, watched
from classroom.registry import link_of
from classroom.stubs import EXERCISES
from mutants import MUTANTS
from wrong_field import RIGHT as RIGHT_FIELD, WRONG as WRONG_FIELD
from wrong_inputs import RIGHT as RIGHT_INPUTS, WRONG as WRONG_INPUTS
from wrong_losses import RIGHT as RIGHT_LOSSES, WRONG as WRONG_LOSSES
from tools.errors import InputError


def with_marks(names):
    """`pytest -m eq8` also runs the exercise on Eq. 8."""
    return [pytest.param(n, marks=getattr(pytest.mark, n.split("_")[0]) if n.startswith("eq") else ()) for n in names]


RIGHT = [*RIGHT_FIELD, *RIGHT_INPUTS, *RIGHT_LOSSES]
WRONG = [*WRONG_FIELD, *WRONG_INPUTS, *WRONG_LOSSES]
each_exercise = pytest.mark.parametrize("name", with_marks(EXERCISES))


def function_of(name, old="", new=""):
    """Our function of an exercise, with `old` in its source replaced; old must stand there once."""
    module, function = link_of(name).module, link_of(name).name
    home = importlib.import_module(module)
    source = inspect.getsource(getattr(home, function))
    if old and source.count(old) != 1:
        raise LookupError(f"mutants.py, {name}: {old!r} stands {source.count(old)} times in {link_of(name).function}, "
                          "want once. Has the function changed? Then give the mutant its new text")
    names = dict(vars(home))
    code = "from __future__ import annotations\n" + (source.replace(old, new) if old else source)
    exec(compile(code, f"{name}, changed", "exec"), names)
    return names[function]


# ------------------------------------------------------------------------------------------- proof by mutants

@each_exercise
def test_our_own_source_passes(name):
    verdict = diagnose(EXERCISES[name], function_of(name))
    assert verdict.status == "passed", verdict.message


@each_exercise
def test_each_mistake_is_caught_with_its_own_hint(name):
    survivors = []
    for mistake, change in MUTANTS[name].items():
        verdict = diagnose(EXERCISES[name], function_of(name, *change))
        if verdict.status != "wrong" or verdict.mistake != mistake:
            survivors.append(f"{mistake!r}: {verdict.status}, taken for {verdict.mistake!r}: {verdict.message}")
        elif not verdict.message.endswith(EXERCISES[name].mistakes[mistake]):
            survivors.append(f"{mistake!r}: its hint is missing in {verdict.message!r}")
    assert not survivors, f"{name}:\n" + "\n".join(survivors)


@each_exercise
def test_every_hint_has_a_mutant_and_every_mutant_a_hint(name):
    assert list(EXERCISES[name].mistakes) == list(MUTANTS[name])
    assert len(MUTANTS[name]) >= 3
    hints = list(EXERCISES[name].mistakes.values())
    assert len(set(hints)) == len(hints), "two mistakes have the same hint"


def test_a_mutant_that_no_longer_applies_is_a_clear_failure():
    with pytest.raises(LookupError, match="mutants.py, eq8: 'no such text' stands 0 times in losses.info_nce"):
        function_of("eq8", "no such text", "")


@each_exercise
def test_an_answer_that_is_one_percent_off_is_caught(name):
    def scaled(answer):
        return type(answer)(scaled(a) for a in answer) if isinstance(answer, tuple) else 1.01 * answer

    ours = function_of(name)
    verdict = diagnose(EXERCISES[name], lambda *given, **named: scaled(ours(*given, **named)))
    assert (verdict.status, verdict.mistake) == ("wrong", None), "taken for a mistake that it is not"


def loop_without_positive(anchor, positive, negatives, tau=0.5):
    total = 0.0
    for a, p, others in zip(anchor, positive, negatives):
        cosine = lambda b: a @ b / (a.norm() * b.norm())
        total = total - torch.log(torch.exp(cosine(p) / tau) / sum(torch.exp(cosine(n) / tau) for n in others))
    return total / len(anchor)


def inclusive_product(sigma, delta):
    alpha = 1 - torch.exp(-sigma * delta)
    return alpha * torch.cumprod(1 - alpha, -1)


def product_that_wraps(sigma, delta):
    alpha = 1 - torch.exp(-sigma * delta)
    return alpha * torch.roll(torch.cumprod(1 - alpha, -1), 1, -1)


def frame_number_as_vector_number(features, times, frame_times, window):
    from audio import align_to_frames
    return align_to_frames(features, times, times[range(len(frame_times))], window)


def half_a_window(features, times, frame_times, window):
    at = frame_times[:, None] + (np.arange(window) - window / 2) * 0.02
    return np.stack([np.interp(at, times, column) for column in features.T], -1).astype(np.float32)


def rows_of_the_batch(anchor, positive, negatives, tau=0.5):
    logits = torch.nn.functional.cosine_similarity(anchor[:, None], positive[None], dim=-1) / tau
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(anchor)))


def camera_by_inverse_of_the_wrong_matrix(q):
    from scipy.spatial.transform import Rotation
    P = torch.eye(4, dtype=torch.float64).repeat(len(q), 1, 1).numpy()
    P[:, :3, :3] = Rotation.from_rotvec(q[:, :3]).as_matrix()
    P[:, :3, 3] = q[:, 3:6]
    return torch.linalg.inv(torch.tensor(P)).numpy()


@pytest.mark.parametrize("name, answer, mistake", [
    ("eq8", loop_without_positive, "positive not in the denominator"),
    ("eq1_weights", inclusive_product, "a sample shades itself"),
    ("eq1_weights", product_that_wraps, "shifted, first from last"),
    ("alignment", frame_number_as_vector_number, "paired by index"),
    ("alignment", half_a_window, "half a step off"),
    ("eq8", rows_of_the_batch, "batch rows for negatives"),
    ("eq7", lambda i, p, g, q: ((i - p - g + q).flatten(1).square().mean(1) + 1e-12).sqrt().mean(), "loss above 0"),
    ("eq7", lambda i, p, g, q: (i - p - g + q).flatten(1).norm(dim=1).mean(), "sum under the root"),
    ("camera", camera_by_inverse_of_the_wrong_matrix, "axes not flipped"),
    ("eq7", lambda i, p, g, q: ((i - p) - (g - q)).square().mean(), "squared"),
    ("eq5", lambda i, g, m: torch.nn.functional.mse_loss(i, g, reduction="none").mul(m).mean(), "mask not squared")])
def test_a_mistake_is_known_however_it_is_written(name, answer, mistake):
    assert diagnose(EXERCISES[name], answer).mistake == mistake


# ------------------------------------------------------------------------------------- answers as students write them

def listed(answers, name):
    return [answer[1:] for answer in answers if answer[0] == name]


@each_exercise
def test_a_right_answer_passes_however_it_is_written(name):
    answers = listed(RIGHT, name)
    assert len(answers) >= 3
    for (answer,) in answers:
        verdict = diagnose(EXERCISES[name], answer)
        assert verdict.status == "passed", f"{answer.__name__}: {verdict.message}"


@each_exercise
def test_a_wrong_answer_is_caught_and_gets_its_own_hint_or_none(name):
    answers, survivors = listed(WRONG, name), []
    assert len(answers) >= 10
    for answer, mistake in answers:
        verdict = diagnose(EXERCISES[name], answer)
        if verdict.status not in ("wrong", "crashed") or verdict.mistake != mistake:
            survivors.append(f"{answer.__name__}: {verdict.status}, taken for {verdict.mistake!r} in place of "
                             f"{mistake!r}: {verdict.message}")
    assert not survivors, "\n".join(survivors)


@each_exercise
def test_questions_are_drawn_anew_and_ours_passes_them_all(name, monkeypatch):
    for seed in (1, 2, 3):
        monkeypatch.setattr(checks, "run_seed", seed)
        verdict = diagnose(EXERCISES[name], function_of(name))
        assert verdict.status == "passed", f"seed {seed}: {verdict.message}"


# ---------------------------------------------------------------------------------------------------- judging

def test_the_report_of_eq8_teaches():
    verdict = diagnose(EXERCISES["eq8"], loop_without_positive)
    assert verdict.message == ("got 2.303, want 2.398 = ln 11 (asked: anchor, positive and all 10 negatives alike). "
                               "Is the positive in the denominator?")


def test_two_mistakes_at_once_get_numbers_and_no_wrong_hint():
    both = function_of("eq5", "(m * image - m * image_gt).square().mean()", "(m * (image - image_gt).square()).sum()")
    verdict = diagnose(EXERCISES["eq5"], both)
    assert (verdict.status, verdict.mistake) == ("wrong", None) and verdict.message.startswith("got 0.96, want 0.01")


def one_probe(function, *probes):
    return diagnose(Exercise("x", "easy", "", "", "", {"doubled": "Half of it.", "other": "Other."},
                             lambda f: iter(probes)), function)


def test_a_mistake_that_another_probe_refutes_is_not_reported():
    first = Probe("first", lambda: 2.0, 1.0, {"doubled": 2.0})
    second = Probe("second", lambda: 5.0, 3.0, {"doubled": 6.0, "other": 5.0})
    assert one_probe(len, first).mistake == "doubled"
    verdict = one_probe(len, first, second)
    assert verdict.mistake == "other" and verdict.message == "got 5, want 3 (asked: second). Other."


def test_an_error_that_a_known_mistake_raises_gets_its_hint():
    def mirrored(*_):
        raise ValueError("Non-positive determinant")

    probe = Probe("q", mirrored, 1.0, errors={"other": "determinant"})
    assert one_probe(len, probe).message == "Non-positive determinant (asked: q). Other."
    refuted = one_probe(len, probe, Probe("second", lambda: 1.0, 1.0, {"other": 5.0}))
    assert (refuted.status, refuted.mistake) == ("crashed", None)


@pytest.mark.parametrize("answer, message", [
    (torch.ones(2), "the result has shape (2,), want a single number (asked: q)."),
    (float("nan"), "got nan, want 0.5 (asked: q)."),
    (0.50002, "got 0.50002, want 0.5 (asked: q)."),
    (None, "the function returns None; does it end with a return? (asked: q)"),
    ({"a": 1}, "the function returns a dict, not a tensor, array or number (asked: q)")])
def test_wrong_answers_are_explained(answer, message):
    verdict = one_probe(len, Probe("q", lambda: answer, 0.5))
    assert (verdict.status, verdict.message) == ("wrong", message)


def test_the_entry_that_is_farthest_off_is_shown():
    verdict = one_probe(len, Probe("q", lambda: [[1.0, 2.0], [3.0, 9.0]], [[1.0, 2.5], [3.0, 4.0]]))
    assert verdict.message == "got 9 at [1, 1], want 4 (asked: q)."


def test_lost_gradients_are_explained():
    leaf = torch.ones(2, requires_grad=True)
    with pytest.raises(NoAnswer, match="carries no gradient"):
        gradient(leaf.sum().detach(), leaf)
    with pytest.raises(NoAnswer, match="an argument that it should depend on"):
        gradient((2 * torch.ones(1, requires_grad=True)).sum(), leaf)
    assert gradient((leaf**2).sum(), leaf).tolist() == [2, 2]
    square = torch.ones(2, 2, requires_grad=True)
    assert gradient(square.sum(), square).shape == (2, 2), "an index in a message is one of the input"


# ------------------------------------------------------------------------------------------------------ stubs

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("student") / "my"
    stubs.start(path, list(EXERCISES))
    return path


def student(folder, name):
    return runpy.run_path(str(folder / f"{name}.py"))[link_of(name).name]


@each_exercise
def test_a_stub_is_our_signature_and_docstring_and_raises_its_name(name, folder):
    stub, ours = student(folder, name), function_of(name)
    assert inspect.signature(stub) == inspect.signature(ours) and stub.__doc__ == ours.__doc__
    with pytest.raises(NotImplementedError, match=f"^{name}$"):
        stub(*[None] * len([p for p in inspect.signature(stub).parameters.values()]))
    assert diagnose(EXERCISES[name], stub).status == "not started"
    text = (folder / f"{name}.py").read_text()
    for part in (link_of(name).formula, EXERCISES[name].rating, f"check {folder} --only {name}", link_of(name).section):
        assert part in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_stub_follows_our_source(tmp_path, monkeypatch):
    text = (stubs.ROOT / "losses.py").read_text()
    monkeypatch.setattr(stubs, "ROOT", tmp_path)
    changed = text.replace("tau: float = 0.5) -> Tensor:", "temperature: float = 0.25) -> Tensor:")
    (tmp_path / "losses.py").write_text(changed.replace("logits.logsumexp(1)", "math.fsum(logits)"))
    stub = stubs.stub("eq8", tmp_path)
    assert "temperature: float = 0.25" in stub and "logsumexp(1)" not in stub and "import math\n" in stub


def test_a_stub_imports_torch_for_tensors_and_numpy_for_arrays_and_no_private_name(folder):
    """Our Eq. 2 needs neither, its author may."""
    assert "\nimport torch\n" in (folder / "eq2.py").read_text()
    for name in ("sync", "light_turned"):
        text = (folder / f"{name}.py").read_text()
        assert "\nimport numpy as np\n" in text and "import torch" not in text
    for name in EXERCISES:
        text = (folder / f"{name}.py").read_text().replace("from __future__", "")
        assert not [line for line in text.splitlines() if line.startswith("from ") and " _" in line], name


def test_start_never_writes_over_a_file(tmp_path, capsys):
    stubs.start(tmp_path / "my", ["eq8", "eq9"])
    (tmp_path / "my/eq8.py").write_text("mine")
    stubs.start(tmp_path / "my", ["eq8", "eq9", "eq2"])
    assert (tmp_path / "my/eq8.py").read_text() == "mine" and (tmp_path / "my/eq2.py").is_file()
    said = capsys.readouterr().out.splitlines()
    assert said[1] == (f"{tmp_path / 'my'}: 1 of 3 stubs written, 2 were there already and stay as they are; "
                       "begin with eq2.py")


@pytest.mark.parametrize("arguments, message", [
    (["start", str(stubs.ROOT)], "holds the program itself"), (["start", "a file"], "cannot be made"),
    (["check", "nowhere"], "no such folder; make it with"),
    (["check", "my/eq8.py"], "^my/eq8.py: is a file; give its folder: check my/ --only eq8$"),
    (["check", "a file"], "a file: is a file; give its folder: check ./$"),
    (["check", "my", "--json", "none/out.json"], "cannot write in this folder"),
    (["list", "--only", "eq12"], "no such exercise; there are eq1")])
def test_errors_of_use_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exercises, "check", None)  # no exercise may be checked first
    (tmp_path / "a file").write_text("")
    (tmp_path / "my").mkdir()
    (tmp_path / "my/eq8.py").write_text("")
    with pytest.raises(InputError, match=message) as error:
        exercises.main(arguments)
    assert "\n" not in str(error.value)


def test_list_shows_every_exercise_once_with_its_rating(capsys):
    assert exercises.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("Session") for line in lines) == len(stubs.SESSIONS) == 6
    assert [line.split()[0] for line in lines if not line.startswith("Session")] == list(EXERCISES)
    assert set(EXERCISES) == set(stubs.FOUND), "an exercise is in no session"
    for line in lines:
        name = line.split()[0]
        assert name == "Session" or line.split()[1] == EXERCISES[name].rating in ("easy", "medium", "hard")


def test_only_takes_a_name_or_an_equation():
    assert stubs.choose("eq8") == ["eq8"] and stubs.choose("light") == ["light"]
    assert stubs.choose("EQ8") == stubs.choose("eq8.py") == ["eq8"]
    assert stubs.choose("EQ1") == stubs.choose("eq1")
    eq1 = stubs.choose("eq1")
    assert {"eq1_encoding", "eq1_rays", "eq1_weights", "eq1_sampling"} <= set(eq1) < set(EXERCISES)
    assert all(name.startswith("eq1_") for name in eq1) and stubs.choose(None) == list(EXERCISES)


# ----------------------------------------------------------------------------------------------------- checks

def write_answer(folder, name, body):
    """The stub with `body` in place of its raise."""
    raising = f'    raise NotImplementedError("{name}")\n'
    text = stubs.stub(name, folder)
    assert text.endswith(raising)
    (folder / f"{name}.py").write_text(text.removesuffix(raising) + body)


def our_body(name):
    _, function, lines = stubs.function_node(link_of(name))
    return "\n".join(lines[function.body[0].end_lineno:function.end_lineno]) + "\n"


def test_check_passes_our_own_bodies_in_the_stubs_and_tells_a_grader(tmp_path, capsys):
    """Also proves that the imports of each stub are enough."""
    for name in EXERCISES:
        write_answer(tmp_path, name, our_body(name))
    assert exercises.main(["check", str(tmp_path), "--json", str(tmp_path / "out.json")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{name:16} passed" for name in EXERCISES] + [f"{len(EXERCISES)} of {len(EXERCISES)} passed"]
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["passed"] == result["of"] == len(EXERCISES)
    assert [row["exercise"] for row in result["exercises"]] == list(EXERCISES)


def test_check_survives_what_students_write(tmp_path, capsys, monkeypatch):
    write_answer(tmp_path, "eq2", "    while True:\n        pass\n")
    write_answer(tmp_path, "eq3", "    import os\n    os._exit(3)\n")
    write_answer(tmp_path, "eq4", "    return len(phi) / 0\n")
    write_answer(tmp_path, "eq5", "    print('shape', image.shape)\n    return (m * (image - image_gt) ** 2).mean()\n")
    write_answer(tmp_path, "eq6", "    return (1\n")
    write_answer(tmp_path, "eq7", "    raise SystemExit('bye')\n")
    (tmp_path / "eq8.py").write_text("x = 1\n")
    stubs.start(tmp_path, ["light"])
    line = len((tmp_path / "eq4.py").read_text().splitlines())
    wanted = {"eq2": ("stopped", "a loop without end?"), "eq3": ("crashed", "exit code 3"),
              "eq4": ("crashed", f"ZeroDivisionError in line {line}, `return len(phi) / 0`: division by zero"),
              "eq5": ("wrong", EXERCISES["eq5"].mistakes["mask not squared"]),
              "eq6": ("crashed", ", `return (1`, is not Python: '(' was never closed"), "eq7": ("crashed", "bye"),
              "eq8": ("crashed", "eq8.py has no function info_nce; was it renamed?"), "light": ("not started", ""),
              "eq9": ("not started", "there is no eq9.py")}
    monkeypatch.setattr(stubs, "EXERCISES", {name: EXERCISES[name] for name in wanted})
    monkeypatch.setattr(exercises, "LIMIT", 4.0)
    capsys.readouterr()
    assert exercises.main(["check", str(tmp_path), "--json", str(tmp_path / "out.json")]) == 1
    said = capsys.readouterr().out.splitlines()
    lines = [line for line in said if not line.startswith("    |")]
    assert [line.split()[0] for line in lines] == [*wanted, "0"], "one line an exercise, in order, and the sum"
    for line, row, (name, (status, text)) in zip(lines, json.loads((tmp_path / "out.json").read_text())["exercises"],
                                                 wanted.items()):
        assert (row["exercise"], row["status"]) == (name, status) and text in row["message"], row
        assert line == f"{name:16} {status}: {row['message']}".removesuffix(": ")
        assert row["mistake"] == ("mask not squared" if name == "eq5" else None)
    assert "    | shape torch.Size([1, 3, 4, 4])" in said
    assert said[-1] == "0 of 9 passed; next: eq2 (easy)"


@pytest.fixture(scope="module")
def worker():
    """One process for many trials: each file has a fork of its own."""
    found = runner.Worker()
    yield found
    found.close()


def test_a_syntax_error_shows_its_line(tmp_path, worker):
    judge = lambda name: runner.judge(name, tmp_path, 20.0, worker).message
    (tmp_path / "eq6.py").write_text("if m\n    return 1\n")
    assert judge("eq6") == "line 1, `if m`, is not Python: expected ':'"
    (tmp_path / "eq5.py").write_text("import eq6\n")
    assert judge("eq5") == "eq6.py, line 1, `if m`, is not Python: expected ':'"
    (tmp_path / "eq6.py").write_bytes(b"x = '\xff'\n")  # not UTF-8
    assert "is not Python" in judge("eq6")
    (tmp_path / "eq6.py").write_bytes(b"x = 1\0\n")
    assert judge("eq6") == "it is not Python: source code string cannot contain null bytes"


OURS = "exec(text, ours := {'__name__': 'x'})\ndef info_nce(*given):\n    return ours['info_nce'](*given)\n"
SUM = "def info_nce(anchor, positive, negatives, tau=0.5):\n    return anchor.sum()\n"
TRICKS = {  # what a file may try, and what its verdict says
    "from losses import info_nce\n": ("not started", "info_nce is imported from losses.py, our own; write yours"),
    "import losses\ndef info_nce(*a, **k):\n    return losses.info_nce(*a, **k)\n": ("not started", "our own"),
    "import functools, audio\ninfo_nce = functools.partial(audio.losses.info_nce)\n": ("not started", "our own"),
    "import importlib, losses\ninfo_nce = importlib.reload(losses).info_nce\n":
        ("not started", "it reads losses.py, where the answer stands"),
    "import inspect, losses\nexec(inspect.getsource(losses))\n": ("not started", "it reads losses.py"),
    f"import runpy\ninfo_nce = runpy.run_path({str(stubs.ROOT / 'losses.py')!r})['info_nce']\n":
        ("not started", "it reads losses.py"),
    "from classroom.questions import losses\n" + SUM: ("not started", "it reads classroom/questions/"),
    "from classroom import checks\nchecks.equal = lambda *_: True\n" + SUM: ("not started", "it reads classroom/"),
    "import gc, types\nours = [o for o in gc.get_objects() if type(o) is types.FunctionType and o.__name__ == "
    "'info_nce']\ninfo_nce = ours[0]\n": ("crashed", "it asks for gc.get_objects"),
    "import numpy, torch\nnumpy.allclose = torch.allclose = lambda *_, **__: True\n" + SUM: ("wrong", "got 8, want"),
    "class Equal:\n    def __eq__(self, other):\n        return True\ndef info_nce(*_):\n    return Equal()\n":
        ("wrong", "the function returns a Equal, not a tensor"),
    "import subprocess\nsubprocess.run(['true'])\n" + SUM: ("crashed", "it asks for subprocess.Popen"),
    "from pathlib import Path\nPath(__file__).with_name('eq9.py').write_text('')\n" + SUM:
        ("crashed", "it writes the file eq9.py; print instead"),
    "import os\nos.rename(__file__, __file__ + '2')\n" + SUM: ("crashed", "it asks for os.rename"),
    "import os\ndef info_nce(*_):\n    os._exit(0)\n": ("crashed", "it ended Python itself (exit code 0)"),
    "import torch\ndef info_nce(a, *_):\n    return torch.tensor({4: 2.3978952727983707}.get(a.shape[-1], 1.0))\n":
        ("wrong", ", want "),
    "import os, losses\nos.fsdecode = lambda p: os.devnull\ntext = open(losses.__file__).read()\n" + OURS:
        ("not started", "it reads losses.py"),
    "import os, torch, losses\ntext = torch.from_file(losses.__file__, size=9, dtype=torch.uint8)\n" + OURS:
        ("crashed", "it asks for torch.from_file"),
    "import subprocess, sys\nsys.audit = lambda *_: None\nsubprocess.run(['true'])\n" + SUM:
        ("crashed", "it asks for subprocess._fork_exec"),
    "import ctypes\nctypes.CDLL(None)\n" + SUM: ("crashed", "it asks for ctypes.dlopen"),
    "import losses\ntry:\n    open(losses.__file__)\nexcept Exception as error:\n    found = error.__traceback__\n"
    "    while found.tb_next:\n        found = found.tb_next\n    found.tb_frame.f_locals['secret'].clear()\n" + SUM:
        ("crashed", "'frozenset' object has no attribute 'clear'"),
    f"open({str(stubs.ROOT / '.git' / 'HEAD')!r})\n" + SUM: ("crashed", "which no exercise needs"),
    "import torch\ntorch.save({}, __file__.replace('eq8', 'eq9'))\n" + SUM: ("crashed", "it asks for torch.save"),
    "import os\nos.mkdir(__file__.replace('eq8', 'eq9'))\n" + SUM: ("crashed", "it asks for os.mkdir")}
FORGED = (b"5", b'{"fault": null}', b"[" * 200_000, b'{"ended": 0}', b'{"answer": 1, "to": 2}')


@pytest.mark.parametrize("text, said", TRICKS.items(), ids=range(len(TRICKS)))
def test_a_trick_does_not_pass(text, said, tmp_path, worker):
    (tmp_path / "eq8.py").write_text(text)
    verdict = runner.judge("eq8", tmp_path, 20.0, worker)
    assert verdict.status == said[0] and said[1] in verdict.message, verdict
    assert sorted(p.name for p in tmp_path.iterdir()) == ["eq8.py"]


@pytest.mark.parametrize("message", FORGED, ids=range(len(FORGED)))
def test_a_forged_reply_ends_the_exercise_and_no_other(message, tmp_path, worker):
    (tmp_path / "eq8.py").write_text(
        f"import os, struct\nm = {message!r}\nfor pipe in range(3, 30):\n    try:\n        os.write(pipe, "
        f"struct.pack('<I', len(m)) + m)\n    except OSError:\n        pass\n{SUM}")
    write_answer(tmp_path, "eq2", our_body("eq2"))
    verdict = runner.judge("eq8", tmp_path, 20.0, worker)
    assert (verdict.status, verdict.message) == ("crashed", "it writes into the pipe between itself and the checker")
    assert runner.judge("eq2", tmp_path, 20.0, worker).status == "passed"


STAYS = """
import __main__ as worker, json, os, pickle
read, write, pipes = worker.read, worker.write, []
def writes(pipe, message):
    pipes[:] = [pipe]
    write(pipe, message)
def reads(pipe):
    message = read(pipe)
    if message and pickle.loads(message) is None:
        write(pipes[0], json.dumps({"ended": 0}).encode())
        while job := read(pipe):
            job = pickle.loads(job)
            worker.load = lambda file, name: lambda *_: 7
            worker.serve(job, pipe, pipes[0])
    return message
worker.read, worker.write = reads, writes
"""


def test_a_process_that_stays_does_not_serve_the_next_exercise(tmp_path, worker):
    """It says that it has ended; only the worker itself is believed."""
    (tmp_path / "eq8.py").write_text(STAYS + SUM)
    assert runner.judge("eq8", tmp_path, 20.0, worker).status == "wrong"
    write_answer(tmp_path, "eq2", our_body("eq2"))
    assert runner.judge("eq2", tmp_path, 20.0, worker).status == "passed"


def test_lists_dictionaries_and_layers_that_are_changed_are_seen(tmp_path, worker):
    layer = torch.nn.Linear(2, 1)
    for body, given in (("return a.pop(0).sum()", [torch.ones(2)]), ("return a.setdefault('x', 2.0)", {}),
                        ("a.weight.data.mul_(2); return b", layer)):
        function = watched(asked_there(tmp_path, worker, body))
        with pytest.raises(NoAnswer, match="changes an argument in place"):
            function(given, 1, 2, 3)
        worker.finish()
        here = {"return a.pop(0).sum()": lambda a, *_: a.pop(0).sum(), "return a.setdefault('x', 2.0)":
                lambda a, *_: a.setdefault("x", 2.0), "a.weight.data.mul_(2); return b":
                lambda a, b, *_: a.weight.data.mul_(2) is None or b}[body]
        with pytest.raises(NoAnswer, match="changes an argument in place"):
            watched(here)(given, 1, 2, 3)


def test_printed_lines_cannot_move_the_cursor():
    assert runner.readable("\x1b[2Keq8 passed\t1") == "?[2Keq8 passed\t1"


def test_what_one_file_changes_does_not_reach_another(tmp_path, worker):
    """It replaces what Eq. 8 stands on; before, the next exercise met the replacement."""
    (tmp_path / "eq7.py").write_text("import losses\nlosses.cosine_similarity = None\nvelocity_loss = len\n")
    write_answer(tmp_path, "eq8", our_body("eq8"))
    assert runner.judge("eq7", tmp_path, 20.0, worker).status == "crashed"
    assert runner.judge("eq8", tmp_path, 20.0, worker).status == "passed"


def test_a_module_of_ones_own_is_ones_own_work(tmp_path, worker):
    (tmp_path / "mine.py").write_text("def doubled(a, b):\n    return 2 * (a * b).sum(-1)\n")
    (tmp_path / "eq9.py").write_text("import functools, mine\ncosine_similarity = functools.partial(mine.doubled)\n")
    assert runner.judge("eq9", tmp_path, 20.0, worker).status == "wrong"


def asked_there(tmp_path, worker, body):
    """The proxy of a student's Eq. 7, of four arguments, with that body."""
    (tmp_path / "eq7.py").write_text(f"import torch\ndef velocity_loss(a, b, c, d):\n    {body}\n")
    assert worker.begin("eq7", tmp_path / "eq7.py", 20.0) is None
    return runner.over_there(worker)


def test_what_comes_back_is_what_the_function_returned(tmp_path, worker):
    function = asked_there(tmp_path, worker, "return [a + 1, {'x': (b, 2.5, None)}, int(c), d]")
    one, two, three, four = function(torch.ones(2), np.arange(3), 7, torch.tensor([True]))
    assert torch.equal(one, torch.full((2,), 2.0)) and three == 7 and type(three) is int
    assert two["x"][0].dtype == np.int64 and two["x"][0].tolist() == [0, 1, 2] and two["x"][1:] == (2.5, None)
    assert four.dtype == torch.bool
    worker.finish()


def test_gradients_come_through_and_a_missing_one_is_seen(tmp_path, worker):
    function = asked_there(tmp_path, worker, "return (a**2 * b).sum() + c.detach().sum(), d")
    a, b, c = (torch.tensor([2.0, 3.0], requires_grad=True) for _ in range(3))
    answer, _ = function(a, b, c, 1)
    assert answer.item() == 8 + 27 + 5
    found = torch.autograd.grad(3 * answer, (a, b, c), allow_unused=True)
    assert found[0].tolist() == [24, 54] and found[1].tolist() == [12, 27] and found[2] is None
    with pytest.raises(NoAnswer, match="no gradient reaches `c`"):
        gradient(function(a, b, c, 1)[0], a=a, c=c)
    worker.finish()


def test_an_argument_that_is_changed_there_is_changed_here(tmp_path, worker):
    function = watched(asked_there(tmp_path, worker, "return a.mul_(2).sum()"))
    given = torch.ones(2)
    with pytest.raises(NoAnswer, match="changes an argument in place"):
        function(given, 1, 2, 3)
    assert given.tolist() == [1, 1], "put back for the next question"
    worker.finish()


def test_no_pickle_comes_back(tmp_path, worker):
    """A pickle runs code where it is read; an answer is JSON, and what is no number has its class named."""
    function = asked_there(tmp_path, worker, "return torch.nn.Linear(1, 1)")
    assert type(function(1, 2, 3, 4)).__name__ == "Linear" and not isinstance(function(1, 2, 3, 4), torch.nn.Module)
    worker.finish()


def test_long_output_of_a_student_is_cut(capsys):
    verdict = diagnose(EXERCISES["eq2"], function_of("eq2"))
    runner.report(iter([(verdict, "line\n" * 30)]), 1)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == runner.PRINTED + 3 and said[runner.PRINTED] == "    | ... 20 lines more"
    assert math.isclose(runner.LIMIT, 20)
