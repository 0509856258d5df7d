"""test_mine.py - train.py --mine: a student's functions in place of ours (Sec. 4.2)."""
import builtins
import sys

import pytest

import losses
import train
from classroom import stubs
from classroom.registry import link_of
from classroom.stubs import EXERCISES
from tools import mine
from data import mesh_takes
from synthetic import dataset
from tools.errors import InputError

# What a short run on the stand-in heads has no use for: clips, VGG16, the measures of a table.
NOT_CALLED = {"camera", "pose", "eq4", "sync"}
RUN = ["--device", "cpu", "--preset", "small", "--size", "32", "--iters", "3", "--seed", "4"]


def write(folder, name, head=""):
    """The stub with our own lines as its body, `head` before them."""
    _, function, lines = stubs.function_node(link_of(name))
    body = "\n".join(lines[function.body[0].end_lineno:function.end_lineno]) + "\n"
    text = stubs.stub(name, folder).removesuffix(f'    raise NotImplementedError("{name}")\n')
    (folder / f"{name}.py").write_text(text + head + body)


@pytest.fixture
def ours():
    """Puts our functions back where a test has put others."""
    before = {name: dict(module.__dict__) for name, module in list(sys.modules.items())
              if str(getattr(module, "__file__", "")).startswith(str(mine.ROOT))}
    path = list(sys.path)
    yield
    for name, names in before.items():
        sys.modules[name].__dict__.update(names)
    sys.path[:] = path


def test_with_all_solved_the_log_equals_ours_and_each_function_is_called(tmp_path, monkeypatch, ours, capsys):
    small = lambda root, **given: WRITE(root, **given | {"subjects": 2, "sentences": 3, "seconds": 0.8})
    monkeypatch.setattr(dataset, "write_toyset", small)
    monkeypatch.setattr("evaluation.report.write", lambda *given: None)
    train.main([*RUN, "--out", str(tmp_path / "ours")])
    my = tmp_path / "my"
    my.mkdir()
    called = builtins.CALLED = set()
    for name in EXERCISES:
        write(my, name, f"    import builtins\n    getattr(builtins, 'CALLED', set()).add('{name}')\n")
    try:
        train.main([*RUN, "--out", str(tmp_path / "theirs"), "--mine", str(my)])
    finally:
        del builtins.CALLED
    assert (tmp_path / "ours/log.csv").read_bytes() == (tmp_path / "theirs/log.csv").read_bytes()
    assert called == set(EXERCISES) - NOT_CALLED
    said = capsys.readouterr().out
    assert "ours: none of the exercises" in said and "losses.info_nce" in said


WRITE = dataset.write_toyset


def verdicts(monkeypatch, **status):
    rows = [{"exercise": name, "function": link_of(name).function, "status": s} for name, s in status.items()]
    monkeypatch.setattr(mine, "checked", lambda folder: rows)


def test_what_does_not_pass_stays_ours(tmp_path, monkeypatch, ours, capsys):
    kept = losses.total_loss
    verdicts(monkeypatch, eq2="wrong", eq9="passed", eq8="passed")
    (tmp_path / "helper.py").write_text("half = 0.5\n")
    (tmp_path / "eq9.py").write_text("def cosine_similarity(a, b):\n    from helper import half\n    return half\n")
    (tmp_path / "eq8.py").write_text("from losses import cosine_similarity\n"
                                     "def info_nce(a, p, n, tau=0.5):\n    return cosine_similarity(a, p)\n")
    assert mine.use(tmp_path) == ["losses.cosine_similarity", "losses.info_nce"]
    assert losses.total_loss is kept
    assert losses.info_nce(1, 2, 3) == 0.5, "one of the student's functions calls another of hers"
    assert train.losses.info_nce is losses.info_nce
    said = capsys.readouterr().out
    assert f"yours, from {tmp_path}: losses.cosine_similarity, losses.info_nce" in said
    assert "ours: losses.total_loss" in said


def test_a_name_under_which_another_module_has_it_is_replaced_too(tmp_path, monkeypatch, ours):
    import audio
    import data.prepare  # noqa: F401  imports what it uses by name
    verdicts(monkeypatch, alignment="passed")
    (tmp_path / "alignment.py").write_text("def align_to_frames(*_):\n    return 'mine'\n")
    mine.use(tmp_path)
    assert audio.align_to_frames() == "mine"


def test_nothing_that_passes_is_a_clear_error(tmp_path, monkeypatch):
    verdicts(monkeypatch, eq2="wrong", eq9="not started")
    with pytest.raises(InputError, match="no function in it passes yet"):
        mine.use(tmp_path)
    assert mine.use(None) == []


def test_a_folder_that_is_none_is_the_checkers_own_line():
    with pytest.raises(InputError, match="^nowhere: no such folder; make it with python exercises.py start nowhere$"):
        mine.use("nowhere")


def test_processes_that_draw_heads_use_them_too(tmp_path, monkeypatch, ours):
    """They are started anew and know nothing of this one but what they are told."""
    verdicts(monkeypatch, light="passed")
    (tmp_path / "light.py").write_text("def sh_basis(n):\n    return 'mine'\n")
    monkeypatch.setattr(mine, "in_use", {})
    mine.use(tmp_path)
    with mesh_takes._workers(int(mesh_takes.POOL_FROM) + 1) as pool:
        if pool is None:
            pytest.skip("one core: nothing is started")
        assert pool.submit(exec_light).result() == "mine"


def exec_light():
    from synthetic import light
    return light.sh_basis(None)
