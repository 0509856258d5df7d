"""test_media.py - tools/media.py: every format comes in alike, what goes out is what it says."""

import errno
import os
import subprocess
import sys
import wave as wave_module
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import wavfile

from tools import media
from tools.errors import InputError, replacing

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT.parent / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "real_clip.mp4").is_file(),
                                reason="../shared/data is absent")


def tone(rate, seconds=0.5, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def to_format(x, kind):
    """Float samples in [-1, 1] as scipy writes them: kind is uint8, int16, int32, float32 or
    float64."""
    if kind == "uint8":
        return np.round(x * 127 + 128).astype(np.uint8)
    scale = {"int16": 2**15 - 1, "int32": 2**31 - 1}.get(kind, 1)
    return (x * scale).astype(kind)


def write_wav24(path, x, rate):
    """24-bit PCM: the three low bytes of little-endian 32-bit integers. x (n, channels)."""
    raw = np.round(x * (2**23 - 1)).astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    with wave_module.open(str(path), "wb") as file:
        file.setnchannels(x.shape[1]), file.setsampwidth(3), file.setframerate(rate)
        file.writeframes(raw)


def write_compressed(path, x, rate, codec):
    """x (channels, n) float through an encoder of av."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo" if len(x) == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x, np.float32), format="fltp",
                                           layout="stereo" if len(x) == 2 else "mono")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frequency(x):
    """Frequency of the strongest bin of 16 kHz sound, refined by a parabola."""
    power = np.log(np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 17)) + 1e-12)
    k = power.argmax()
    a, b, c = power[k - 1:k + 2]
    return (k + 0.5 * (a - c) / (a - 2 * b + c)) * 16000 / (1 << 17)


# ---- reading sound

@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64", "int24"])
def test_wav_of_any_width_and_rate(tmp_path, rate, kind):
    path = tmp_path / "a.wav"
    x = tone(rate)
    if kind == "int24":
        write_wav24(path, x[:, None], rate)
    else:
        wavfile.write(path, rate, to_format(x, kind))
    got = media.read_audio(path)
    assert got.dtype == np.float32 and got.ndim == 1
    assert abs(len(got) - 8000) <= 1, "0.5 s must be 8000 samples at 16 kHz"
    want = tone(16000)
    middle = slice(800, 7200)  # away from the filter's ends
    tolerance = 0.012 if kind == "uint8" else 0.003
    assert np.abs(got[middle] - want[middle]).max() < tolerance, "amplitude or timing changed"
    assert abs(frequency(got) - 440) < 0.5


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_channels_are_averaged(tmp_path, channels):
    weights = np.arange(1, channels + 1) / channels
    wavfile.write(tmp_path / "a.wav", 16000, (tone(16000)[:, None] * weights).astype(np.float32))
    got = media.read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(got, tone(16000) * weights.mean(), atol=1e-5)


@pytest.mark.parametrize("name,codec,rate", [("a.mp3", "libmp3lame", 44100),
                                             ("a.m4a", "aac", 44100),
                                             ("b.m4a", "aac", 22050), ("a.mp4", "aac", 48000),
                                             ("a.flac", "flac", 44100)])
def test_compressed_stereo(tmp_path, name, codec, rate):
    if codec == "flac":
        wavfile.write(tmp_path / "a.wav", rate,
                      to_format(np.stack([tone(rate, 1), tone(rate, 1)], 1), "int16"))
        with av.open(str(tmp_path / "a.wav")) as source, av.open(str(tmp_path / name),
                                                                 "w") as target:
            stream = target.add_stream("flac", rate=rate)
            for frame in source.decode(audio=0):
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))
    else:
        write_compressed(tmp_path / name, np.stack([tone(rate, 1), tone(rate, 1)]), rate, codec)
    got = media.read_audio(tmp_path / name)
    assert 16000 <= len(got) <= 16000 + 3 * 1152 * 16000 / rate, \
        "at most padding frames of the codec may be added"
    best = max(range(-40, 41), key=lambda s: np.dot(np.roll(got[2000:14000], s),
                                                    tone(16000, 1)[2000:14000]))
    # 36.4 samples: a period
    assert abs(best) <= 1 or abs(abs(best) - 36.36) < 1.5, "the tone came out shifted in time"
    assert abs(frequency(got[:16000]) - 440) < 0.5
    assert abs(np.sqrt(np.mean(got[2000:14000] ** 2)) - 0.5 / np.sqrt(2)) < 0.02


@pytest.mark.parametrize("rate", [8000, 22000, 44100, 48000, 96000])
def test_a_click_stays_at_its_time(tmp_path, rate):
    x = np.zeros(rate, np.float32)
    x[round(0.25 * rate)] = 1.0
    wavfile.write(tmp_path / "a.wav", rate, x)
    got = media.read_audio(tmp_path / "a.wav")
    assert np.abs(got).argmax() == pytest.approx(0.25 * 16000, abs=1)


@pytest.mark.parametrize("array", [tone(22000) * 32767, tone(22000),
                                   np.stack([tone(22000)] * 2, 1)])
@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float64])
def test_arrays_of_vocaset(array, dtype):
    if np.issubdtype(dtype, np.integer):
        array = array * (32767 if np.abs(array).max() < 1 else 1)
    else:
        array = array / (32767 if np.abs(array).max() > 1 else 1)
    got = media.to_mono_16k(array.astype(dtype), 22000)
    assert len(got) == 8000
    np.testing.assert_allclose(got[800:7200], tone(16000)[800:7200], atol=2e-3)


@pytest.mark.parametrize("bad", [np.zeros((2, 2, 2)), np.array([0.0, np.nan]),
                                 np.array([0.0, 9000.0])])
def test_arrays_that_are_no_sound(bad):
    with pytest.raises(ValueError):
        media.to_mono_16k(bad, 16000)


@pytest.mark.parametrize("late", [0.2, -0.16])
def test_sound_that_starts_before_or_after_the_pictures(tmp_path, late):
    """The click sits 0.3 s after the first picture, whatever the tracks' own start times are."""
    path = tmp_path / "a.mkv"
    start = max(0.0, -late)  # of the pictures, on the file's clock
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        first = start + late
        x = np.zeros((1, 16000), np.int16)
        x[0, round((start + 0.3 - first) * 16000)] = 30000
        for block in range(0, 16000, 1000):
            frame = av.AudioFrame.from_ndarray(x[:, block:block + 1000].copy(), format="s16",
                                               layout="mono")
            frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
            frame.pts = round(first * 16000) + block
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for i in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9 * i, np.uint8),
                                                 format="rgb24")
            picture.pts, picture.time_base = round(start * 1000) + 40 * i, Fraction(1, 1000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    # .mkv counts milliseconds
    assert media.read_audio(path).argmax() == pytest.approx(0.3 * 16000, abs=40)


def test_silence_is_fine(tmp_path):
    wavfile.write(tmp_path / "a.wav", 16000, np.zeros(1600, np.int16))
    assert (media.read_audio(tmp_path / "a.wav") == 0).all()


# ---- what cannot be read: one line that names the file

def bad_files(folder):
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is not sound\n" * 50)
    wavfile.write(folder / "none.wav", 16000, np.zeros(0, np.int16))
    (folder / "folder.wav").mkdir()
    wavfile.write(folder / "nan.wav", 16000, np.full(999, np.nan, np.float32))
    media.write_video(folder / "mute.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3, 25)
    whole = (folder / "mute.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[:len(whole) // 3])
    return {"missing.wav": "no such file", "empty.wav": "empty", "text.wav": "decoded",
            "none.wav": "no samples",
            "folder.wav": "folder", "nan.wav": "not numbers", "mute.mp4": "no sound",
            "cut.mp4": "decoded"}


def test_unreadable_sound_is_named_in_one_line(tmp_path):
    for name, reason in bad_files(tmp_path).items():
        with pytest.raises(InputError) as caught:
            media.read_audio(tmp_path / name)
        message = str(caught.value)
        assert name in message and reason in message and ";" in message and "\n" not in message, \
            message


def test_video_errors(tmp_path):
    wavfile.write(tmp_path / "a.wav", 16000, np.zeros(1600, np.int16))
    for name, reason in (("a.wav", "no pictures"), ("gone.mp4", "no such file")):
        with pytest.raises(InputError, match=reason):
            media.video_info(tmp_path / name)


def test_sound_shorter_than_a_frame_is_refused():
    media.check_audio_length(np.zeros(640, np.float32), 25, "a.wav")
    with pytest.raises(InputError, match="a.wav.*shorter than one video frame"):
        media.check_audio_length(np.zeros(639, np.float32), 25, "a.wav")


# ---- video

def pictures(n, height=48, width=64):
    """Smooth pictures that tell top from bottom, left from right, red from blue, and time."""
    y, x = np.mgrid[:height, :width]
    for i in range(n):
        yield np.stack([40 + 2 * x, 30 + 3 * y, np.full_like(x, 40 + 4 * i)], -1).astype(np.uint8)


@pytest.mark.parametrize("fps,exact", [(24, Fraction(24)), (25, Fraction(25)),
                                       (29.97, Fraction(30000, 1001)),
                                       (30000 / 1001, Fraction(30000, 1001)), (30, Fraction(30)),
                                       (60, Fraction(60)), (12.5, Fraction(25, 2))])
def test_video_round_trip(tmp_path, fps, exact):
    path = tmp_path / "a.mp4"
    sound = tone(16000, 1.3)
    media.write_video(path, pictures(31), fps, sound.astype(np.float32))
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.average_rate == exact and video.codec_context.name == "h264"
        assert video.codec_context.pix_fmt == "yuv420p" and audio.codec_context.name == "aac"
        assert container.metadata["comment"] == "synthetic: rendered by dhnerf, not a recording"
        assert sum(1 for _ in container.decode(video)) == 31
    info = media.video_info(path)
    assert (info.frames, info.width, info.height, info.has_audio) == (31, 64, 48, True)
    assert info.fps == pytest.approx(float(exact), abs=1e-9)
    for got, want in zip(media.read_frames(path), pictures(31)):
        assert np.abs(got.astype(int) - want).mean() < 4, "picture, order or colours changed"
    heard = media.read_audio(path)
    assert 0 <= len(heard) - len(sound) <= 1024, "longer than one AAC frame"
    assert np.corrcoef(heard[1000:19000], sound[1000:19000])[0, 1] > 0.99, \
        "the sound moved against its clock"


def test_odd_sizes_grow_by_one_pixel(tmp_path):
    media.write_video(tmp_path / "a.mp4", pictures(3, 33, 47), 25)
    info = media.video_info(tmp_path / "a.mp4")
    assert (info.height, info.width, info.has_audio) == (34, 48, False)


def test_other_sound_rates(tmp_path):
    media.write_video(tmp_path / "a.mp4", pictures(25), 25, tone(44100, 1).astype(np.float32),
                      wave_rate=44100)
    assert abs(frequency(media.read_audio(tmp_path / "a.mp4")) - 440) < 0.5


@pytest.mark.parametrize("degrees,turns", [(90, 1), (180, 2), (-90, 3)])
def test_a_phones_rotation_tag_is_obeyed(tmp_path, degrees, turns):
    media.write_video(tmp_path / "a.mp4", pictures(3), 25)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    # a b c d of the track header
    matrix = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}[degrees]
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix):
        data[at + place:at + place + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    (tmp_path / "b.mp4").write_bytes(data)
    straight, turned = (next(media.read_frames(tmp_path / f"{name}.mp4")) for name in "ab")
    np.testing.assert_array_equal(turned, np.rot90(straight, turns))
    info = media.video_info(tmp_path / "b.mp4")
    assert (info.height, info.width) == turned.shape[:2]


def test_variable_frame_rate_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i, image in enumerate(pictures(20)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i if i < 10 else 3 * i - 20, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="variable frame rate"):
        media.video_info(tmp_path / "a.mp4")


def test_frames_of_unlike_size_and_no_frames(tmp_path):
    for frames in ([], [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 34, 3), np.uint8)]):
        with pytest.raises(ValueError, match="write_video"):
            media.write_video(tmp_path / "a.mp4", frames, 25)
    assert list(tmp_path.iterdir()) == [], "a failed video must leave nothing"


# ---- files appear whole or not at all

def test_replacing_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with replacing(path) as temporary:
            assert temporary.parent == tmp_path and temporary.suffix == ".txt"
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_replacing_names_the_place_it_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "a.mp4", tmp_path / "file" / "a.mp4", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            with replacing(path):
                pass


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(InputError, match="disk is full"):
        with replacing(tmp_path / "a.npy"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("body,code,text", [
    ("raise errors.InputError('x.wav: gone; look')", 2, "error: x.wav: gone; look\n"),
    ("raise KeyboardInterrupt", 130, "interrupted\n"), ("return None", 0, "")])
def test_run_cli(body, code, text):
    program = f"from tools import errors\ndef main():\n    {body}\nerrors.run_cli(main)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, text)


@needs_real
def test_the_real_clip():
    info = media.video_info(REAL / "real_clip.mp4")
    assert (info.fps, info.frames, info.width, info.height) == (25, 200, 512, 512)
    assert len(media.read_audio(REAL / "real_clip.mp4")) == 128000
    rate, samples = wavfile.read(REAL / "real_speech.wav")
    assert len(media.read_audio(REAL / "real_speech.wav")) == np.ceil(len(samples) * 16000 / rate)
