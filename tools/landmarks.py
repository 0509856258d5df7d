"""landmarks.py - Sec. 3.2: the 68 landmarks of a clip, for tracking.py: files and a detector.

In the paper they come out of its tracker, Face2Face [38]. Here they are found first and lie beside
the clip, in the order of iBUG (300-W): 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth.
The detector is MediaPipe's face mesh (requirements-landmarks.txt). Nothing here, nor in
tracking.py, needs torch, so detecting works in an environment of its own, too.

In:  CLIP.landmarks.npy, or the folder CLIP.lms/ of text files; for the detector, the frames.
Out: (T, 68, 2) float32 px, x right, y down, pixel centres at +0.5; NaN: no face in that frame.
Read next: matte.py (where the person is), tracking.py (pose and expression from these points).
"""
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from tqdm import tqdm

from tools.errors import InputError, first_line, in_one_line, replacing
from tools.media import VideoInfo, read_frames, video_info


# ---- landmark files ------------------------------------------------------------------------------
def has_landmarks(clip_path: str | Path) -> bool:
    """Whether CLIP.landmarks.npy or the folder CLIP.lms/ lies beside CLIP.mp4, readable or not."""
    path, folder = _beside(clip_path)
    with in_one_line():
        return path.is_file() or folder.is_dir()


def load_landmarks(clip_path: str | Path, info: VideoInfo | None = None
                   ) -> Float[np.ndarray, "T 68 2"]:
    """Landmarks (T, 68, 2) px of CLIP.mp4, NaN: no face; from CLIP.landmarks.npy or CLIP.lms/.

    info: of the clip; None: the points are not checked against it. Raises InputError when there is
    neither file nor folder; it is locked, damaged or of another shape; T is not info.frames; no
    frame has landmarks; or the points are not pixels of an upright face in the clip's picture.
    """
    clip, (path, folder) = Path(clip_path), _beside(clip_path)
    make = f"make it again: python tracking.py {clip} --detect --force"
    with in_one_line(path):
        if path.is_file():
            landmarks = _read_npy(path, make)
        elif folder.is_dir():
            path, landmarks = folder, _read_folder(folder, info)
        else:
            command = f"python tracking.py {clip} --detect"
            raise InputError(f"{path}: no such landmark file; make it: {command}")
    if landmarks.ndim != 3 or landmarks.shape[1:] != (68, 2) or landmarks.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {landmarks.dtype} of shape {landmarks.shape}, "
                         f"want (frames, 68, 2) numbers; {make}")
    if info is not None and len(landmarks) != info.frames:
        raise InputError(f"{path}: has {len(landmarks)} frames, the clip {info.frames} frames; "
                         f"{make}")
    landmarks = without_empty_rows(landmarks)
    if np.isnan(landmarks).all():
        raise InputError(f"{path}: no frame has landmarks; {make}")
    if info is not None:
        check_pixels(landmarks, info, path)
    return landmarks


def _beside(clip_path: str | Path) -> tuple[Path, Path]:
    clip = Path(clip_path)
    return clip.with_name(clip.stem + ".landmarks.npy"), clip.with_name(clip.stem + ".lms")


def _read_npy(path: Path, make: str) -> Shaped[np.ndarray, "..."]:
    try:
        with in_one_line(path):
            found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, BadZipFile, MemoryError) as error:
        fault = "truncated or not a .npy file"
        if "Object arrays" in str(error):  # e.g. a list with None for "no face"
            fault = ("holds Python objects, want (frames, 68, 2) numbers, NaN where there is no "
                     "face")
        raise InputError(f"{path}: {fault}; {make}") from error
    if not isinstance(found, np.ndarray):
        raise InputError(f"{path}: is an .npz archive, not a .npy file; {make}")
    return found


def _read_folder(folder: Path, info: VideoInfo | None) -> Float[np.ndarray, "T 68 2"]:
    """NUMBER.lms files of 68 lines 'x y'; NUMBER is the frame, from 0; NaN without a file."""
    with in_one_line(folder):
        files = {int(f.stem): f for f in folder.iterdir()
                 if f.suffix == ".lms" and f.stem.isdecimal()}
    if not files:
        raise InputError(f"{folder}: holds no NUMBER.lms file; give one per frame, numbered from 0")
    T = max(files) + 1 if info is None else info.frames
    if max(files) >= T:
        raise InputError(f"{files[max(files)]}: there is no frame {max(files)} in a clip of {T} "
                         "frames, counted from 0")
    return read_lms(files, T)


def read_lms(files: Mapping[int, Path], n_frames: int) -> Float[np.ndarray, "{n_frames} 68 2"]:
    """Landmarks of the .lms file of each frame, as they stand there; NaN for a frame without one.

    Text of 68 lines 'x y', UTF-8 or UTF-16, with a byte-order mark or not: some editors add one.
    Raises InputError on a file of anything else, and on a locked one.
    """
    landmarks = np.full((n_frames, 68, 2), np.nan)
    for number, file in files.items():
        try:
            with in_one_line(file):
                content = file.read_bytes()
            wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
            text = content.decode("utf-16" if wide else "utf-8-sig")
            landmarks[number] = np.array(text.split(), dtype=float).reshape(68, 2)
        except (ValueError, OSError) as error:
            raise InputError(f"{file}: want 68 lines of two numbers, x y") from error
    return landmarks


def without_empty_rows(landmarks: Shaped[np.ndarray, "T 68 2"]) -> Float[np.ndarray, "T 68 2"]:
    """As float32; NaN where a point is no finite number and where all are equal: 0, -1 or others.

    Such rows are how other programs say "no face".
    """
    landmarks = landmarks.astype(np.float32)
    landmarks[~np.isfinite(landmarks).all((1, 2))] = np.nan
    landmarks[(np.ptp(landmarks, 1) < 1e-3).all(1)] = np.nan
    return landmarks


def check_pixels(landmarks: Float[np.ndarray, "T 68 2"], info: VideoInfo, path: Path) -> None:
    """Raise InputError where landmarks cannot be pixels of an upright face in the clip's picture.

    path: what the message names. Some odd frames do not matter: everything is a median over frames.
    """
    faces = landmarks[np.isfinite(landmarks).all((1, 2))].astype(np.float64)
    low, high = faces.min(1), faces.max(1)  # (n, 2): the box of each face
    size = [info.width, info.height]
    fault = None
    if np.median((high - low).max(1)) < 2:
        fault = f"its faces are {np.median((high - low).max(1)):.2g} wide, as if normalised to 1"
    elif (turned := _fault_of_direction(faces)) is not None:
        fault = turned
    elif np.median(((faces < 0) | (faces > size)).any(2).mean(1)) > 0.5:
        (left, top), (right, bottom) = np.median(low, 0), np.median(high, 0)
        fault = (f"its points lie outside the picture, x from {left:.0f} to {right:.0f}, y from "
                 f"{top:.0f} to {bottom:.0f}, as if of another resolution")
    if fault is not None:
        raise InputError(f"{path}: {fault}; give pixels, x then y, of a {info.width} x "
                         f"{info.height} picture")


def _fault_of_direction(faces: Float[np.ndarray, "n 68 2"]) -> str | None:
    """What is wrong with the axes of landmarks; None where faces stand, tilted up to 75 degrees.

    From the right eye to the left and then down to the chin one turns clockwise, however the head
    is tilted. Where axes are exchanged, or one of them runs backwards, anticlockwise.
    """
    across = _unit(faces[:, 45] - faces[:, 36])  # outer eye corners, to the image's right
    down = _unit(faces[:, 8] - faces[:, 27])     # root of the nose to chin
    clockwise = np.median(across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0])  # -1 to 1
    x, y = np.median(down, 0)
    tilt = np.degrees(np.arctan2(x, y))  # 0: the chin is below; 90: it is at the image's right
    if clockwise < -0.5:  # nearly -1; about 0 is a head in profile
        return {0: "left and right are exchanged, point 36 lies right of point 45",
                2: "y runs upwards, the chin lies above the nose",
                1: "x and y are exchanged",
                3: "x and y are exchanged, and y runs backwards"}[round(tilt / 90) % 4]
    if abs(tilt) > 75:
        return (f"its faces are not upright but turned by {abs(tilt):.0f} degrees, as if found in "
                "frames that were not turned as they are displayed")
    return None


def _unit(vectors: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


# ---- the detector --------------------------------------------------------------------------------
# MediaPipe's face mesh has 478 points fixed to the skin. These lie at the 68 iBUG places, in order.
MEDIAPIPE_68 = np.array([
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,  # jaw
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose bridge, nose base
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # lids
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # lips, outside
    78, 82, 13, 312, 308, 317, 14, 87])  # lips, inside


MAX_FACES = 3     # looked for in a frame; 2 to 3 ms a frame more than one
FARTHEST = 1.0    # face sizes: a head does not move farther from one frame to the next
MOST_GROWTH = 2.0  # nor does its size change by more than this factor
TASK_FPS = 25     # MediaPipe's tasks want a time for each frame; no result depends on it


def have_detector(model: Path | None = None) -> bool:
    """Whether faces can be found here.

    model: a face_landmarker.task file, for versions of MediaPipe that ship no models (0.10.30 and
    later). Raises InputError where MediaPipe is there but the file is missing or unfit.
    """
    try:
        if model is None:
            from mediapipe.python.solutions.face_mesh import FaceMesh  # noqa: F401
        else:
            with _face_finder(model):
                pass
    except ImportError:
        return False
    return True


def find_faces(frames: Iterable[UInt8[np.ndarray, "H W 3"]], total: int | None = None,
               model: Path | None = None) -> Float[np.ndarray, "T 68 2"]:
    """MediaPipe on the frames of one video, in order: (T, 68, 2) float32 px, NaN: no face.

    Of several people it is the one whose sizes in all frames add up to most, so the largest who is
    there most of the time; never now this one and now that. total: number of frames, for the
    progress bar. model: see have_detector. Raises ImportError without MediaPipe, InputError on an
    unfit model.
    """
    tracks: list[dict[int, np.ndarray]] = []
    T = 0
    with _face_finder(model) as find:
        for t, frame in enumerate(tqdm(frames, "finding landmarks", total, unit="frame")):
            size, T = frame.shape[1::-1], t + 1
            _continue_tracks(tracks, [points[MEDIAPIPE_68] * size for points in find(frame)], t)
    found = np.full((T, 68, 2), np.nan, np.float32)
    if tracks:
        best = max(tracks, key=lambda track: sum(_size(face) for face in track.values()))
        found[list(best)] = list(best.values())
    return found


def _size(face: Float[np.ndarray, "68 2"]) -> float:
    return float(np.ptp(face, 0).max())


def _step(old: Float[np.ndarray, "68 2"], new: Float[np.ndarray, "68 2"]) -> float:
    """How far a face would have moved, in face sizes; inf where its size changed too much."""
    small, large = sorted((_size(old), _size(new)))
    if large > MOST_GROWTH * small:
        return np.inf
    return float(np.linalg.norm(old.mean(0) - new.mean(0))) / large


def _continue_tracks(tracks: list[dict[int, np.ndarray]], faces: list[np.ndarray], t: int) -> None:
    """Add each face of frame t to the nearest track, {frame: face}, within reach, or begin one."""
    pairs = sorted((_step(next(reversed(track.values())), face), i, j)
                   for i, track in enumerate(tracks) for j, face in enumerate(faces))
    placed = set()
    for step, i, j in pairs:
        if step <= FARTHEST and t not in tracks[i] and j not in placed:
            tracks[i][t] = faces[j]
            placed.add(j)
    tracks += [{t: face} for j, face in enumerate(faces) if j not in placed]


@contextmanager
def _face_finder(model: Path | None) -> Iterator[Callable[[np.ndarray], list[np.ndarray]]]:
    """Yield a function: frame (H, W, 3) -> the mesh (478, 2) of each face, in shares of W and H."""
    if model is None:
        from mediapipe.python.solutions.face_mesh import FaceMesh
        with FaceMesh(static_image_mode=False, max_num_faces=MAX_FACES,
                      refine_landmarks=True) as mesh:
            yield lambda frame: [_points(face.landmark) for face in
                                 mesh.process(frame).multi_face_landmarks or []]
    else:
        with open_task("FaceLandmarker", model, "face_landmarker.task",
                       num_faces=MAX_FACES) as task:
            yield lambda frame: [_points(face) for face in task(frame).face_landmarks]


def _points(landmarks: Iterable) -> Float[np.ndarray, "478 2"]:
    return np.array([[point.x, point.y] for point in landmarks])


@contextmanager
def open_task(kind: str, model: Path, name: str, **options
              ) -> Iterator[Callable[[UInt8[np.ndarray, "H W 3"]], object]]:
    """Yield a function from the frames of a video, in order, to the results of a MediaPipe task.

    kind: "FaceLandmarker" or "ImageSegmenter". model: its file; name: what MediaPipe calls such a
    file. Raises ImportError without MediaPipe, InputError on a missing, locked or unfit file.
    """
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision
    with in_one_line(model):
        if not Path(model).is_file():
            raise InputError(f"{model}: no such model file; give MediaPipe's {name}")
        content = Path(model).read_bytes()
    try:
        task = getattr(vision, kind).create_from_options(getattr(vision, f"{kind}Options")(
            base_options=BaseOptions(model_asset_buffer=content),
            running_mode=vision.RunningMode.VIDEO, **options))
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{model}: is no {kind} model ({first_line(error)}); "
                         f"give MediaPipe's {name}") from error
    run = task.detect_for_video if kind == "FaceLandmarker" else task.segment_for_video
    count = itertools.count()

    def result(frame: np.ndarray) -> object:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB,
                                data=np.ascontiguousarray(frame))
        return run(image, next(count) * 1000 // TASK_FPS)  # ms
    with task:
        yield result


def detect(clip: str | Path, force: bool = False) -> Float[np.ndarray, "T 68 2"]:
    """Run MediaPipe on a clip; write CLIP.landmarks.npy: (T, 68, 2) float32 px, NaN: no face.

    Raises InputError: no clip, no MediaPipe, the file exists (without force), no face anywhere.
    """
    clip = Path(clip)
    target, _ = _beside(clip)
    with in_one_line():
        if target.exists() and not force:
            raise InputError(f"{target}: exists; add --force to replace it")
        if not clip.is_file():
            raise InputError(f"{clip}: no such file; check the path")
    if not have_detector():
        raise InputError(
            f"{clip}: detecting needs MediaPipe 0.10.21; pip install -r requirements-landmarks.txt "
            "(Python 3.10 to 3.12; NumPy becomes < 2), or in an environment of its own: python3.11 "
            "-m venv mp && mp/bin/pip install -r requirements-landmarks.txt && mp/bin/python "
            f"tracking.py {clip} --detect")
    landmarks = find_faces(read_frames(clip), video_info(clip).frames)
    if not np.isfinite(landmarks).any():
        raise InputError(f"{clip}: no face in {len(landmarks)} frames; "
                         "give a clip of one upright, well-lit face")
    with replacing(target) as temporary, open(temporary, "wb") as file:
        np.save(file, landmarks)
    return landmarks
