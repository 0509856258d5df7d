"""media.py - sound and video files: Sec. 3.1's inputs, a talking video and speech, and its output.

In:  paths of .wav .mp3 .m4a .mp4 (anything FFmpeg decodes, through PyAV).
Out: sound as (N,) float32 mono at 16 kHz in [-1, 1]; video as (H, W, 3) uint8 RGB frames; .mp4
     files with sound.
Read next: landmarks.py.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, Num, UInt8
from scipy.signal import resample_poly

from tools.errors import InputError, replacing

SAMPLE_RATE = 16000  # Hz, of all sound inside the program: what HuBERT takes
SYNTHETIC_TAG = "synthetic: rendered by dhnerf, not a recording"
LONGEST_GAP = 0.1    # s: a longer hole in the time stamps of a sound is filled with silence


# ---- reading -------------------------------------------------------------------------------------

@contextmanager
def _opened(path: str | Path) -> Iterator[av.container.InputContainer]:
    """Open a media file and turn every way it can be unreadable into one InputError."""
    path = Path(path)
    if not path.is_file():
        fault = "is a folder; give a file" if path.is_dir() else "no such file; check the path"
        raise InputError(f"{path}: {fault}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); give a sound or video file")
    try:
        with av.open(str(path)) as container:
            yield container
    except av.FFmpegError as error:
        raise InputError(f"{path}: cannot be decoded ({error.strerror}); the file is damaged or "
                         "not sound or video, try another or convert it with ffmpeg") from error
    except OSError as error:
        reason = f"cannot be read ({error.strerror}); check its permissions"
        raise InputError(f"{path}: {reason}") from error


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
    if not np.isfinite(wave).all() or np.abs(wave).max(initial=0) > 8:
        raise ValueError("sound with samples that are not numbers or far outside [-1, 1]")
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    divisor = gcd(SAMPLE_RATE, int(rate))
    if rate != SAMPLE_RATE and len(wave):
        wave = resample_poly(wave, SAMPLE_RATE // divisor, int(rate) // divisor)
    return np.clip(wave, -1, 1).astype(np.float32)


def _start_time(stream) -> float:
    """Seconds of the first picture or sample on the file's clock."""
    return float((stream.start_time or 0) * stream.time_base)


def _decode_sound(container, stream) -> tuple[list[np.ndarray], int, float]:
    """Mono blocks at the stream's rate, holes in the time stamps filled; the rate; their start."""
    blocks, count, start, rate = [], 0, 0.0, stream.rate
    for frame in container.decode(stream):
        data = frame.to_ndarray()  # planar (C, n); packed (1, n * C)
        if not frame.format.is_planar:
            data = data.reshape(-1, len(frame.layout.channels)).T  # (C, n)
        time = start + count / rate if frame.pts is None else float(frame.pts * frame.time_base)
        if not blocks:
            start, rate = time, frame.sample_rate
        hole = round((time - start) * rate) - count
        if hole > LONGEST_GAP * rate:
            blocks.append(np.zeros(hole, np.float32))
            count += hole
        blocks.append(_unit_range(data).mean(axis=0))
        count += len(blocks[-1])
    return blocks, rate, start


def read_audio(path: str | Path) -> Float[np.ndarray, " N"]:
    """Sound of a file (N,): mono, 16 kHz, in [-1, 1], from the time of the first picture, if any.

    Channels are averaged, and silence is fine. Raises InputError on a missing, empty or damaged
    file and on one without sound.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            raise InputError(f"{path}: has no sound; give a file with a sound track")
        blocks, rate, start = _decode_sound(container, container.streams.audio[0])
        if not blocks:
            raise InputError(f"{path}: its sound track holds no samples; give a file with sound")
        pictures = [s for s in container.streams.video
                    if not s.disposition & s.disposition.attached_pic]
        late = round((start - _start_time(pictures[0])) * rate) if pictures else 0
    wave = np.concatenate(blocks)
    wave = np.concatenate([np.zeros(late, np.float32), wave]) if late > 0 else wave[-late:]
    try:
        return to_mono_16k(wave, rate)
    except ValueError as error:
        raise InputError(f"{path}: {error}; convert it to 16-bit WAV first") from error


def check_audio_length(wave: Float[np.ndarray, " N"], fps: float | int, path: str | Path) -> None:
    """Raise InputError when 16 kHz sound is shorter than one frame: it could animate nothing."""
    if len(wave) < SAMPLE_RATE / fps:
        raise InputError(f"{path}: {len(wave) / SAMPLE_RATE:.3f} s of sound is shorter than one "
                         f"video frame ({1 / fps:.3f} s); give a longer recording")


@dataclass(frozen=True)
class VideoInfo:
    """A video's frames per second, their number, its size in px as displayed, whether it sounds."""
    fps: float
    frames: int
    width: int
    height: int
    has_audio: bool


def _frame_times(container, stream) -> np.ndarray:
    """Times in s of all frames that are shown, sorted, from the packets alone (no decoding)."""
    ticks = sorted(p.pts for p in container.demux(stream) if p.pts is not None and not p.is_discard)
    return np.array(ticks, dtype=float) * float(stream.time_base)


def video_info(path: str | Path) -> VideoInfo:
    """Rate, length and size of a video. InputError: unreadable, no pictures, uneven frame times.

    Everything here finds frame i at i / fps seconds, which a variable frame rate would break.
    """
    first = next(read_frames(path), None)
    with _opened(path) as container:
        stream = container.streams.video[0]
        times = _frame_times(container, stream)
        if first is None or len(times) == 0:
            raise InputError(f"{path}: its video track holds no frames; give a file with pictures")
        span = times[-1] - times[0]
        measured = (len(times) - 1) / span if span > 0 else 25.0
        fps = float(exact_fps(float(stream.average_rate or measured)))
        off = np.abs(times - times[0] - np.arange(len(times)) / fps) * fps  # in frames
        if off.max() > 0.75:
            raise InputError(f"{path}: its frames are unevenly spaced in time (variable frame "
                             f"rate); make them even first: ffmpeg -i IN -r {fps:.0f} OUT.mp4")
        height, width = first.shape[:2]
        return VideoInfo(fps, len(times), width, height, bool(container.streams.audio))


def read_frames(path: str | Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Frames of a video one by one, (H, W, 3) uint8 RGB, upright: rotation tags are obeyed."""
    with _opened(path) as container:
        if not container.streams.video:
            raise InputError(f"{path}: has no pictures; give a video")
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            image, quarters = frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)
            yield np.ascontiguousarray(np.rot90(image, quarters))  # both count anticlockwise


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


def write_video(path: str | Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float | int,
                wave: Float[np.ndarray, " N"] | None = None, wave_rate: int = SAMPLE_RATE) -> None:
    """Write RGB frames and mono sound in [-1, 1] as .mp4: H.264 yuv420p, AAC, tagged as synthetic.

    An odd height or width grows by one pixel. The sound keeps its own length. Raises InputError
    when the place cannot be written, ValueError on no frames or frames of unlike size.
    """
    rate = exact_fps(fps)
    sound = None if wave is None or len(wave) == 0 else np.clip(wave, -1, 1)
    with replacing(path) as temporary:
        options = {"movflags": "+faststart"}
        with av.open(str(temporary), "w", format="mp4", options=options) as container:
            container.metadata["comment"] = SYNTHETIC_TAG
            container.metadata["title"] = Path(path).stem
            _encode(container, iter(frames), rate, sound, wave_rate)
