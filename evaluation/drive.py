"""drive.py - Sec. 4.2, 4.3: a head under another clip's speech: do its lips follow that speaker?

    python evaluate.py runs/clip --drive other.mp4 [more.mp4] [--finder auto|mediapipe|regressor]

writes drive.md, drive.csv, drive.png and, per head and clip, a plot and a video into the run
folder. F_lip comes from the clip's sound; C_ex and pose replay the head's own training frames, as
in animate.py. The clip's landmarks are the truth: its speaker said the same at the same time.
In: a run, and clips with landmarks beside them. Out: curves of the two mouths, and their scores.
Under the clip that it was trained on, a head is measured on the held-out frames. Next: evaluate.py.
"""
from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from matplotlib.figure import Figure
from scipy.signal import periodogram
from tqdm import tqdm

from data.clip import load_clip
from data.corpus import Corpus
from data.prepare import detectors_of
from data.take import Take
from evaluation import landmark_regressor, measures, tables
from evaluation.heldout import HeldoutTake, audio_pose, evenly, indices, prepare_again
from evaluation.judges import MAX_LAG, NAN
from evaluation.report import sound_of
from inference.codes import chosen_codes
from inference.folder import FOUND
from inference.pictures import caption, enlarge, write_image
from inference.rendering import back_and_forth, render_frames, sound_to_lips
from inference.run import Run, load_run
from tools.errors import InputError, in_one_line, new_array, replacing
from tools.landmarks import find_faces, have_detector
from tools.media import SAMPLE_RATE, check_audio_length, write_video

FINDERS = ("auto", "mediapipe", "regressor")
GAP = 0.2  # s: the longest without landmarks over which the speaker's mouth is interpolated
JITTER_HZ = 8.0  # speech opens and closes the mouth more slowly
SHORTEST = 16  # frames in a row, for a spectrum
SHOWN = 8  # frames per strip of drive.png
# Kinds of rows. A run of several people has heard the sound of each: only the tails are new to it.
TRUE, TAIL = "true held-out frames", "own, held-out tail"
OTHER, HEARD = "another's clip", "another's clip, heard in training"

# ---- curves and scores ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Mouths:
    """Curves over the N frames of a video, in outer-eye distances; nan: no face, or not known.

    opening, width: of the rendered mouth; true_opening, true_width: of the speaker, at the same
    times; replayed: opening in the training frame whose C_ex and pose are replayed; own: opening in
    all training frames of the take that is replayed; lids, replayed_lids: opening of the eyes, of
    the render and of the replayed frame.
    """
    fps: float
    opening: Float[np.ndarray, "N"]
    width: Float[np.ndarray, "N"]
    true_opening: Float[np.ndarray, "N"]
    true_width: Float[np.ndarray, "N"]
    replayed: Float[np.ndarray, "N"]
    own: Float[np.ndarray, "M"]
    lids: Float[np.ndarray, "N"] | None = None
    replayed_lids: Float[np.ndarray, "N"] | None = None


def at_times(values: Float[np.ndarray, "T"], seconds: Float[np.ndarray, "T"],
             wanted: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Values (T,) at ascending times, interpolated at the times `wanted`, between known ones.

    nan outside the times of what is known, and inside gaps of more than GAP.
    """
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(wanted), np.nan)
    values, seconds = values[known], seconds[known]
    after = np.searchsorted(seconds, wanted).clip(max=len(seconds) - 1)
    before = (after - 1).clip(min=0)
    away = np.minimum(np.abs(seconds[after] - wanted), np.abs(seconds[before] - wanted))
    near = (seconds[after] - seconds[before] <= GAP) | (away < 1e-6)
    return np.where(near, np.interp(wanted, seconds, values, np.nan, np.nan), np.nan)


def jitter(opening: Float[np.ndarray, "N"], fps: float) -> float:
    """Share of the variance above JITTER_HZ, over the longest stretch without a nan.

    nan where that is shorter than SHORTEST frames, nothing moves, or fps is too low to tell.
    """
    stretches = np.ma.clump_unmasked(np.ma.masked_invalid(opening))
    longest = max((opening[s] for s in stretches), key=len, default=opening[:0])
    if len(longest) < SHORTEST or np.ptp(longest) < 1e-9 or fps <= 2 * JITTER_HZ:
        return NAN
    # Without a window, the ends of a slow curve would count as fast movement.
    frequency, power = periodogram(longest, fps, window="hann", detrend="linear")
    return float(power[frequency > JITTER_HZ].sum() / power.sum())


def follows(render: Float[np.ndarray, "N"], truth: Float[np.ndarray, "N"]
            ) -> tuple[float, float, float | int]:
    """Correlation at lag 0, the best within MAX_LAG frames, and its lag, positive: render late."""
    most = min(MAX_LAG, len(render) // 3)
    r = measures.lagged_correlations(render, truth, most)
    if not np.isfinite(r).any():
        return NAN, NAN, NAN
    best = int(np.nanargmax(r))
    return float(r[most]), float(r[best]), best - most


def scores(mouths: Mouths) -> dict[str, float | int]:
    """The scores of one row of the table; what they mean is in `note`."""
    opening = follows(mouths.opening, mouths.true_opening)
    width = follows(mouths.width, mouths.true_width)
    replay = measures.partial_correlation(mouths.opening, mouths.replayed, mouths.true_opening)
    moves = NAN
    if np.isfinite(mouths.opening).any():
        moves = float(np.nanstd(mouths.opening) / (np.nanstd(mouths.own) + 1e-9))
    lids = NAN if mouths.lids is None else follows(mouths.lids, mouths.replayed_lids)[0]
    names = ("r", "best r", "lag")
    return {f"opening {name}": x for name, x in zip(names, opening)} | {
        f"width {name}": x for name, x in zip(names, width)} | {
        "replay r": replay, "lids r": lids, "moves": moves,
        "jitter": jitter(mouths.opening, mouths.fps),
        "own jitter": jitter(mouths.own, mouths.fps)}


# ---- the finder: landmarks in rendered frames ----------------------------------------------------


@dataclass(frozen=True)
class Finder:
    """`find` maps the frames of one video to landmarks; nan where it sees no face.

    sure: it gives landmarks for whatever it sees, so that a share of faces says nothing.
    """
    name: str
    sure: bool
    find: Callable[[UInt8[np.ndarray, "T H W 3"]], Float[np.ndarray, "T 68 2"]]


def use_mediapipe(finder: str) -> bool:
    """Which of FINDERS it is to be. Raises InputError for MediaPipe where it is not installed."""
    if finder == "mediapipe" and not have_detector():
        raise InputError("--finder mediapipe: MediaPipe cannot be imported here; install "
                         "mediapipe==0.10.21 and numpy<2 beside the other packages, or give "
                         "--finder regressor")
    return finder == "mediapipe" or finder == "auto" and have_detector()


def by_mediapipe(frames: UInt8[np.ndarray, "T H W 3"]) -> Float[np.ndarray, "T 68 2"]:
    """MediaPipe on enlarged frames: px of the frames as they are."""
    factor = len(enlarge(frames[0])) / len(frames[0])
    return find_faces(enlarge(frame) for frame in frames) / factor


def make_finder(mediapipe: bool, run: Run, train_set: Corpus) -> Finder:
    """MediaPipe, or a regressor trained on the run's training frames."""
    if mediapipe:
        return Finder("MediaPipe", False, by_mediapipe)
    model = landmark_regressor.trained_landmarker(train_set, run.cfg.seed, run.device)
    return Finder("regressor", True, functools.partial(landmark_regressor.predict, model))


# ---- videos --------------------------------------------------------------------------------------


@dataclass
class Video:
    """T frames of a head under the sound of the take `speaker`, and where they come from.

    ids (T,): shown at id / fps s of the sound, ascending; replay (T,): training frames (corpus
    indices) whose C_ex each frame has, or None for true frames.
    """
    subject: str
    speaker: Take
    kind: str
    fps: float
    ids: Int[np.ndarray, "T"]
    frames: UInt8[np.ndarray, "T H W 3"]
    replay: Int[np.ndarray, "T"] | None

    @property
    def clip(self) -> str:
        """The name of the clip: of a take "person/clip", or, of a clip alone, "clip/all"."""
        first, _, last = self.speaker.name.partition("/")
        return first if last == "all" else last

    @property
    def file(self) -> str:
        return f"drive_{self.subject}_{self.clip}".replace("/", "_")

    @property
    def title(self) -> str:
        return f"{self.subject} under {self.clip} ({self.kind})"


def same_clip(a: Take, b: Take) -> bool:
    """Whether two takes show the same frames, though cropped to another square or cut at the ends.

    Landmarks are compared, not names: a renamed copy of the training clip is no other speaker.
    """
    _, of_a, of_b = np.intersect1d(a.frame_ids, b.frame_ids, return_indices=True)
    mouths = (measures.mouth_opening(take.landmarks[some]) for take, some in ((a, of_a), (b, of_b)))
    return a.fps == b.fps and len(of_a) > 1 and np.allclose(*mouths, rtol=1e-3, atol=1e-5)


@dataclass
class Stage:
    """The run, its training and held-out frames, and a folder for the frames that it renders."""
    run: Run
    train_set: Corpus
    heldout_set: Corpus
    work: Path

    def subjects(self) -> list[str]:
        return list(dict.fromkeys(take["subject"] for take in self.run.takes))

    def kept(self, frames: Iterable[np.ndarray], n: int, what: str) -> np.ndarray:
        """n rendered frames in a file: memory does not grow with the length of the sound."""
        size, path = self.run.cfg.size, self.work / f"{what.replace('/', '_')}.npy"
        with in_one_line(path):
            kept = new_array(path, np.uint8, (n, size, size, 3))
        for t, frame in enumerate(tqdm(frames, what, n, unit="frame")):
            kept[t] = frame
        return kept

    def heldout_number(self, subject: str) -> int:
        """The subject's first held-out take."""
        return [take.subject for take in self.heldout_set.takes].index(subject)

    def true_frames(self, subject: str) -> Video:
        """The subject's held-out frames as they are: what the finder does with them."""
        number = self.heldout_number(subject)
        take, shown = self.heldout_set.takes[number], self.heldout_set.numbers[number]
        return Video(subject, take, TRUE, take.fps, take.frame_ids[shown], take.frames[shown], None)

    def under(self, subject: str, speaker: Take) -> Video:
        """The subject's head under the speaker's sound."""
        same = [n for n, take in enumerate(self.heldout_set.takes) if same_clip(take, speaker)]
        own = [n for n in same if self.heldout_set.takes[n].subject == subject]
        return self.tail(own[0]) if own else self.driven(subject, speaker, HEARD if same else OTHER)

    def driven(self, subject: str, speaker: Take, kind: str) -> Video:
        """As long as the sound; C_ex and pose walk to and fro through the subject's first take."""
        run, take = self.run, self.run.take(subject)
        length = max(1, round(len(speaker.wave) / SAMPLE_RATE * take["fps"]))
        ids = np.arange(length)
        numbers = back_and_forth(len(take["cam_to_head"]), length)
        frames = render_frames(
            run, chosen_codes(run, take["name"], numbers, {}),
            sound_to_lips(run, speaker.wave, ids / take["fps"]), take["K"],
            take["cam_to_head"][numbers], run.backgrounds[take["background"]], take.get("rest"))
        kept = self.kept(frames, length, f"{subject} under {speaker.subject}")
        return Video(subject, speaker, kind, take["fps"], ids, kept, take["first"] + numbers)

    def tail(self, number: int) -> Video:
        """Held-out take `number` under its own sound: row audio_pose of heldout.py."""
        held = HeldoutTake(self.run, self.train_set, self.heldout_set, number)
        take, T = held.take, len(held.index)
        frames = self.kept(audio_pose(held, np.arange(T)), T, f"{take.name}, held out")
        backwards = held.training_frames()[::-1]
        ids = take.frame_ids[self.heldout_set.numbers[number]]
        return Video(take.subject, take, TAIL, take.fps, ids, frames,
                     backwards[back_and_forth(len(backwards), T)])

    def landmarks_of(self, index: Int[np.ndarray, "T"]) -> Float[np.ndarray, "T 68 2"]:
        """The subject's own landmarks in training frames `index`."""
        return np.stack([self.train_set.takes[self.train_set.take[i]].landmarks[
            self.train_set.frame[i]] for i in index])

    def own_opening(self, subject: str) -> Float[np.ndarray, "M"]:
        """That of all training frames of the take that is replayed, nan where one is missing."""
        number = [take.subject for take in self.train_set.takes].index(subject)
        ids = self.train_set.takes[number].frame_ids[self.train_set.numbers[number]]
        marks = self.landmarks_of(indices(self.train_set, number))
        return measures.by_frame_id(measures.mouth_opening(marks), ids)

    def mouths(self, video: Video, marks: Float[np.ndarray, "T 68 2"]) -> Mouths:
        """All curves of a video in which the finder found `marks`."""
        speaker = video.speaker
        seconds, wanted = speaker.frame_ids / speaker.fps, video.ids / video.fps

        def spread(values):
            return measures.by_frame_id(values, video.ids)

        def true(measure):
            return spread(at_times(measure(speaker.landmarks), seconds, wanted))

        replayed = np.full((len(marks), 68, 2), np.nan)
        if video.replay is not None:
            replayed = self.landmarks_of(video.replay)
        return Mouths(video.fps, spread(measures.mouth_opening(marks)),
                      spread(measures.mouth_width(marks)), true(measures.mouth_opening),
                      true(measures.mouth_width), spread(measures.mouth_opening(replayed)),
                      self.own_opening(video.subject), spread(measures.lid_opening(marks)),
                      spread(measures.lid_opening(replayed)))


# ---- what is written -----------------------------------------------------------------------------


def z_scored(values: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Mean 0 and s.d. 1 over what is not nan."""
    return (values - np.nanmean(values)) / (np.nanstd(values) + 1e-9)


def plot_openings(path: Path, video: Video, mouths: Mouths) -> None:
    """The speaker's mouth opening and the rendered one over the time of the sound."""
    seconds = (video.ids[0] + np.arange(len(mouths.opening))) / video.fps
    figure = Figure(figsize=(min(40, 4 + np.ptp(seconds)), 3))
    axis = figure.subplots()
    for curve, name in ((mouths.true_opening, f"{video.clip}'s own"),
                        (mouths.opening, f"rendered {video.subject}")):
        if np.isfinite(curve).any():
            axis.plot(seconds, z_scored(curve), label=name, linewidth=1)
    axis.set(title=video.title, xlabel="s of the sound", ylabel="mouth opening, z-scored")
    axis.legend(fontsize=7)
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def write_with_sound(path: Path, video: Video) -> None:
    """The frames with the sound they were made from; where one is missing, the last stays."""
    every = np.arange(video.ids[0], video.ids[-1] + 1)
    shown = np.searchsorted(video.ids, every, side="right") - 1
    wave = sound_of(video.speaker.wave, int(every[0]), len(every), video.fps)
    write_video(path, (enlarge(video.frames[t]) for t in shown), video.fps, wave)


def strip(frames: Iterable[np.ndarray], title: str) -> UInt8[np.ndarray, "h W 3"]:
    return caption(np.concatenate([enlarge(frame, 128) for frame in frames], 1), title)


def contact_sheet(path: Path, videos: Iterable[Video]) -> None:
    """drive.png: the speaker at SHOWN times, below it every head under that sound."""
    strips, above = [], None
    for video in videos:
        only = np.resize(evenly(len(video.ids), SHOWN), SHOWN)
        seconds, speaker = video.ids[only] / video.fps, video.speaker
        now = (video.clip, *seconds)
        if now != above:
            near = np.abs(speaker.frame_ids / speaker.fps - seconds[:, None]).argmin(1)
            strips.append(strip(speaker.frames[near], f"{video.clip}: true frames"))
        above = now
        strips.append(strip(video.frames[only], video.title))
    write_image(path, np.concatenate(strips))


def note(run: Run, finder: Finder) -> str:
    """What stands below the table: how its scores were measured."""
    how = ("by the landmark regressor, trained on the training frames; it draws a mouth even "
           "where there is none, so faces is nan" if finder.sure else
           "by MediaPipe in frames enlarged to 256 pixels or more; faces is the share of frames "
           "in which it saw one")
    return (
        f"Frames of {run.cfg.size} x {run.cfg.size} pixels, preset {run.cfg.preset}, "
        f"{run.cfg.iters} iterations, seed {run.cfg.seed}. Mouths in renders are found {how}. "
        "Opening r, width r: correlation with the mouth of the clip's own speaker, at lag 0 and at "
        f"the best lag within {MAX_LAG} frames (fewer in videos shorter than {3 * MAX_LAG}), "
        "positive where the render is late. Replay r: partial correlation of the opening with that "
        "of the training frames whose C_ex is replayed, the speaker's at lag 0 removed: near 0 "
        "where the sound alone moves the lips; a replayed pose, in which an open mouth looks wider "
        "or not, adds to it. Lids r: correlation of the eyes' opening with that of the replayed "
        "frames. Moves: s.d. of the rendered opening over that of the subject's own in "
        f"training. Jitter: share of the opening's variance above {JITTER_HZ:g} Hz, of the render "
        f"and of the subject's own in training. Rows of {TRUE} are not renders: they show what the "
        f"finder makes of the subject's pictures at this size. {TAIL.capitalize()}: the clip that "
        "was trained on; only its held-out frames count, with their own poses. A few dozen frames "
        "are a few syllables: there, correlations of 0.3 either way say nothing.")


def row_of(video: Video, finder: Finder, marks: np.ndarray, found: dict) -> dict:
    """One record of drive.csv."""
    seen = float(np.isfinite(marks).all((1, 2)).mean())
    return {"subject": video.subject, "clip": video.clip, "row": video.kind,
            "finder": finder.name, "frames": len(marks),
            "faces": NAN if finder.sure else seen, **found}


def load_speakers(clips: list[Path], run: Run, work: Path, av_offset: str) -> list[Take]:
    """The takes of the clips. Raises InputError for clips that cannot be used, or of one name."""
    speakers, slowest = [], min(take["fps"] for take in run.takes)
    detectors = detectors_of(run.cfg, (run.folder or work) / FOUND)
    for number, clip in enumerate(clips):
        if clip.stem in [other.stem for other in clips[:number]]:
            raise InputError(f"{clip}: a second clip called {clip.stem}; rename one of them, since "
                             "outputs are named after clips")
    for clip in clips:
        speakers.append(load_clip(clip, run.cfg.size, work / "speakers", detectors,
                                  av_offset))
        check_audio_length(speakers[-1].wave, slowest, clip)
    return speakers


def measure(stage: Stage, finder: Finder, videos: Iterable[Video], folder: Path) -> list[dict]:
    """A row per video; the plots and the videos of renders go into `folder`."""
    rows = []
    for video in videos:
        marks = finder.find(video.frames)
        mouths = stage.mouths(video, marks)
        rows.append(row_of(video, finder, marks, scores(mouths)))
        if video.kind != TRUE:
            plot_openings(folder / f"{video.file}.png", video, mouths)
            write_with_sound(folder / f"{video.file}.mp4", video)
    return rows


def drive(folder: Path, clips: list[Path], device: torch.device, finder: str = "auto",
          av_offset: str = "auto") -> str:
    """Measure the run in `folder` under each clip's speech; drive.md, .csv, .png go there.

    finder: one of FINDERS; av_offset: of the clips, see load_clip (a tail keeps that of training).
    Returns the Markdown. Raises InputError for files that cannot be used,
    before anything is rendered.
    """
    run, mediapipe = load_run(folder, device), use_mediapipe(finder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".drive-") as work:
        speakers = load_speakers(clips, run, Path(work), av_offset)
        stage = Stage(run, *prepare_again(run, Path(work)), Path(work))
        found = make_finder(mediapipe, run, stage.train_set)
        subjects = stage.subjects()
        true = [stage.true_frames(subject) for subject in subjects]
        renders = [stage.under(subject, speaker) for speaker in speakers for subject in subjects]
        rows = measure(stage, found, true + renders, folder)
        contact_sheet(folder / "drive.png", renders)
    table = tables.markdown(rows[0], (row.values() for row in rows))
    text = f"{table}\n\n{note(run, found)}\n"
    tables.write_table(folder, "drive", rows, text)
    return text
