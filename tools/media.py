"""media.py - sound and video files: Sec. 3.1's inputs, a talking video and speech, and its output.

In:  paths of .wav .mp3 .m4a .mp4 (anything FFmpeg decodes, through PyAV).
Out: sound as (N,) float32 mono at 16 kHz in [-1, 1]; video as (H, W, 3) uint8 RGB frames as they
     are displayed, each with its time; .mp4 files with sound.

A frame is a picture that the decoder gives, at its own time stamp, and sound starts with the first
of them. So both stay paired where a clip is damaged, cut, or of a variable frame rate.
Read next: landmarks.py.
"""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, gcd
from pathlib import Path

import av
import numpy as np
from jaxtyping import Bool, Float, Int, Num, UInt8
from scipy.signal import resample_poly

from tools.errors import InputError, replacing, told

SAMPLE_RATE = 16000  # Hz, of all sound inside the program: what HuBERT takes
SYNTHETIC_TAG = "synthetic: rendered by dhnerf, not a recording"
LONGEST_GAP = 0.03   # s: a longer hole in the time stamps of a sound is filled with silence
SILENT = 1e-8        # mean square of 25 ms, 80 dB below full scale: nobody speaks
BLOCK = 30           # s of sound that are resampled at once
MOVED = 0.75         # frames: so far may a frame be moved to a free place of the grid
USUAL = [Fraction(n) for n in (5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)]
USUAL += [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)] + [Fraction(25, 2)]  # a second


# ---- opening and decoding ------------------------------------------------------------------------

def _url(path: str | Path) -> str:
    """A path as FFmpeg takes it: without the prefix, 12:30.wav would be a protocol named 12."""
    return f"file:{path}"


def _stat(path: Path) -> os.stat_result:
    """Of a file that is there and not empty; else InputError."""
    if not path.is_file():
        fault = "is a folder; give a file" if path.is_dir() else "no such file; check the path"
        raise InputError(f"{path}: {fault}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); give a sound or video file")
    return path.stat()


@contextmanager
def _opened(path: str | Path) -> Iterator[av.container.InputContainer]:
    """Open a media file and turn every way it can be unreadable into one InputError."""
    path = Path(path)
    try:
        _stat(path)
        with av.open(_url(path), metadata_errors="replace") as container:  # tags may be Latin-1
            yield container
    except PermissionError as error:  # FFmpeg's, too
        raise told(error, path) from error
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror}); the file is damaged or "
                         "not sound or video, try another or convert it with ffmpeg") from error
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); check the disk or network it lies on"
        raise InputError(f"{path}: {reason}") from error


@functools.lru_cache(maxsize=1024)
def _say(line: str) -> None:
    """Print a line about a file once, however often the file is read."""
    print(line)


def _decoded(container, stream, faults: list[Exception]) -> Iterator:
    """All that the decoder gives of a track; errors go to `faults`, what follows may be whole."""
    packets, ended = container.demux(stream), False
    while not ended:
        frames = []
        try:
            packet = next(packets, None)
            ended = packet is None
            frames = stream.decode(packet)  # None: what the decoder still holds
        except av.EOFError:
            pass  # it holds nothing more
        except av.FFmpegError as error:
            faults.append(error)
        yield from frames


def _picture_track(container):
    """The first real video track, or None: cover art is an attached picture."""
    return next((s for s in container.streams.video if s.codec_context is not None
                 and not s.disposition & s.disposition.attached_pic), None)


# ---- sound ---------------------------------------------------------------------------------------

def _unit_range(samples: Num[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Integer samples by their width, floats as they are -> float32 in [-1, 1]."""
    if samples.dtype.kind == "u":  # 8 bit is centred on 128
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        return ((samples - half) / half).astype(np.float32)
    if samples.dtype.kind == "i":
        full = 2.0 ** (8 * samples.dtype.itemsize - 1)
        if samples.dtype.itemsize == 8:  # no sound is 64 bit wide: 16-bit samples in a wider array
            full = 2.0 ** 15
        return (samples / full).astype(np.float32)
    return samples.astype(np.float32)


def _check_samples(wave: Float[np.ndarray, "..."]) -> None:
    if not np.isfinite(wave).all() or np.abs(wave).max(initial=0) > 8:
        raise ValueError("sound with samples that are not numbers or far outside [-1, 1]")


def to_mono_16k(samples: Num[np.ndarray, "..."], rate: int) -> Float[np.ndarray, " N"]:
    """Samples (n,) or (n, channels), integer or float in [-1, 1], at `rate` Hz -> mono, 16 kHz.

    Channels are averaged; the resampler has linear phase, so that nothing moves in time.
    N = ceil(n * 16000 / rate). Raises ValueError on samples that are not finite, on floats far
    outside [-1, 1] and on other shapes.
    """
    wave = _unit_range(np.asarray(samples))
    if wave.ndim not in (1, 2) or rate <= 0:
        shape = f"sound of shape {wave.shape} at {rate} Hz"
        raise ValueError(f"{shape}: want (samples,) or (samples, channels)")
    _check_samples(wave)
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    divisor = gcd(SAMPLE_RATE, int(rate))
    if rate != SAMPLE_RATE and len(wave):
        wave = resample_poly(wave, SAMPLE_RATE // divisor, int(rate) // divisor)
    return np.clip(wave, -1, 1).astype(np.float32)


def _resampled(blocks: Iterable[Float[np.ndarray, " _"]], rate: int
               ) -> Iterator[Float[np.ndarray, " _"]]:
    """Blocks of one sound at `rate` Hz -> blocks at 16 kHz, as if it were resampled in one piece.

    BLOCK seconds at a time are filtered together with what lies about them, as far as the filter
    of resample_poly reaches, and cut where input and output samples coincide.
    """
    divisor = gcd(SAMPLE_RATE, rate)
    up, down = SAMPLE_RATE // divisor, rate // divisor
    margin = down * ceil(10 * max(up, down) / (up * down))  # its half length, in input samples
    step, lead, held, count = down * ceil(BLOCK * rate / down), 0, [], 0
    for block in blocks:
        held, count = held + [block], count + len(block)
        while count >= lead + step + margin:
            sound = np.concatenate(held)
            part = resample_poly(sound[:lead + step + margin], up, down)
            yield part[lead * up // down:(lead + step) * up // down]
            sound = sound[lead + step - margin:].copy()
            lead, held, count = margin, [sound], len(sound)
    if count > lead:
        yield resample_poly(np.concatenate(held), up, down)[lead * up // down:]


def _mono_blocks(frames: Iterable, zero: float | None) -> Iterator[Float[np.ndarray, " _"]]:
    """Decoded sound -> mono blocks at its rate from the time `zero` on; holes are silence.

    zero: s on the file's clock; None: the first sample's. Raises ValueError on what is no sound.
    """
    count = rate = None  # samples from `zero` to the next one; negative: it lies before
    for frame in frames:
        data = frame.to_ndarray()  # planar (C, n); packed (1, n * C)
        if not frame.format.is_planar:
            data = data.reshape(-1, len(frame.layout.channels)).T  # (C, n)
        time, gap = None if frame.pts is None else float(frame.pts * frame.time_base), LONGEST_GAP
        if count is None:
            time, rate, gap = time or 0.0, frame.sample_rate, 0.0
            zero = time if zero is None else zero
            count = min(0, round((time - zero) * rate))
        hole = 0 if time is None else round((time - zero) * rate) - count
        if hole > 3600 * rate:
            raise ValueError("sound with a hole of more than an hour in its time stamps")
        if hole > gap * rate:
            yield np.zeros(hole, np.float32)
            count += hole
        block = _unit_range(data).mean(axis=0)
        _check_samples(block)
        yield block[max(0, -count):]
        count += len(block)


def _read_track(path: str | Path, index: int, zero: float | None) -> Float[np.ndarray, " N"]:
    """Track `index` of a file: sound, mono, 16 kHz, from the time `zero` s on; perhaps empty."""
    faults: list[Exception] = []
    with _opened(path) as container:
        frames = _decoded(container, container.streams[index], faults)
        first = next(frames, None)
        if first is None:
            if faults:
                raise faults[0]
            return np.zeros(0, np.float32)
        blocks = _mono_blocks(itertools.chain([first], frames), zero)
        try:
            wave = np.concatenate([np.zeros(0, np.float32),
                                   *_resampled(blocks, first.sample_rate)])
        except ValueError as error:
            raise InputError(f"{path}: {error}; convert it to 16-bit WAV first") from error
    if faults:
        _say(f"{path}: damaged; packets of its sound that cannot be decoded: {len(faults)}")
    return np.clip(wave, -1, 1, out=wave)


def _first_picture_time(container) -> float | None:
    """Seconds on the file's clock of the first picture that the decoder gives; None: there is none.

    A track's own start time is that of its first packet, which nothing decodes after a cut.
    """
    stream = _picture_track(container)
    first = None if stream is None else next(_decoded(container, stream, []), None)
    return None if first is None else first.time or 0.0


def read_audio(path: str | Path) -> Float[np.ndarray, " N"]:
    """Sound of a file (N,): mono, 16 kHz, in [-1, 1], from the time of the first picture, if any.

    Channels are averaged, and silence is fine. Of several sound tracks it is the first that is not
    silent, and a printed line says which. Raises InputError on a missing, empty or damaged file and
    on one without sound.
    """
    with _opened(path) as container:
        sounds = container.streams.audio
        tracks = [stream.index for stream in sounds if stream.codec_context is not None]
        if not sounds:
            raise InputError(f"{path}: has no sound; give a file with a sound track")
        if not tracks:
            raise InputError(f"{path}: FFmpeg does not know this kind of sound; convert it to WAV "
                             "with the program that made it")
        zero = _first_picture_time(container)
    wave, used = np.zeros(0, np.float32), 0
    for number, index in enumerate(tracks):
        heard = _read_track(path, index, zero)
        if number == 0 or not is_silent(heard):
            wave, used = heard, number
        if not is_silent(heard):
            break
    if len(wave) == 0:
        raise InputError(f"{path}: its sound track holds no samples; give a file with sound")
    if len(tracks) > 1:
        _say(f"{path}: has {len(tracks)} sound tracks; number {used + 1} is used, the first that "
             "is not silent")
    return wave


def is_silent(wave: Float[np.ndarray, " N"]) -> bool:
    """Whether no 25 ms of 16 kHz sound reach SILENT; a constant offset is silence, too."""
    minute, window = 60 * SAMPLE_RATE, SAMPLE_RATE // 40
    for begin in range(0, len(wave), minute):
        piece = wave[begin:begin + minute]
        piece = np.pad(piece, (0, -len(piece) % window), mode="edge").reshape(-1, window)
        if (piece.var(axis=1) > SILENT).any():
            return False
    return True


def check_sounding(wave: Float[np.ndarray, " N"], path: str | Path) -> None:
    """Raise InputError where 16 kHz sound is silent throughout: no lips are learnt from it."""
    if is_silent(wave):
        raise InputError(f"{path}: is silent; give a clip whose sound is that of its speaker")


def check_audio_length(wave: Float[np.ndarray, " N"], fps: float | int, path: str | Path) -> None:
    """Raise InputError when 16 kHz sound is shorter than one frame: it could animate nothing."""
    if len(wave) < SAMPLE_RATE / fps:
        raise InputError(f"{path}: {len(wave) / SAMPLE_RATE:.3f} s of sound is shorter than one "
                         f"video frame ({1 / fps:.3f} s); give a longer recording")


# ---- pictures ------------------------------------------------------------------------------------

@dataclass(frozen=True)
class VideoInfo:
    """A video: frames per second, number of frames, px as displayed, whether it sounds, times.

    ids (frames,): frame k is shown at ids[k] / fps seconds after the first. They rise strictly, and
    have gaps where frames are missing.
    """
    fps: float
    frames: int
    width: int
    height: int
    has_audio: bool
    ids: tuple[int, ...] | Int[np.ndarray, " frames"]  # becomes a tuple

    def __post_init__(self):
        object.__setattr__(self, "ids", tuple(int(i) for i in self.ids))  # hashable


@dataclass(frozen=True)
class _Survey:
    """What decoding a video once tells: its info; which decoded pictures have a place in time."""
    info: VideoInfo
    kept: Bool[np.ndarray, " decoded"]
    threads: str


def _times_of(stamps: list[tuple[int | None, int | None]], stream) -> Float[np.ndarray, " n"]:
    """Seconds at which decoded frames are shown, from their own stamps (presentation, decoding).

    Formats that have no presentation times, as AVI, give an order of their own; those of decoding
    rise then, as they do in the order in which frames are given.
    """
    shown, sent = np.array(stamps, dtype=float).T  # None becomes NaN
    faulty = lambda ticks: np.count_nonzero(~(np.diff(ticks) > 0))
    times = (sent if faulty(sent) < faulty(shown) else shown) * float(stream.time_base)
    even, known = np.arange(len(times)) / float(stream.average_rate or 25), np.isfinite(times)
    if not known.any():
        return even
    return even + np.interp(even, even[known], (times - even)[known])


def _nominal_rate(times: Float[np.ndarray, " n"], stream) -> float:
    """Frames per second of the clock on whose ticks the times lie best, whatever is missing.

    Candidates are the usual rates near the median spacing, and a line through the times, which has
    to be clearly better. Phones drop frames and are early or late with others.
    """
    declared = exact_fps(float(stream.average_rate or 25))
    steps = np.diff(times)
    steps = steps[steps > 0]
    if len(steps) == 0:
        return float(declared)
    middle, tick = np.median(steps), float(stream.time_base)
    spacing = steps[np.abs(steps - middle) <= max(0.1 * middle, 1.5 * tick)].mean()
    number = np.cumsum(np.round(np.append(0, steps) / spacing))
    at = np.cumsum(np.append(0, steps))  # s
    rates = [rate for rate in USUAL if abs(rate * spacing - 1) < 0.06]
    rates.append(exact_fps(1 / np.polyfit(number, at, 1)[0]))

    def fit(rate: Fraction) -> float:
        on_ticks = np.abs(np.exp(2j * np.pi * float(rate) * at).mean())  # 1: all of them
        return on_ticks + 0.05 * (rate in USUAL) + 0.001 * (rate == declared)

    return float(max(rates, key=fit))


def _on_grid(times: Float[np.ndarray, " n"], fps: float | int) -> tuple[list[int], np.ndarray]:
    """Places on a grid of `fps` of those frames for which there is one free, and which those are.

    Of two frames on one place the later moves on. Where that is too far, as its time stamp goes
    back or it came much too early, it is left out.
    """
    ids, kept = [], np.zeros(len(times), bool)
    for k, at in enumerate((times - times[0]) * fps):
        place = max(round(at), ids[-1] + 1 if ids else 0)
        if place - at <= MOVED:
            ids.append(place)
            kept[k] = True
    return ids, kept


def _survey(path: str | Path) -> _Survey:
    """Decode a video once for all; InputError: unreadable, or without pictures."""
    stat = _stat(Path(path))
    return _surveyed(str(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _surveyed(path: str, size: int, changed: int) -> _Survey:
    for threads in ("AUTO", "SLICE"):
        faults: list[Exception] = []
        with _opened(path) as container:
            stream = _video_of(container, path, threads)
            stamps, image = [], None
            for frame in _decoded(container, stream, faults):
                if image is None:
                    image = _as_displayed(frame, stream.sample_aspect_ratio)
                stamps.append((frame.pts, frame.dts))
            if image is None and faults:
                raise faults[0]
            if image is None:
                raise InputError(f"{path}: its video track holds no frames; "
                                 "give a file with pictures")
            times = _times_of(stamps, stream)
            fps = _nominal_rate(times, stream)
            sounds = bool(container.streams.audio)
        if not faults:
            break  # else again: of frames that are decoded side by side a fault can take several
    if faults:
        _say(f"{path}: damaged; packets of its pictures that cannot be decoded: {len(faults)}")
    ids, kept = _on_grid(times, fps)
    height, width = image.shape[:2]
    return _Survey(VideoInfo(fps, len(ids), width, height, sounds, tuple(ids)), kept, threads)


def _video_of(container, path: str | Path, threads: str):
    """The video track, to be decoded by `threads`; InputError without one."""
    stream = _picture_track(container)
    if stream is None:
        raise InputError(f"{path}: has no pictures; give a video")
    stream.thread_type = threads
    return stream


def video_info(path: str | Path) -> VideoInfo:
    """Rate, length, size and times of a video. InputError: unreadable, no pictures.

    It is decoded from end to end, once a process: no header knows which frames can be decoded.
    """
    return _survey(path).info


def read_frames(path: str | Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Frames of a video one by one, (H, W, 3) uint8 RGB, as displayed; frame k has info.ids[k].

    As displayed: turned and mirrored as the file says, with square pixels, all of the first's size.
    Pictures that share their time with another are left out, as in video_info. Raises InputError.
    """
    survey = _survey(path)
    size = survey.info.width, survey.info.height
    with _opened(path) as container:
        stream = _video_of(container, path, survey.threads)
        for frame, kept in zip(_decoded(container, stream, []), survey.kept):
            if kept:
                yield _resized(_as_displayed(frame, stream.sample_aspect_ratio), *size)


def _resized(image: UInt8[np.ndarray, "H W 3"], width: int, height: int
             ) -> UInt8[np.ndarray, "{height} {width} 3"]:
    if image.shape[:2] == (height, width):
        return image
    import cv2  # slow to load, and seldom wanted
    shrinks = width * height < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height),
                      interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _as_displayed(frame, aspect: Fraction | None) -> UInt8[np.ndarray, "H W 3"]:
    """A decoded frame with square pixels, then turned and mirrored. aspect: pixel width / height.

    Its height stays. A stretch of less than two pixels is a rounding of the header, and one by more
    than four is no camera's.
    """
    image = frame.to_ndarray(format="rgb24")
    height, width = image.shape[:2]
    wide = round(width * aspect) if aspect and 1 / 4 <= aspect <= 4 else width
    if abs(wide - width) > 1:
        image = _resized(image, wide, height)
    return np.ascontiguousarray(_oriented(image, frame))


def _oriented(image: UInt8[np.ndarray, "H W 3"], frame) -> UInt8[np.ndarray, "h w 3"]:
    """One of the eight orientations of a picture, as the frame's display matrix wants it."""
    try:
        matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32)
    except KeyError:
        return image
    except ValueError:  # PyAV does not know another kind of side data of this frame
        return np.rot90(image, round(frame.rotation / 90))  # both count anticlockwise
    a, b, _, c, d = (int(number) for number in matrix[:5])  # x' = a x + c y, y' = b x + d y
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return image[::-1 if down < 0 else 1, ::-1 if across < 0 else 1]


# ---- writing -------------------------------------------------------------------------------------

def exact_fps(fps: float | int) -> Fraction:
    """Frame rate as the fraction that was meant: 29.97 -> 30000/1001, 25 -> 25, 12.5 -> 25/2."""
    for nominal in (24, 30, 48, 60, 120):
        if abs(fps - nominal / 1.001) < 0.005:
            return Fraction(nominal * 1000, 1001)
    return Fraction(fps).limit_denominator(1000)


def _even(image: np.ndarray) -> np.ndarray:
    """Repeat the last pixels where the size is odd: yuv420p stores colour per 2 x 2 pixels."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _add_video_stream(container, first: np.ndarray, rate: Fraction):
    stream = container.add_stream("libx264", rate=rate, options={"crf": "16", "preset": "medium"})
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = 1 / rate
    return stream


def _mux_audio(container, stream, wave: np.ndarray, begin: int, end: int) -> None:
    """Encode samples begin..end of the wave."""
    if end > begin:
        samples = np.ascontiguousarray(wave[None, begin:end], dtype=np.float32)  # (1, n)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, begin, Fraction(1, stream.rate)
        container.mux(stream.encode(frame))


def _encode(container, frames: Iterator[np.ndarray], rate: Fraction, wave: np.ndarray | None,
            wave_rate: int) -> None:
    first = next(frames, None)
    if first is None:
        raise ValueError("write_video: no frames")
    video = _add_video_stream(container, _even(first), rate)
    sound = None if wave is None else container.add_stream("aac", rate=wave_rate, layout="mono")
    image, count, done = first, 0, 0
    while image is not None:
        if image.shape != first.shape or image.dtype != np.uint8:
            found = f"frame {count} is {image.shape} {image.dtype}"
            raise ValueError(f"write_video: {found}, want {first.shape} uint8")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(_even(image)), format="rgb24")
        picture.pts, picture.time_base = count, 1 / rate
        container.mux(video.encode(picture))
        count += 1
        if sound is not None:  # sound and pictures side by side in the file: it can be streamed
            upto = min(len(wave), int(count / rate * wave_rate))
            _mux_audio(container, sound, wave, done, upto)
            done = upto
        image = next(frames, None)
    container.mux(video.encode(None))
    if sound is not None:
        _mux_audio(container, sound, wave, done, len(wave))
        container.mux(sound.encode(None))


def _is_ours(path: Path) -> bool:
    """Whether the file is a video that write_video wrote."""
    try:
        with _opened(path) as container:
            return container.metadata.get("comment") == SYNTHETIC_TAG
    except InputError:
        return False


def check_target(path: str | Path) -> None:
    """Raise InputError unless write_video may write there: a name in .mp4, and no file of others.

    An existing video of this program is replaced, anything else is the user's own.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise InputError(f"{path}: videos are written as .mp4; choose a name that ends in .mp4")
    if path.exists() and not path.is_dir() and not _is_ours(path):
        raise InputError(f"{path}: exists and was not written by this program; "
                         "choose another name or remove it")


def write_video(path: str | Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float | int,
                wave: Float[np.ndarray, " N"] | None = None, wave_rate: int = SAMPLE_RATE) -> None:
    """Write RGB frames and mono sound in [-1, 1] as .mp4: H.264 yuv420p, AAC, tagged as synthetic.

    An odd height or width grows by one pixel. The sound keeps its own length. Raises InputError
    when the place cannot be written (see check_target), ValueError on no frames or frames of unlike
    size.
    """
    check_target(path)
    rate = exact_fps(fps)
    sound = None if wave is None or len(wave) == 0 else np.clip(wave, -1, 1)
    with replacing(path) as temporary:
        options = {"movflags": "+faststart"}
        with av.open(_url(temporary), "w", format="mp4", options=options) as container:
            container.metadata["comment"] = SYNTHETIC_TAG
            container.metadata["title"] = Path(path).stem.encode("utf-8", "replace").decode()
            _encode(container, iter(frames), rate, sound, wave_rate)
