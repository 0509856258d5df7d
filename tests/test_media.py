"""test_media.py - tools/media.py: every format comes in alike, what goes out is what it says."""

import errno
import os
import subprocess
import sys
import tracemalloc
import wave as wave_module
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import resample_poly

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


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22000, 44100, 44099, 48000, 96000])
def test_blocks_are_resampled_as_one_piece(rate, monkeypatch):
    """Whatever the blocks: SciPy's resampler on the whole sound."""
    monkeypatch.setattr(media, "BLOCK", 0.05)
    rng = np.random.default_rng(0)
    for n in (1, rate // 20, rate + 1, rate + 777):
        x = rng.uniform(-1, 1, n).astype(np.float32)
        blocks = np.split(x, np.sort(rng.integers(0, n + 1, 40)))
        got = np.concatenate(list(media._resampled(blocks, rate)))
        want = resample_poly(x, 16000, rate)
        assert len(got) == len(want) == np.ceil(n * 16000 / rate)
        assert np.abs(got - want).max() < 1e-6, f"{n} samples: a seam"


def test_long_sound_is_read_in_bounded_memory(tmp_path, monkeypatch):
    """40 s at 96 kHz take 15 MB as floats; no more than 4 s of them are held at once."""
    monkeypatch.setattr(media, "BLOCK", 4)
    x = (9000 * np.sin(np.arange(96000 * 40) / 30)).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 96000, x)
    tracemalloc.start()
    try:
        got = media.read_audio(tmp_path / "a.wav")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(got) == 40 * 16000
    assert peak < 2 * got.nbytes + 4 * 4 * 96000 * 4, f"{peak / 1e6:.0f} MB for {got.nbytes / 1e6:.0f}"


def write_tracks(path, tracks):
    """Sound tracks of 1 s at 16 kHz, float, into one file."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in tracks]
        for stream, x in zip(streams, tracks):
            frame = av.AudioFrame.from_ndarray((x * 32767).astype(np.int16)[None], format="s16",
                                               layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def test_of_several_tracks_the_first_that_sounds_is_used_and_named(tmp_path, capsys):
    silent, low, high = np.full(16000, 5e-5), tone(16000, 1, 300), tone(16000, 1, 900)
    for name, tracks, hertz, number in (("a", [silent, low, high], 300, 2), ("b", [high, low], 900, 1)):
        path = tmp_path / f"{name}.mkv"
        write_tracks(path, tracks)
        assert frequency(media.read_audio(path)) == pytest.approx(hertz, abs=1)
        line = capsys.readouterr().out
        assert line.count("\n") == 1 and f"{name}.mkv" in line and f"number {number} is used" in line
    media.read_audio(path)
    assert capsys.readouterr().out == "", "it is said once"
    write_tracks(tmp_path / "c.mkv", [silent, 0 * silent])
    assert np.abs(media.read_audio(tmp_path / "c.mkv")).max() < 1e-3, "silence may still drive"
    write_tracks(tmp_path / "d.mkv", [low])
    capsys.readouterr()
    media.read_audio(tmp_path / "d.mkv")
    assert capsys.readouterr().out == "", "nothing to choose, nothing to say"


def test_silent_sound_is_told_from_faint_sound():
    faint = np.zeros(16000 * 90, np.float32)
    faint[16000 * 80:16000 * 80 + 800] = 3e-4 * np.sin(np.arange(800))
    media.check_sounding(faint, "a.mp4")
    for silent in (np.zeros(0), np.zeros(100), np.full(16000, 0.05), 1e-5 * np.sin(np.arange(16000.0))):
        with pytest.raises(InputError, match="^a.mp4: is silent; "):
            media.check_sounding(silent.astype(np.float32), "a.mp4")


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


def set_matrix(path, numbers):
    """Write a, b, c, d into the display matrix of the (only) track of an .mp4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), numbers):
        data[at + place:at + place + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)


def displayed(image, a, b, c, d):
    """ISO 14496-12: the pixel at (x, y) is shown at (a x + c y, b x + d y), then moved to 0, 0."""
    places = {(a * x + c * y, b * x + d * y): image[y, x] for y, x in np.ndindex(image.shape[:2])}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    out = np.zeros(image.shape if a else (image.shape[1], image.shape[0], 3), np.uint8)
    for (x, y), colour in places.items():
        out[y - top, x - left] = colour
    return out


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
                                    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_all_eight_orientations_come_out_as_displayed(tmp_path, matrix):
    media.write_video(tmp_path / "a.mp4", pictures(3), 25)
    straight = next(media.read_frames(tmp_path / "a.mp4"))
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    set_matrix(tmp_path / "b.mp4", matrix)
    got = list(media.read_frames(tmp_path / "b.mp4"))
    np.testing.assert_array_equal(got[0], displayed(straight, *matrix))
    info = media.video_info(tmp_path / "b.mp4")
    assert (info.frames, info.height, info.width) == (3, *got[0].shape[:2])


@pytest.mark.parametrize("aspect,wide", [(Fraction(4, 3), 85), (Fraction(3, 4), 48),
                                         (Fraction(64, 63), 64), (Fraction(200, 1), 64)])
@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0)])
def test_pixels_that_are_not_square_come_out_as_displayed(tmp_path, aspect, wide, matrix):
    """A ramp from left to right: where it is c, it is shown at c's share of the stretched width."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for image in pictures(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    set_matrix(path, matrix)
    image, info = next(media.read_frames(path)), media.video_info(path)
    assert (info.height, info.width) == image.shape[:2]
    upright = image if matrix[0] else np.rot90(image)
    assert upright.shape == (48, wide, 3), "the stretch comes before the turn"
    want = 40 + 2 * ((np.arange(wide) + 0.5) * 64 / wide - 0.5)
    assert np.abs(upright[24, 2:-2, 0] - want[2:-2]).max() < 6


def test_cover_art_is_not_the_video_track(tmp_path):
    """The cover is stored first, as some programs do: the boxes of an .mp4's head change places."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        container.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        for image in pictures(5):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
    data = path.read_bytes()
    track, tags = (data.index(name) - 4 for name in (b"trak", b"udta"))
    path.write_bytes(data[:track] + data[tags:] + data[track:tags]
                     if data.index(b"mdat") < track else data)
    with av.open(str(path)) as container:
        kinds = [bool(s.disposition & s.disposition.attached_pic) for s in container.streams.video]
        assert kinds == [True, False]
    info = media.video_info(path)
    assert (info.frames, info.width, info.height) == (5, 64, 48)
    assert [f.shape for f in media.read_frames(path)] == [(48, 64, 3)] * 5


def test_a_cover_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.m4a"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic.value
        container.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        frame = av.AudioFrame.from_ndarray(tone(16000, 1).astype(np.float32)[None], format="fltp",
                                           layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux([*sound.encode(frame), *sound.encode(None)])
    assert abs(frequency(media.read_audio(tmp_path / "a.m4a")) - 440) < 0.5
    with pytest.raises(InputError, match="no pictures"):
        media.video_info(tmp_path / "a.m4a")


# ---- one frame is one picture that the decoder gives, at its own time

def clicks_and_flashes(path, codec="libx264", sound="aac", start=0.0, shown=range(75), times=None,
                       size=(64, 48), key=20):
    """3 s at 25 frames a second: white pictures 25 and 50, clicks at 1 s and 2 s.

    start: s of the first on the file's clock; shown: which pictures are there; times: theirs in
    ms; key: a key frame every so many pictures.
    """
    with av.open(str(path), "w") as container:
        options = {"g": str(key), "bf": "2" if codec == "libx264" else "0"}
        video = container.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        if times is not None:  # else the encoder rounds them to frames
            video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream(sound, rate=16000, layout="mono")
        x = np.random.default_rng(0).normal(0, 0.001, 48000)
        x[16000:16040] = x[32000:32040] = 0.9
        for i in range(75):
            if i in shown:
                image = np.full((size[1], size[0], 3), 230 if i in (25, 50) else 20, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                at = 40 * i if times is None else times[i]
                frame.pts, frame.time_base = round(1000 * start) + round(at), Fraction(1, 1000)
                container.mux(video.encode(frame))
            part = x[None, 640 * i:640 * i + 640]
            part = part.astype(np.float32) if sound == "aac" else (32767 * part).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part, format="fltp" if sound == "aac" else "s16",
                                               layout="mono")
            frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
            frame.pts = round(16000 * start) + 640 * i
            container.mux(audio.encode(frame))
        container.mux([*video.encode(None)])
        container.mux([*audio.encode(None)])
    return path


def damage(path, packets, kind="video"):
    """Zeros in place of what is in those packets (numbered in the order of the file) of a track."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        places = [(p.pos, p.size) for p in container.demux(stream) if p.size]
    data = bytearray(path.read_bytes())
    for number in packets:
        begin, size = places[number]
        data[begin + 4:begin + size] = bytes(size - 4)
    path.write_bytes(data)


def assert_paired(path, flashes):
    """Flashes are at those times, a click lies within a frame of each, and all counts agree."""
    info, frames = media.video_info(path), list(media.read_frames(path))
    ids, wave = np.array(info.ids), np.abs(media.read_audio(path))
    assert info.frames == len(frames) == len(ids) and (np.diff(ids) > 0).all() and ids[0] == 0
    bright = ids[[frame.mean() > 120 for frame in frames]] / info.fps
    assert bright == pytest.approx(flashes, abs=1e-6)
    for at in bright:
        window = slice(max(0, round(16000 * (at - 0.2))), round(16000 * (at + 0.2)))
        click = (window.start + wave[window].argmax()) / 16000
        assert wave[window].max() > 0.3 and abs(click - at) < 1 / info.fps + 0.003, f"{click} and {at}"
    return info


@pytest.mark.parametrize("name,sound", [("a.mp4", "aac"), ("a.mkv", "pcm_s16le"), ("a.ts", "aac")])
@pytest.mark.parametrize("start", [0.0, 1.28])
def test_flashes_and_clicks_of_a_whole_clip(tmp_path, name, sound, start):
    info = assert_paired(clicks_and_flashes(tmp_path / name, sound=sound, start=start), [1.0, 2.0])
    assert (info.fps, info.ids) == (25, tuple(range(75)))


@pytest.mark.parametrize("name,sound", [("a.mp4", "aac"), ("a.mkv", "pcm_s16le")])
def test_flashes_and_clicks_of_a_clip_without_its_first_key_frame(tmp_path, name, sound):
    """Pictures 0 to 19 cannot be decoded: 0.8 s are gone, of the sound, too."""
    damage(clicks_and_flashes(tmp_path / name, sound=sound), [0])
    info = assert_paired(tmp_path / name, [0.2, 1.2])
    assert (info.fps, info.ids) == (25, tuple(range(55)))


def test_flashes_and_clicks_of_a_clip_that_was_cut_without_a_key_frame(tmp_path):
    """Packets are copied from picture 5 on, as cutting programs do; the file begins with them."""
    whole, part = clicks_and_flashes(tmp_path / "a.mkv", sound="pcm_s16le"), tmp_path / "b.mkv"
    with av.open(str(whole)) as source, av.open(str(part), "w") as target:
        copies = {}
        for stream in source.streams:
            copy = getattr(target, "add_stream_from_template", None)  # PyAV 14
            copies[stream.index] = copy(stream) if copy else target.add_stream(template=stream)
        for packet in source.demux():
            if packet.dts is not None and packet.pts * packet.time_base >= Fraction(1, 5):
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    info = assert_paired(part, [0.2, 1.2])
    assert info.frames == 55


@pytest.mark.parametrize("name,sound,lost", [("a.mp4", "aac", range(20, 26)),
                                             ("a.mkv", "pcm_s16le", ())])
def test_flashes_and_clicks_after_a_hole(tmp_path, name, sound, lost, capsys):
    """Eight pictures and 0.4 s of the sound between the flashes are destroyed."""
    path = clicks_and_flashes(tmp_path / name, sound=sound)
    damage(path, range(30, 38))
    damage(path, lost, "audio")
    info = assert_paired(path, [1.0, 2.0])
    assert info.fps == 25 and info.ids[-1] == 74 and info.frames < 75
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 + bool(lost) and all(f"{path}: damaged; packets of its" in x for x in said)


def test_what_follows_the_end_of_a_file_that_is_cut_off_is_missing_alone(tmp_path):
    path = clicks_and_flashes(tmp_path / "a.mkv", sound="pcm_s16le")
    path.write_bytes(path.read_bytes()[:path.stat().st_size * 6 // 10])
    assert 30 < assert_paired(path, [1.0]).frames < 50


def test_a_clip_whose_pictures_are_all_damaged_is_refused(tmp_path):
    path = clicks_and_flashes(tmp_path / "a.mp4")
    damage(path, range(75))
    for read in (media.video_info, lambda path: next(media.read_frames(path))):
        with pytest.raises(InputError, match="a.mp4: cannot be decoded"):
            read(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_phones_variable_frame_rate_is_accepted(tmp_path, name):
    """Stamps that jitter by up to 8 ms, and single frames and a second that are missing."""
    rng = np.random.default_rng(1)
    gone = {7, 8, 20, 41, *range(52, 70)}
    times = 40 * np.arange(75) + np.r_[0, rng.uniform(-8, 8, 74)]
    path = clicks_and_flashes(tmp_path / name, sound="aac" if name == "a.mp4" else "pcm_s16le",
                              shown=set(range(75)) - gone, times=times)
    with av.open(str(path)) as container:
        spacing = np.diff([frame.time for frame in container.decode(video=0)])
    assert 0.024 < spacing.min() < 0.032 and (np.abs(spacing - 0.04) > 0.002).mean() > 0.5
    info = assert_paired(path, [1.0, 2.0])
    assert info.fps == 25 and info.ids == tuple(i for i in range(75) if i not in gone)


def test_frames_of_avi_are_in_order_though_it_stores_no_presentation_times(tmp_path):
    path = clicks_and_flashes(tmp_path / "a.avi", sound="pcm_s16le")
    assert assert_paired(path, [1.0, 2.0]).ids == tuple(range(75))


@pytest.mark.parametrize("fps", [24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60, 12.5, 24.97, 26])
@pytest.mark.parametrize("tick", [1e-3, 1 / 90000, 1 / 600])
@pytest.mark.parametrize("gaps", [0, 0.1])
def test_nominal_rate_and_grid(fps, tick, gaps):
    """Rounded stamps with holes: every frame finds its own place."""
    rng = np.random.default_rng(0)
    ids = np.flatnonzero(np.r_[True, rng.uniform(size=2999) >= gaps])
    times = np.round(ids / fps / tick) * tick
    stream = type("Stream", (), {"average_rate": Fraction(29), "time_base": Fraction(tick)})
    got = media._nominal_rate(times, stream)
    assert got == pytest.approx(fps, rel=1e-9 if Fraction(fps) in media.USUAL else 1e-4)
    places, kept = media._on_grid(times, fps)
    assert kept.all() and places == ids.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_nominal_rate_of_a_short_clip_that_jitters_is_a_usual_one(seed):
    """2 s at 30, each frame up to 6 ms early or late: a line through the times is no better."""
    times = np.arange(60) / 30 + np.random.default_rng(seed).uniform(-0.006, 0.006, 60)
    stream = type("Stream", (), {"average_rate": Fraction(29), "time_base": Fraction(1, 90000)})
    assert media._nominal_rate(times, stream) in (30, 30000 / 1001)


def test_frames_that_the_grid_has_no_room_for_are_left_out():
    """In places of the grid: 1.4 and 1.6 share one, so the later moves; 2.05 would move too far."""
    at = [0.0, 1.4, 1.6, 2.05, 4.0, 3.0, 5.0]
    places, kept = media._on_grid(np.array(at) / 25, 25.0)
    assert places == [0, 1, 2, 4, 5] and kept.tolist() == [True, True, True, False, True, False, True]


def test_info_and_frames_agree_where_frames_have_no_room(tmp_path):
    times = [40 * i for i in range(75)]
    times[10], times[11] = 372, 375  # 9.3 and 9.4 places: one moves on, for the other it is too far
    path = clicks_and_flashes(tmp_path / "a.mkv", sound="pcm_s16le", times=times)
    info = assert_paired(path, [1.0, 2.0])
    assert info.ids == tuple(i for i in range(75) if i != 11)


def test_a_video_is_surveyed_once_and_anew_when_it_changes(tmp_path, monkeypatch):
    media.write_video(tmp_path / "a.mp4", pictures(5), 25)
    first = media.video_info(tmp_path / "a.mp4")
    assert hash(first) == hash(media.video_info(tmp_path / "a.mp4"))
    monkeypatch.setattr(media, "_times_of", None)
    assert media.video_info(tmp_path / "a.mp4") == first, "decoded again"
    monkeypatch.undo()
    media.write_video(tmp_path / "a.mp4", pictures(7), 25)
    assert media.video_info(tmp_path / "a.mp4").frames == 7 and first.frames == 5


def test_info_takes_an_array_of_ids():
    info = media.VideoInfo(25.0, 2, 4, 4, False, np.array([0, 3]))
    assert info == media.VideoInfo(25.0, 2, 4, 4, False, (0, 3)) and isinstance(hash(info), int)


def test_a_size_that_changes_on_the_way_becomes_that_of_the_first(tmp_path):
    parts = [clicks_and_flashes(tmp_path / f"{n}.ts", start=start, size=size, shown=range(20))
             for n, start, size in ((0, 0, (64, 48)), (1, 0.8, (128, 96)))]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(tmp_path / "a.ts")) as container:
        assert {frame.width for frame in container.decode(video=0)} == {64, 128}
    frames = list(media.read_frames(tmp_path / "a.ts"))
    assert len(frames) == media.video_info(tmp_path / "a.ts").frames > 30
    assert {frame.shape for frame in frames} == {(48, 64, 3)}


# ---- names

NOT_UTF8 = os.fsdecode(b"caf\xe9")  # Latin-1


@pytest.mark.parametrize("stem", ["2024-05-01T12:30", "file:x", "a%03d", NOT_UTF8])
def test_a_name_is_a_name_for_reading_and_writing(tmp_path, monkeypatch, stem):
    monkeypatch.chdir(tmp_path)  # so that nothing stands before a colon
    try:
        Path(f"{stem}.wav").touch()
    except OSError:
        pytest.skip("a file cannot have this name here")
    with open(f"{stem}.wav", "wb") as file:
        wavfile.write(file, 16000, tone(16000).astype(np.float32))
    assert len(media.read_audio(f"{stem}.wav")) == 8000
    media.write_video(f"{stem}.mp4", pictures(3), 25, tone(16000).astype(np.float32))
    assert sorted(os.listdir()) == sorted([f"{stem}.mp4", f"{stem}.wav"])
    assert media.video_info(f"{stem}.mp4").frames == len(list(media.read_frames(f"{stem}.mp4"))) == 3


def test_tags_in_another_code_are_no_fault(tmp_path):
    """A .wav whose title is Latin-1, which is not UTF-8."""
    wavfile.write(tmp_path / "a.wav", 16000, to_format(tone(16000), "int16"))
    info = b"INFOINAM" + (6).to_bytes(4, "little") + b"caf\xe9s\0"
    data = (tmp_path / "a.wav").read_bytes() + b"LIST" + len(info).to_bytes(4, "little") + info
    (tmp_path / "a.wav").write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert len(media.read_audio(tmp_path / "a.wav")) == 8000


# ---- what stands there already

def test_only_a_video_of_this_program_is_replaced(tmp_path):
    path = tmp_path / "a.mp4"
    media.write_video(path, pictures(3), 25)
    media.write_video(path, pictures(4), 25)
    assert media.video_info(path).frames == 4
    own = clicks_and_flashes(tmp_path / "own.mp4")
    (tmp_path / "notes.mp4").write_text("notes")
    (tmp_path / "empty.mp4").touch()
    for name in ("own.mp4", "notes.mp4", "empty.mp4"):
        before, drawn = (tmp_path / name).read_bytes(), []
        with pytest.raises(InputError, match=f"{name}: exists and was not written by this program; "):
            media.write_video(tmp_path / name, (drawn.append(i) or i for i in pictures(3)), 25)
        assert (tmp_path / name).read_bytes() == before and drawn == [], "before anything is rendered"
    assert own.is_file() and len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("name", ["a.gif", "a", ".mp4", "a.mp4.avi"])
def test_videos_are_written_as_mp4(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: videos are written as .mp4; "):
        media.write_video(tmp_path / name, pictures(3), 25)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("code", ["ascii", "cp1252"])
def test_a_console_of_another_code_page_ends_in_no_traceback(code):
    program = ("import os\nfrom tools import errors\ndef main():\n"
               "    print('\u0144\U0001f600', os.fsdecode(b'caf\\xe9'))\n"
               "    raise errors.InputError('\u0144.wav: gone; look')\nerrors.run_cli(main)")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONIOENCODING": f"{code}:strict"})
    assert done.returncode == 2 and done.stderr.strip() == b"error: \\u0144.wav: gone; look"
    assert done.stdout.startswith(b"\\u0144\\U0001f600 caf")


@needs_real
def test_the_real_clip():
    info = media.video_info(REAL / "real_clip.mp4")
    assert (info.fps, info.frames, info.width, info.height) == (25, 200, 512, 512)
    assert len(media.read_audio(REAL / "real_clip.mp4")) == 128000
    rate, samples = wavfile.read(REAL / "real_speech.wav")
    assert len(media.read_audio(REAL / "real_speech.wav")) == np.ceil(len(samples) * 16000 / rate)
