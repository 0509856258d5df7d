"""test_drive.py - a head under another's speech: the scores, on curves whose makers are known, and
the way from a run and clips to a table, on an untrained run.
"""
import csv
import shutil
import sys
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import evaluate
import tracking
from config import CLIP, SMALL
from data.clip import load_clip
from data.found import Detectors
from data.prepare import prepare
from dhnerf import DHNeRF, LatentCodes, LatentExtractor
from evaluation import drive as D
from evaluation import heldout, landmark_regressor, measures
from inference.run import Checkpoint, load_run
from tools import media
from tools.errors import InputError
from train import sync_module

CPU = torch.device("cpu")
N = 400


def babble(seed, n=N):
    """A mouth that opens and closes at random, slower than 5 Hz at 25 frames a second."""
    noise = np.random.default_rng(seed).normal(size=n + 8)
    return 0.2 + 0.05 * np.convolve(noise, np.hanning(9), "valid")


def late(curve, frames):
    """What was at t is now at t + frames."""
    return np.concatenate([np.full(frames, curve[0]), curve])[:len(curve)]


def scored(opening, width=None, true=None, true_width=None, replayed=None, own=None, fps=25.0):
    curves = (babble(seed) for seed in range(10, 15))
    given = (opening, width, true, true_width, replayed, own)
    chosen = [opening] + [next(curves) if x is None else x for x in given[1:]]
    return D.scores(D.Mouths(fps, *chosen))


# ---- scores --------------------------------------------------------------------------------------

def test_lids_are_compared_with_those_of_the_replayed_frames():
    curves = [babble(seed) for seed in range(6)]
    lids = lambda *pair: D.scores(D.Mouths(25.0, *curves, *pair))["lids r"]
    assert lids(2 * curves[0] + 1, curves[0]) == pytest.approx(1) and lids(-curves[0], curves[0]) == pytest.approx(-1)
    assert abs(lids(curves[0], babble(7))) < 0.4, "lids that go their own way"
    assert np.isnan(lids()), "nothing is replayed"


def test_a_render_that_is_the_speaker():
    speaker, width = babble(0), babble(1)
    got = scored(speaker, width, speaker, width)
    assert got["opening r"] == got["width r"] == got["opening best r"] == pytest.approx(1)
    assert got["opening lag"] == got["width lag"] == 0


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_a_late_render_has_a_positive_lag_and_an_early_one_a_negative(frames):
    speaker = babble(0)
    got = scored(late(speaker, frames), speaker, speaker, late(speaker, frames))
    assert got["opening lag"] == frames and got["opening best r"] > 0.98
    assert got["width lag"] == -frames and got["width best r"] > 0.98, "it moves before the speaker"
    assert got["opening r"] == pytest.approx(np.corrcoef(speaker[:-frames], speaker[frames:])[0, 1],
                                             abs=0.05)


def test_a_render_that_replays_its_training():
    speaker, trained = babble(0), babble(2)
    got = scored(trained, true=speaker, replayed=trained)
    assert got["replay r"] == pytest.approx(1, abs=1e-6) and abs(got["opening r"]) < 0.2


def test_replay_r_is_what_the_speaker_does_not_explain():
    """The render is the speaker and noise; the replay is like the speaker. Plain r would be 0.7."""
    speaker = babble(0)
    render, trained = speaker + 0.3 * (babble(1) - 0.2), speaker + 0.6 * (babble(2) - 0.2)
    got = scored(render, true=speaker, replayed=trained)
    assert np.corrcoef(render, trained)[0, 1] > 0.7 and abs(got["replay r"]) < 0.2
    fit = lambda y: y - np.polyval(np.polyfit(speaker, y, 1), speaker)  # by least squares
    assert got["replay r"] == pytest.approx(np.corrcoef(fit(render), fit(trained))[0, 1], abs=1e-6)


def test_a_mixture_of_both():
    """Independent curves of one spread, 0.8 and 0.6 of them: r is 0.8; given the speaker, 1."""
    speaker, trained = D.z_scored(babble(0)), D.z_scored(babble(2))
    got = scored(0.8 * speaker + 0.6 * trained, true=speaker, replayed=trained)
    assert got["opening r"] == pytest.approx(0.8, abs=0.08)
    assert got["replay r"] == pytest.approx(1, abs=1e-6)


def test_moves_is_a_ratio_of_standard_deviations():
    own = babble(0)
    assert scored(3 + 0.4 * own, own=own)["moves"] == pytest.approx(0.4)
    gaps = np.where(np.arange(N) % 7 == 0, np.nan, own)
    expected = np.std(gaps[np.isfinite(gaps)]) / np.std(own)
    assert scored(gaps, own=own)["moves"] == pytest.approx(expected)


def test_frames_without_a_face_are_left_out():
    speaker, seen = babble(0), babble(0)
    seen[50:120], seen[200] = np.nan, np.nan
    got = scored(late(seen, 3), true=speaker, replayed=late(seen, 3))
    assert got["opening lag"] == 3 and got["opening best r"] > 0.98
    nothing = scored(np.full(N, np.nan))
    assert all(np.isnan(x) for name, x in nothing.items()
               if name.startswith("opening") or name in ("replay r", "moves", "jitter"))
    still = scored(np.full(N, 0.2))
    assert np.isnan(still["opening r"]) and np.isnan(still["jitter"]) and still["moves"] == 0


def test_short_videos_have_fewer_lags_or_none():
    speaker = babble(0, 12)
    got = scored(late(speaker, 2), speaker, speaker, speaker, speaker, speaker)
    assert got["opening lag"] == 2 and np.isnan(got["jitter"])
    assert np.isnan(scored(*[speaker[:2]] * 6)["opening r"])


# ---- jitter, times -------------------------------------------------------------------------------

@pytest.mark.parametrize("a, b", [(1.0, 0.0), (1.0, 0.5), (0.3, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_jitter_of_a_mixture_of_two_sines(a, b, fps):
    t = np.arange(250) / fps
    opening = 0.3 + a * np.sin(2 * np.pi * 2.3 * t) + b * np.sin(2 * np.pi * 10.1 * t + 1)
    share = b**2 / (a**2 + b**2)
    assert D.jitter(opening, fps) == pytest.approx(share, abs=0.01)
    opening[[3, 4, 30]] = np.nan
    assert D.jitter(opening, fps) == pytest.approx(share, abs=0.01), "of the longest stretch"


def test_jitter_that_cannot_be_told_is_nan():
    assert np.isnan(D.jitter(babble(0), 15.0)) and np.isnan(D.jitter(np.full(50, np.nan), 25.0))
    assert np.isnan(D.jitter(np.where(np.arange(N) % 10, babble(0), np.nan), 25.0)), "9 in a row"


def test_a_speaker_of_another_rate_is_read_at_the_renders_times():
    at = np.delete(np.arange(300), [10, 11, *range(100, 130)]) / 30
    wanted = np.arange(260) / 25
    got = D.at_times(np.sin(at), at, wanted)
    lost = (wanted > at[-1]) | (wanted > 99 / 30 + 1e-9) & (wanted < 130 / 30 - 1e-9)
    assert np.isfinite(got).tolist() == (~lost).tolist()
    assert np.allclose(got[~lost], np.sin(wanted[~lost]), atol=0.001)
    holes = np.where(np.arange(len(at)) % 2 == 0, np.sin(at), np.nan)
    assert np.allclose(D.at_times(holes, at, at[1:50]), np.sin(at[1:50]), atol=0.01)
    assert np.isnan(D.at_times(np.full(3, np.nan), np.arange(3.0), np.arange(2.0))).all()


def test_mouth_width_is_between_the_corners():
    marks = np.random.default_rng(0).uniform(0, 64, (4, 68, 2))
    want = [np.hypot(*(m[54] - m[48])) / np.hypot(*(m[45] - m[36])) for m in marks]
    assert np.allclose(measures.mouth_width(marks), want)


# ---- the finder ----------------------------------------------------------------------------------

@pytest.fixture
def no_mediapipe(monkeypatch):
    for name in ("mediapipe", "mediapipe.python.solutions", "mediapipe.python.solutions.face_mesh"):
        monkeypatch.setitem(sys.modules, name, None)


def test_mediapipe_asked_for_and_absent_is_one_line(no_mediapipe):
    with pytest.raises(InputError, match="--finder mediapipe: .*--finder regressor") as error:
        D.use_mediapipe("mediapipe")
    assert "\n" not in str(error.value)
    assert not D.use_mediapipe("auto") and not D.use_mediapipe("regressor")


def test_mediapipe_is_taken_where_it_is_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(D, "have_detector", lambda: True)
    assert D.use_mediapipe("auto") and D.use_mediapipe("mediapipe")
    assert not D.use_mediapipe("regressor")


def test_landmarks_of_enlarged_frames_come_back_in_their_own_pixels(monkeypatch):
    """The stand-in for MediaPipe sees one white pixel: all landmarks are its centre."""
    def find_faces(frames):
        found = []
        for frame in frames:
            assert frame.shape == (256, 256, 3)
            y, x = np.nonzero(frame[..., 0] > 127)
            found.append(np.tile([x.mean() + 0.5, y.mean() + 0.5], (68, 1)))
        return np.array(found, np.float32)

    monkeypatch.setattr(D, "find_faces", find_faces)
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    frames[0, 20, 30], frames[1, 5, 7] = 255, 255
    want = np.array([[30.5, 20.5], [7.5, 5.5]])
    assert np.allclose(D.by_mediapipe(frames)[:, 0], want, atol=0.05)


# ---- from a run and clips to a table -------------------------------------------------------------

def film(path, frames, fps, seed):
    """A face of people in general that opens its mouth at random; sound as long as the picture."""
    model, talk = tracking.generic_model(), babble(seed, frames)
    marks = np.tile(model.mean[:, :2] * [20, -20] + [64, 45], (frames, 1, 1))
    marks[:, measures.LOWER_LIP, 1] += 20 * (talk - talk.min())[:, None]
    marks[..., 1] += np.sin(np.arange(frames) / 4)[:, None]
    pictures = []
    for points in marks:
        pictures.append(np.full((96, 128, 3), 90, np.uint8))
        outline = cv2.convexHull(points.astype(np.int32))
        cv2.fillConvexPoly(pictures[-1], outline, (210, 150, 120))
    wave = np.sin(np.arange(round(frames / fps * 16000)) / 5).astype(np.float32)
    media.write_video(path, pictures, fps, wave)
    np.save(path.with_name(f"{path.stem}.landmarks.npy"), marks.astype(np.float32))
    return path


def untrained(data, folder):
    """A run folder as train.py leaves it, but for the training."""
    cfg = replace(SMALL, **CLIP, data=str(data), size=32, crop=32, n_coarse=4, n_fine=2)
    corpus, _ = prepare(cfg, folder / "work", CPU)
    torch.manual_seed(0)
    counts = {name: len(corpus.names[name]) for name in ("id", "al", "ill")} | {"ex": len(corpus)}
    codes = LatentCodes({name: normalize(torch.randn(n, cfg.code_size(name)), dim=-1)
                         for name, n in counts.items()})
    d_audio = corpus.f_a.shape[-1]
    checkpoint = Checkpoint(cfg, extractor=LatentExtractor(cfg).state_dict(), d_audio=d_audio,
                            e_audio=sync_module(cfg, d_audio, CPU)[0].state_dict(),
                            e_lip=sync_module(cfg, d_audio, CPU)[1].state_dict(),
                            model=DHNeRF(cfg).state_dict(), codes=codes.state_dict())
    checkpoint.describe(corpus, corpus)
    (folder / "run").mkdir()
    checkpoint.write(folder / "run")


def staged(folder):
    run, work = load_run(folder / "run"), folder / "again"
    return D.Stage(run, *prepare(run.cfg, work, CPU), work)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An untrained run on own.mp4, 44 frames at 25 a second; other.mp4, 36 frames at 30."""
    folder = tmp_path_factory.mktemp("drive")
    own, _ = film(folder / "own.mp4", 44, 25, 0), film(folder / "other.mp4", 36, 30, 1)
    untrained(own, folder)
    return folder


@pytest.fixture(scope="module")
def stage(made):
    return staged(made)


def taken(made, name):
    return load_clip(made / name, 32, made / "takes", Detectors(made / "found"))


@pytest.fixture
def renderer(monkeypatch):
    """It draws nothing, and tells what it was asked for."""
    asked = {}

    def render(run, codes, f_lip, K, poses, background, rest):
        asked.update(ex=codes["ex"], poses=poses, f_lip=f_lip)
        return iter(np.zeros((len(poses), 32, 32, 3), np.uint8))

    for module in (D, heldout):
        monkeypatch.setattr(module, "render_frames", render)
    monkeypatch.setattr(D, "sound_to_lips", lambda run, wave, times: torch.from_numpy(times))
    return asked


def test_a_driven_head_lasts_as_long_as_the_sound_and_replays_its_training(made, stage, renderer):
    video = stage.under("own", taken(made, "other.mp4"))
    assert video.kind == D.OTHER and video.fps == 25 and video.clip == "other"
    assert video.ids.tolist() == list(range(30)), "36 frames at 30 are 30 at 25"
    assert np.allclose(renderer["f_lip"], np.arange(30) / 25)
    assert torch.equal(renderer["ex"], stage.run.codes.tables["ex"].weight[video.replay])
    assert torch.equal(renderer["poses"], stage.run.takes[0]["cam_to_head"][video.replay])


def test_a_long_sound_turns_round_at_the_end_of_training(made, stage, renderer):
    video = stage.under("own", replace(taken(made, "other.mp4"), wave=np.zeros(2 * 16000)))
    assert video.replay.tolist() == [*range(40), *range(38, 28, -1)], "4 of 44 are held out"


@pytest.mark.parametrize("change", [
    lambda take: take,
    lambda take: replace(take, name="copy/all", subject="copy", landmarks=2 * take.landmarks + 7)])
def test_a_head_under_its_own_clip_shows_the_tail_only(made, stage, renderer, change):
    video = stage.under("own", change(taken(made, "own.mp4")))
    assert video.kind == D.TAIL and video.ids.tolist() == [40, 41, 42, 43]
    assert video.replay.tolist() == [39, 38, 37, 36]
    assert torch.equal(renderer["ex"], stage.run.codes.tables["ex"].weight[video.replay])
    held = stage.heldout_set
    assert np.array_equal(renderer["poses"], held.takes[0].cam_to_head[held.numbers[0]])


def test_in_a_run_of_two_people_each_has_heard_the_others_clip(made, tmp_path, renderer):
    for name in ("own", "other"):
        for ending in (".mp4", ".landmarks.npy"):
            (tmp_path / "clips").mkdir(exist_ok=True)
            shutil.copy(made / (name + ending), tmp_path / "clips")
    untrained(tmp_path / "clips", tmp_path)
    two, clip = staged(tmp_path), taken(made, "own.mp4")
    assert two.subjects() == ["other", "own"]
    assert two.under("own", clip).kind == D.TAIL
    video = two.under("other", clip)
    assert video.kind == D.HEARD and video.fps == 30
    assert len(video.ids) == round(len(clip.wave) / 16000 * 30)
    assert np.array_equal(renderer["poses"], two.run.takes[0]["cam_to_head"][video.replay])
    own = np.load(made / "own.landmarks.npy").astype(np.float64)
    assert np.allclose(two.own_opening("own"), measures.mouth_opening(own)[:40], atol=1e-4)
    assert not D.same_clip(clip, taken(made, "other.mp4"))


def test_curves_are_at_the_times_of_the_render(made, stage, renderer):
    """A finder that sees the speaker's own mouth at the render's times: r 1, lag 0."""
    speaker = taken(made, "other.mp4")
    video = stage.under("own", speaker)
    at = np.arange(30) * 30 / 25
    low, part = np.floor(at).astype(int), (at % 1)[:, None, None]
    marks = (1 - part) * speaker.landmarks[low] + part * speaker.landmarks[(low + 1).clip(max=35)]
    mouths = stage.mouths(video, marks)
    got = D.scores(mouths)
    assert got["opening r"] > 0.99 and got["opening lag"] == 0
    own = np.load(made / "own.landmarks.npy").astype(np.float64)
    assert np.allclose(mouths.own, measures.mouth_opening(own)[:40], atol=1e-4)
    assert np.allclose(mouths.replayed, mouths.own[:30]), "the run replays its first 30 frames"
    assert np.allclose(mouths.lids, measures.lid_opening(marks))
    assert np.allclose(mouths.replayed_lids, measures.lid_opening(own)[:30], atol=1e-4)


def test_a_missing_frame_of_a_tail_leaves_a_gap(made, stage, renderer):
    video = stage.under("own", taken(made, "own.mp4"))
    video = replace(video, ids=np.array([40, 41, 43]), frames=video.frames[:3],
                    replay=video.replay[:3])
    mouths = stage.mouths(video, stage.heldout_set.takes[0].landmarks[[40, 41, 43]])
    assert np.isfinite(mouths.opening).tolist() == [True, True, False, True]
    known = np.isfinite(mouths.opening)
    assert np.allclose(mouths.opening[known], mouths.true_opening[known])


def test_the_command_writes_a_row_a_plot_and_a_video_per_clip(made, monkeypatch):
    monkeypatch.chdir(made)
    still = landmark_regressor.Landmarker(torch.rand(68, 2), torch.rand(20, 2)).eval()
    monkeypatch.setattr(landmark_regressor, "trained_landmarker", lambda *args: still)
    evaluate.main(["run", "--drive", "other.mp4", "own.mp4", "--finder", "regressor",
                   "--device", "cpu"])
    run = made / "run"
    rows = list(csv.DictReader((run / "drive.csv").open()))
    assert [(row["clip"], row["row"], row["frames"]) for row in rows] == [
        ("own", D.TRUE, "4"), ("other", D.OTHER, "30"), ("own", D.TAIL, "4")]
    assert {row["finder"] for row in rows} == {"regressor"} and rows[0]["faces"] == "nan"
    text = (run / "drive.md").read_text()
    assert text.count("\n| ") == 4 and "landmark regressor" in text and "8 Hz" in text
    files = {path.name for path in run.iterdir()} - {"checkpoint.pt"}
    assert files == {"drive.md", "drive.csv", "drive.png", "drive_own_other.png",
                     "drive_own_other.mp4", "drive_own_own.png", "drive_own_own.mp4"}
    sheet = cv2.imread(str(run / "drive.png"))
    assert sheet.shape == (4 * 150, 8 * 128, 3), "for each clip its speaker, and the head"
    with av.open(str(run / "drive_own_other.mp4")) as container:
        sound = sum(frame.samples for frame in container.decode(audio=0)) / 16000
    assert abs(sound - 1.2) < 0.1
    assert len(list(media.read_frames(run / "drive_own_other.mp4"))) == 30


@pytest.mark.parametrize("clips, option, words", [
    (["nowhere.mp4"], [], "nowhere.mp4"), (["other.mp4", "x/other.mp4"], [], "second clip called"),
    (["other.mp4"], ["--av-offset", "soon"], "--av-offset soon"),
    (["other.mp4"], ["--finder", "mediapipe"], "--finder mediapipe")])
def test_bad_input_is_one_line_before_anything_is_rendered(made, monkeypatch, no_mediapipe, clips,
                                                           option, words):
    monkeypatch.chdir(made)
    monkeypatch.setattr(D, "prepare_again", lambda *args: pytest.fail("refused too late"))
    before = sorted((made / "run").iterdir())
    with pytest.raises(InputError, match=words) as error:
        evaluate.main(["run", "--drive", *clips, *option, "--device", "cpu"])
    assert "\n" not in str(error.value) and sorted((made / "run").iterdir()) == before


@pytest.mark.parametrize("argv", [
    ["--drive", "a.mp4"], ["run", "--drive"], ["run", "--drive", "a.mp4", "--disentangle"],
    ["--table2", "--drive", "a.mp4"], ["run", "--drive", "a.mp4", "--finder", "eyes"]])
def test_options_that_do_not_go_together(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate.parse(argv)
    assert stop.value.code == 2 and "error" in capsys.readouterr().err
