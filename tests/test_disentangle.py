"""test_disentangle.py - the measures of disentangle.py, on models whose faults are known.

A model is played by a function that answers a scene; what the measures say of it follows by hand.
"""
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import tracking
from audio import AudioEncoder
from config import SMALL
from data.prepare import prepare
from dhnerf import DHNeRF, LatentCodes, LatentExtractor
from evaluation import disentangle, factors, landmark_regressor
from inference.run import Run
from synthetic import dataset, shape
from synthetic.cameras import default_camera

CFG = dataclasses.replace(SMALL, size=32, n_coarse=4, n_fine=2, sync=True)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """An untrained run on three people with three sentences each."""
    folder = tmp_path_factory.mktemp("heads")
    dataset.write_toyset(folder / "set", subjects=3, sentences=3, seconds=0.8)
    cfg = dataclasses.replace(CFG, data=str(folder / "set"))
    corpora = prepare(cfg, folder, torch.device("cpu"))
    world = factors.open_world(folder / "set", corpora[0].takes + corpora[1].takes, cfg.size)
    torch.manual_seed(0)
    counts = {"id": 3, "ex": len(corpora[0])}
    counts |= {factor: len(corpora[0].names[factor]) for factor in ("al", "ill")}
    references = {name: normalize(torch.randn(n, cfg.code_size(name)), dim=-1)
                  for name, n in counts.items()}
    e_audio = AudioEncoder(corpora[0].f_a.shape[-1], cfg.audio_window, cfg.d_lip).eval()
    run = Run(cfg, DHNeRF(cfg).eval(), LatentCodes(references), LatentExtractor(cfg), e_audio, [],
              torch.zeros(0), torch.device("cpu"))
    return disentangle.Bench(run, *corpora, world)


@pytest.fixture(scope="module")
def unseen(bench):
    """The combinations that no take shows, as open_bench reads them from the set."""
    people = bench.world.names
    return [{**one, "identity": people[one["identity"]]} for one in dataset.design(3, 3, 0)[1]]


def test_truth_of_a_scene_is_what_the_loader_shows(bench):
    index = np.arange(bench.train.first[2], bench.train.first[2] + 3)
    frames, masks = disentangle.truth(bench, disentangle.scene_of(bench, index))
    take = bench.train.takes[2]
    assert np.abs(frames.astype(int) - take.frames[:3]).max() <= 1
    assert np.abs(masks.astype(int) - take.masks[:3]).max() <= 1


def test_render_of_a_scene_uses_each_input_from_its_own_place(bench):
    train_set, run = bench.train, bench.run
    a, b, c = train_set.first[0] + 1, train_set.first[2] + 4, train_set.first[4] + 2
    scene = disentangle.scene_of(bench, np.array([a]))
    scene = scene.but(al=1, ex=np.array([b]), lips=np.array([c]))
    codes = {"id": train_set.label["id"][a], "ex": b, "al": 1, "ill": train_set.label["ill"][a]}
    codes = {name: run.codes.tables[name].weight[int(row)][None] for name, row in codes.items()}
    take = train_set.takes[0]
    with torch.no_grad():
        f_lip = run.e_audio(torch.from_numpy(np.array(train_set.f_a[[c]])))
        put = lambda x: torch.from_numpy(np.asarray(x)).float()[None]
        background = put(take.background).permute(0, 3, 1, 2) / 255
        out = run.model(codes, f_lip, put(take.K), put(take.cam_to_head[1]), background)
    want = (out["image"][0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    assert np.abs(disentangle.rendered(bench, scene)[0] - want).max() <= 1


def test_recombinations_were_never_trained_and_borrow_from_another_person(bench, unseen):
    seen = {tuple(int(bench.train.names[f][bench.train.label[f][i]]) for f in ("id", "al", "ill"))
            for i in range(len(bench.train))}
    pairs = list(disentangle.recombinations(bench, unseen))
    assert len(pairs) == len(unseen) > 0
    for one, (scene, new) in zip(unseen, pairs):
        triple = tuple(int(bench.train.names[f][getattr(new, f)]) for f in ("id", "al", "ill"))
        person = bench.world.names.index(one["identity"])
        assert triple == (person, one["albedo"], one["light"]) and triple not in seen
        assert scene.id != new.id
        assert np.array_equal(scene.ex, new.ex) and np.array_equal(scene.lips, new.lips)


def test_recombination_of_a_perfect_model_and_one_of_a_single_light(bench, unseen, monkeypatch):
    def perfect(bench, scene):
        return disentangle.truth(bench, scene)[0]

    unseen = unseen[:3]
    monkeypatch.setattr(disentangle, "rendered", perfect)
    assert set(disentangle.recombination(bench, unseen).values()) == {np.inf}
    one_light = lambda bench, scene: perfect(bench, scene.but(ill=0))
    monkeypatch.setattr(disentangle, "rendered", one_light)
    worse = disentangle.recombination(bench, [one for one in unseen if one["light"] != 0])
    assert worse["recombined, head"] < 40


def test_reconstruction_is_of_held_out_frames_in_their_own_place(bench, monkeypatch):
    """A painter that shows the true frames, but for an error of 10 in every channel."""
    def painter(held, only):
        assert len(only) == disentangle.FRAMES
        frames = held.take.frames[held.heldout_set.numbers[held.number][only]].astype(int)
        return np.where(frames < 128, frames + 10, frames - 10).astype(np.uint8)

    monkeypatch.setattr(disentangle, "extractor_reads", painter)
    psnr = disentangle.reconstruction(bench)
    assert psnr["held out, image"] == pytest.approx(20 * np.log10(25.5)) == psnr["held out, head"]


def readings(bench, scene, leak=None):
    """What an exact reader says of a scene, (T, D); leak (from, to, share) spoils it."""
    names = bench.train.names
    weights = bench.world.pick(*(int(names[f][getattr(scene, f)]) for f in ("id", "al", "ill")))
    expression = factors.with_mouth_of(disentangle.true_expression(bench, scene.ex),
                                       disentangle.true_expression(bench, scene.lips))
    said = np.stack([factors.target(bench.world, weights, e) for e in expression])
    if leak:
        source, to, share = leak
        groups = bench.world.groups
        moved = said[:, groups[source]]
        said[:, groups[to]] += share * (moved @ np.arange(moved.shape[1]))[:, None]
    return said


def test_leakage_of_a_perfect_model_is_the_identity(bench, monkeypatch):
    monkeypatch.setattr(disentangle, "rendered", lambda bench, scene: readings(bench, scene))
    monkeypatch.setattr(disentangle, "truth", lambda bench, scene: (readings(bench, scene), None))
    monkeypatch.setattr(factors, "read", lambda reader, frames, pose: frames)
    render, true = disentangle.leakage(bench, factors.FactorReader(23), 0)
    np.testing.assert_allclose(render, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(true, np.eye(5), atol=1e-12)
    assert disentangle.worst_leak(render) < 1e-12


def test_leakage_names_the_code_that_leaks_and_where_to(bench, monkeypatch):
    leaky = lambda bench, scene: readings(bench, scene, ("al", "ill", 0.5))
    monkeypatch.setattr(disentangle, "rendered", leaky)
    monkeypatch.setattr(disentangle, "truth", lambda bench, scene: (readings(bench, scene), None))
    monkeypatch.setattr(factors, "read", lambda reader, frames, pose: frames)
    render, _ = disentangle.leakage(bench, factors.FactorReader(23), 0)
    off = render - np.diag(render.diagonal())
    np.testing.assert_allclose(render.diagonal(), 1, atol=1e-12)
    row, column = np.unravel_index(off.argmax(), off.shape)
    assert (disentangle.MOVED[row], disentangle.MOVED[column]) == ("al", "ill")
    assert disentangle.worst_leak(render) == pytest.approx(off.max())
    off[row, column] = 0
    assert off.max() < 1e-12, "nothing else leaks"


def test_worst_leak_is_relative_to_its_row():
    matrix = np.eye(5)
    matrix[1] = [0.04, 0.2, 0.0, 0.05, 0.0]
    matrix[3, 0] = 0.2
    assert disentangle.worst_leak(matrix) == pytest.approx(0.25)


@pytest.mark.parametrize("mouth, sign", [("B", 1), ("A", 0)])
def test_audio_swap_tells_whose_mouth_it_is(bench, monkeypatch, mouth, sign):
    """A model that moves the lips as sentence A (codes and pose) or as B (sound) does."""
    rng, calls = np.random.default_rng(0), []

    def predict(model, frames):
        person = bench.world.names[len(calls)]
        calls.append(person)
        corpus = bench.heldout if mouth == "B" else bench.train
        number = bench.take_of(person, corpus)
        marks = corpus.takes[number].landmarks[corpus.numbers[number][:len(frames)]]
        return marks + 0.02 * rng.normal(size=marks.shape)

    monkeypatch.setattr(landmark_regressor, "predict", predict)
    black = lambda bench, scene, f_a: np.zeros((len(f_a), 4, 4, 3), np.uint8)
    monkeypatch.setattr(disentangle, "rendered", black)
    blank = landmark_regressor.Landmarker(torch.zeros(68, 2), torch.zeros(20, 2))
    scores = disentangle.audio_swap(bench, blank)
    assert calls == bench.world.names
    if sign:
        assert scores["r_B"] > 0.95 and abs(scores["r_A_given_B"]) < 0.2
    else:
        assert scores["r_A_given_B"] > 0.95
        assert scores["r_B"] == pytest.approx(scores["r_AB"], abs=0.05)


# ---- factors.py ----------------------------------------------------------------------------------

def test_with_mouth_of_takes_the_upper_face_of_one_and_the_mouth_of_the_other():
    upper, mouth = np.full((2, 8), 1.0), np.full((2, 8), 2.0)
    mixed = factors.with_mouth_of(upper, mouth)[0]
    want = [1.0 if name in factors.UPPER else 2.0 for name in shape.EXPRESSION]
    assert mixed.tolist() == want
    assert mouth[0, -1] == 2.0, "the input is left alone"


def test_the_eye_and_mouth_views_follow_the_head(bench):
    """A white square at the projected mouth is in the middle of the third view, at every pose."""
    poses = factors.head_poses(bench.train.takes[0], 64)[[0, 8, 16]]
    K, distance = default_camera(64)
    mouth = tracking.generic_model().mean[48:68].mean(0)
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    for frame, pose in zip(frames, poses):
        camera = np.diag([1.0, -1, -1, 1])  # camera to world: in front, looking back
        camera[2, 3] = distance
        at = np.linalg.inv(camera) @ pose @ np.append(mouth, 1)  # in the camera
        u, v = (K @ at[:3])[:2] / at[2]
        frame[int(v) - 1:int(v) + 2, int(u) - 1:int(u) + 2] = 255
    seen = factors.views(frames, poses)[:, 6]  # (3, v, v)
    line = torch.arange(factors.VIEW) + 0.5
    for view in seen:
        centre = (view.sum(0) @ line / view.sum(), view.sum(1) @ line / view.sum())
        assert abs(centre[0] - factors.VIEW / 2) < 2.5 and abs(centre[1] - factors.VIEW / 2) < 2.5


def test_drawn_pictures_show_their_targets(bench):
    rng = np.random.default_rng(3)
    frames, poses, targets = factors.draw(bench.world, bench.train.takes, 12, rng)
    groups = bench.world.groups
    for name in ("id", "al", "ill"):
        np.testing.assert_allclose(targets[:, groups[name]].sum(1), 1)
    whole = (targets[:, groups["id"]].max(1) > 0.999) & (targets[:, groups["al"]].max(1) > 0.999) \
        & (targets[:, groups["ill"]].max(1) > 0.999)
    assert 0 < whole.sum() < 12, "some pure, some blended"
    assert len({t.tobytes() for t in targets}) == 12 and len({f.tobytes() for f in frames}) == 12


def test_the_reader_learns_to_tell_albedo_and_light(bench):
    reader = factors.train_reader(bench.world, bench.train.takes, 0, n=250, iterations=60)
    rng = np.random.default_rng(77)
    frames, poses, targets = factors.draw(bench.world, bench.train.takes, 40, rng)
    said = factors.read(reader, frames, poses)
    for name in ("al", "ill"):
        part = bench.world.groups[name]
        want = targets[:, part]
        error = ((said[:, part] - want) ** 2).sum() / ((want - want.mean(0)) ** 2).sum()
        assert error < 0.7, f"{name}: {error:.2f} of the variance is left"
