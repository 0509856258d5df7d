"""test_evaluate.py - the table of evaluate.py on drawn mouths: sound, shift and maker are known."""
import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

import evaluate
import evaluation.heldout as H
import evaluation.judges as J
import evaluation.landmark_regressor as L
import evaluation.sync_expert as X
from config import SMALL
from data.corpus import Corpus
from data.crops import CANONICAL, STABLE
from data.take import Take
from evaluation import measures, syncnet
from evaluation.judges import make_judges
from evaluation.sync_expert import sync_expert
from evaluation.tables import markdown, write_table
from inference.run import Run
from tools.errors import InputError

FPS, SIZE, WINDOW = 25.0, 32, 6
CFG = replace(SMALL, data="drawn", size=SIZE, crop=16, audio_window=WINDOW, d_lip=8)
CPU = torch.device("cpu")
RUN = Run.__new__(Run)  # nobody looks into it: the painter stands for the model


def draw(opening, skin, rng):
    """Frames (T, 32, 32, 3) of a mouth in the lower third, dark over `opening` (T,) in [0, 1]."""
    row = np.abs(np.arange(SIZE) + 0.5 - 0.8 * SIZE)[:, None]
    dark = 1 / (1 + np.exp(3 * (row - 0.15 * SIZE * opening[:, None, None])))
    frames = skin * (1 - np.broadcast_to(dark, (len(opening), SIZE, SIZE))[..., None])
    return (frames + rng.normal(0, 3, frames.shape)).clip(0, 255).astype(np.uint8)


def landmarks_of(opening):
    """(T, 68, 2) px: eyes and nose where crops look for them, inner lips apart by the opening."""
    marks = np.tile(np.full((68, 2), 0.8 * SIZE), (len(opening), 1, 1))
    marks[..., 0] = np.linspace(0.3, 0.7, 68) * SIZE
    marks[:, STABLE] = CANONICAL * SIZE
    marks[:, measures.UPPER_LIP, 1] -= 0.1 * SIZE * opening[:, None]
    marks[:, measures.LOWER_LIP, 1] += 0.1 * SIZE * opening[:, None]
    return marks


def features(wave, times):
    """F_A (T, 6, 3) of a sound that is the opening itself: 6 vectors around each time."""
    at = times[:, None] + (np.arange(WINDOW) - (WINDOW - 1) / 2) * 0.02
    x = np.interp(at, np.arange(len(wave)) / 16000, wave)
    return np.stack([x, 1 - x, x**2], -1).astype(np.float32)


def heard(f_a):
    """The opening (T,) that F_A speaks of."""
    return f_a[:, WINDOW // 2 - 1:WINDOW // 2 + 1, 0].mean(1).astype(np.float64)


def drawn_take(number, frames, rng):
    signal = np.convolve(rng.normal(size=frames + 12), np.hanning(7), "valid")
    signal = (signal - signal.min()) / np.ptp(signal)  # (frames + 6,)
    wave = np.interp(np.arange(0, frames / FPS, 1 / 16000) * FPS, np.arange(len(signal)), signal)
    opening = heard(features(wave, np.arange(frames) / FPS))
    ones = lambda *shape: np.ones(shape, np.float32)
    return Take(f"who/{number}", "who", FPS, np.arange(frames), landmarks_of(opening), np.eye(3),
                np.tile(np.eye(4), (frames, 1, 1)), ones(frames, 1), ones(1, 68, 3), wave,
                {"id": 0, "al": 0, "ill": 0}, draw(opening, rng.uniform(120, 220, 3), rng),
                np.full((frames, SIZE, SIZE), 255, np.uint8),
                np.zeros((SIZE, SIZE, 3), np.uint8), "clip")


def drawn(folder, lengths, seed):
    rng = np.random.default_rng(seed)
    takes = [drawn_take(i, n, rng) for i, n in enumerate(lengths)]
    corpus = Corpus(takes, [np.arange(n) for n in lengths])
    corpus.prepare(folder, CFG.crop, features)
    return corpus


def short_training(patch):
    blank = L.Landmarker(torch.zeros(68, 2), torch.zeros(20, 2))
    patch.setattr(X, "EXPERT_ITERS", 120)
    patch.setattr(J, "trained_landmarker", lambda train, seed, device: blank)
    patch.setattr(L, "predict", lambda model, frames: landmarks_of(np.linspace(0, 1, len(frames))))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Training takes, held-out takes of unequal lengths, and judges; the expert is trained once."""
    folder = tmp_path_factory.mktemp("world")
    train, heldout = drawn(folder / "train", [90] * 6, 0), drawn(folder / "heldout", [60, 47], 1)
    with pytest.MonkeyPatch.context() as patch:
        short_training(patch)
        judges = make_judges(CFG, train, heldout, folder, CPU, keep=folder / "sync_expert.pt")
    return train, heldout, judges, folder


@pytest.fixture
def painter(monkeypatch):
    """A perfect model: it draws the mouth that F_A speaks of, `late` frames late."""
    short_training(monkeypatch)

    def use(late=0):
        def render(held, ex, only, f_a=None):
            opening = heard(held.heldout_set.f_a[held.index] if f_a is None else f_a)
            shown = opening[(only - late).clip(0, len(opening) - 1)]
            return iter(draw(shown, np.full(3, 170.0), np.random.default_rng(held.number)))
        monkeypatch.setattr(H.HeldoutTake, "render", render)
        monkeypatch.setattr(H.HeldoutTake, "trained_ex", lambda held: torch.ones(3, 2))
    return use


def one_row(world, name):
    train, heldout, judges, _ = world
    rows = H.table(RUN, train, heldout, judges, [name])
    assert [row["row"] for row in rows] == [name], "only what was asked for"
    return rows[0]


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_sync_offset_of_the_table_is_positive_where_the_picture_is_late(world, painter, late):
    painter(late)
    row = one_row(world, "audio_pose")
    assert row["Sync offset"] == late and row["Sync confidence"] > 0.3 and row["frames"] == 107


def test_every_take_is_compared_with_its_own_sound_in_every_row(world, painter):
    painter()
    train, heldout, judges, _ = world
    for name in ("audio_pose", "audio_shuffled"):
        heard_by = []

        def spy(frames, take, shown, f_a):
            heard_by.append(f_a)
            return judges.distances(frames, take, shown, f_a)

        H.table(RUN, train, heldout, replace(judges, distances=spy), [name])
        assert len(heard_by) == 2
        for f_a, take, frames in zip(heard_by, heldout.takes, (60, 47)):
            assert np.array_equal(f_a, features(take.wave, np.arange(frames) / FPS))


def test_rows_of_the_truth_and_of_another_sound(world, painter):
    painter()
    truth, own = one_row(world, "truth"), one_row(world, "audio_pose")
    shuffled = one_row(world, "audio_shuffled")
    assert truth["PSNR (dB)"] == truth["PSNR head (dB)"] == np.inf
    assert truth["SSIM"] == pytest.approx(1) and truth["FID"] == pytest.approx(0, abs=1e-6)
    assert truth["Sync offset"] == 0 and truth["Sync confidence"] > 0.3
    assert shuffled["Sync confidence"] < 0.5 * own["Sync confidence"], "lips follow another sound"
    assert own["FID"] > 0.01, "its skin has another colour than the truth"


def test_fid_of_the_table_is_that_of_all_frames_together(world, painter):
    """Against SciPy's matrix root, over both takes at once: FID of each take alone differs."""
    from scipy.linalg import sqrtm
    painter()
    train, heldout, judges, _ = world
    made = []
    for number, frames in enumerate((60, 47)):
        held = H.HeldoutTake(RUN, train, heldout, number)
        made += H.audio_pose(held, np.arange(frames))
    made = np.stack(made)
    true = np.concatenate([take.frames for take in heldout.takes])
    x, y = judges.features.extract(made), judges.features.extract(true)
    cx, cy = np.cov(x.T), np.cov(y.T)
    want = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * sqrtm(cx @ cy).real)
    assert one_row(world, "audio_pose")["FID"] == pytest.approx(want, rel=1e-3)


def test_csv_and_markdown_hold_the_same_rows_and_the_note_names_judges(world, painter, tmp_path):
    painter()
    train, heldout, judges, _ = world
    rows = H.table(RUN, train, heldout, judges, ["truth", "mean_face"])
    shown = [name for name in rows[0] if name != "row"]
    text = markdown(shown, ([row[name] for name in shown] for row in rows))
    write_table(tmp_path, "t", rows, text)
    head, _, *lines = (tmp_path / "t.md").read_text().splitlines()
    note = judges.note()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in (head, *lines)]
    records = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert len(records) == len(lines) == 2 and [c for c in records[0] if c != "row"] == cells[0]
    for record, line in zip(records, cells[1:]):
        for name, cell in zip(cells[0], line):
            value, near = record[name], {"abs": 6e-4, "nan_ok": True}
            assert cell == value or float(cell) == pytest.approx(float(value), **near), name
    assert "random features" in note and "do not compare with published FIDs" in note
    assert "expert trained on the training frames, for want of others" in note


def test_stand_in_heads_get_an_expert_of_other_sentences(world, tmp_path, monkeypatch):
    train, heldout, _, _ = world
    short_training(monkeypatch)
    monkeypatch.setattr(X, "EXPERT_ITERS", 2)
    asked = []

    def other_sentences(cfg, work, device):
        asked.append(cfg.data)
        return train

    monkeypatch.setattr(X, "other_sentences", other_sentences)
    judges = make_judges(replace(CFG, data=None), train, heldout, tmp_path, CPU)
    assert asked == [None] and "other sentences of the same people" in judges.note()


def test_takes_too_short_for_an_offset_are_nan(world, painter, tmp_path):
    painter()
    train, short = world[0], drawn(tmp_path / "short", [30, 2], 2)
    judges = make_judges(CFG, train, short, tmp_path, CPU, keep=world[3] / "sync_expert.pt")
    row = H.table(RUN, train, short, judges, ["audio_pose"])[0]
    assert all(np.isnan(row[name]) for name in ("Sync confidence", "Sync offset", "lag (frames)"))
    assert np.isfinite(row["PSNR (dB)"]) and np.isfinite(row["FID"])
    single = drawn(tmp_path / "single", [1], 3)
    assert np.isnan(H.table(RUN, train, single, judges, ["audio_pose"])[0]["FID"])


# ---- The kept expert, and SyncNet ----------------------------------------------------------------


def test_the_expert_is_kept_and_used_again_for_the_same_data_only(world, monkeypatch):
    train, heldout, _, folder = world
    short_training(monkeypatch)
    monkeypatch.setattr(X, "train_expert", lambda *args: pytest.fail("trained again"))
    again = make_judges(CFG, train, heldout, folder, CPU, keep=folder / "sync_expert.pt")
    take = heldout.takes[0]
    args = np.asarray(take.frames), take, heldout.numbers[0], np.array(heldout.f_a[:60])
    old, new = world[2].distances(*args), again.distances(*args)
    assert np.array_equal(old[0], new[0], equal_nan=True) and np.array_equal(old[1], new[1])
    for change in ({"seed": 5}, {"sentences": "3"}, {"data": None}):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            monkeypatch.setattr(X, "other_sentences", lambda *args: train)
            sync_expert(replace(CFG, **change), train, folder, CPU, folder / "sync_expert.pt")


@pytest.mark.parametrize("spoil", [
    lambda path, state: path.write_bytes(path.read_bytes()[:3000]),
    lambda path, state: torch.save({"weights": 3}, path),
    lambda path, state: torch.save(state | {"weights": state["weights"][:1]}, path),
    lambda path, state: torch.save(state | {"weights": state["weights"][::-1]}, path)])
def test_a_damaged_expert_is_one_line(world, tmp_path, spoil, monkeypatch):
    short_training(monkeypatch)
    path = tmp_path / "sync_expert.pt"
    path.write_bytes((world[3] / "sync_expert.pt").read_bytes())
    spoil(path, torch.load(path, weights_only=True))
    with pytest.raises(InputError, match="sync_expert.pt: damaged.*delete it") as error:
        sync_expert(CFG, world[0], tmp_path, CPU, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("option", ["fid", "weights"])
@pytest.mark.parametrize("content", ["text", "weights"])
def test_weights_that_do_not_fit_are_one_line_at_once(tmp_path, monkeypatch, option, content):
    monkeypatch.setattr(evaluate, "load_run", lambda *args: None)
    monkeypatch.setattr(evaluate, "prepare_again", lambda *args: pytest.fail("refused too late"))
    path = tmp_path / "other.pt"
    if content == "text":
        path.write_text("not weights")
    else:
        torch.save({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="other.pt") as error:
        evaluate.evaluate(tmp_path, CPU, **{option: path if option == "weights" else str(path)})
    assert "\n" not in str(error.value)


class Listener(syncnet.SyncNet):
    """SyncNet's signature with one number per stream: how dark the middle frame is, and c0."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.scale = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def audio(self, cepstra):
        return cepstra[:, 0, :1, 9]

    def lip(self, faces):
        return faces[:, :, 2].mean((1, 2, 3))[:, None]


def test_syncnet_is_named_with_its_reach_and_refuses_short_clips(world, painter, tmp_path):
    painter()
    train, heldout = world[0], drawn(tmp_path / "heldout", [60, 30], 4)
    judges = make_judges(CFG, train, heldout, tmp_path, CPU, net=Listener())
    want = "SyncNet's published weights, 12 offsets each way"  # 29 frames less 5, halved
    assert want in judges.note()
    row = H.table(RUN, train, heldout, judges, ["audio_pose"])[0]
    assert row["Sync confidence"] > 0 and abs(row["Sync offset"]) <= 12
    with pytest.raises(InputError, match="--syncnet"):
        make_judges(CFG, train, drawn(tmp_path / "short", [5], 5), tmp_path, CPU, net=Listener())
