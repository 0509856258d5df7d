"""test_page.py - the page with sliders (inference/page.py), in a real browser: which picture belongs to which
positions, the sentence, what the page asks of the network; what it is made of (data/examples.py); what is refused."""
import base64
import io
import itertools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import animate
from audio import AudioEncoder, LipEncoder
from browser import CHROMIUM, Browser
from config import SMALL
from data.corpus import Corpus
from data.examples import OPENINGS, examples_of, expressions, shut_to_open
from dhnerf import DHNeRF, LatentCodes, LatentExtractor
from inference import page
from inference.page import Axis
from inference.rendering import sound_to_lips
from inference.run import Run
from synthetic.cameras import camera_of_motion, default_camera, head_motion
from test_corpus import make_take
from tools.errors import InputError
from tracking import head_pose

NAMES = ("identity", "expression", "albedo", "light", "yaw", "mouth")
LENGTHS = (2, 3, 2, 2, 3, 2)
COMBINATIONS = list(itertools.product(*map(range, LENGTHS)))  # the last one fastest
START = (0, 1, 1, 0, 1, 0)
HOSTILE = "</script><script>document.title = 'broken'</script>"
SIDE, BLOCK, LEVELS, SPOKEN, FPS = 48, 16, 6, 20, 10.0
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")


# ---- a page of pictures that say which they are ----------------------------------------------------

def coded(number):
    """A picture that says its number: three digits to the base 6, as grey levels of three stripes."""
    digits = [number // LEVELS**i % LEVELS for i in range(3)]
    return np.repeat(np.repeat(np.array(digits, np.uint8) * 51, BLOCK)[None, :, None], SIDE, 0).repeat(3, 2)


def decoded(picture):
    """The number of a picture that `coded` has made, after compression."""
    digits = [round(float(picture[:, BLOCK * i + 4:BLOCK * i + 12].mean()) / 51) for i in range(3)]
    return sum(digit * LEVELS**i for i, digit in enumerate(digits))


@pytest.fixture(scope="module")
def coded_page(tmp_path_factory):
    named = {name: f"{name} {HOSTILE if name == 'identity' else ''}" for name in NAMES}
    axes = {name: Axis(torch.zeros(n, 1), [f"{named[name]}{i}" for i in range(n)], start)
            for name, n, start in zip(NAMES, LENGTHS, START)}
    frames = np.stack([coded(number) for number in range(len(COMBINATIONS))])
    spoken = np.stack([coded(200 - t) for t in range(SPOKEN)])
    wave = 0.1 * np.sin(np.arange(int(SPOKEN / FPS * 16000)) / 16000 * 440 * 6.28).astype(np.float32)
    path = tmp_path_factory.mktemp("page") / "a page.html"
    path.write_text(page.html_of(page.content(axes, frames, spoken, wave, FPS, "about")))
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


def opened(uri):
    """The picture (H, W, 3) in a data URI."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def seen(browser, canvas="picture"):
    """The pixels (S, S, 3) of a canvas of the page."""
    return opened(browser.run(f"document.getElementById('{canvas}').toDataURL('image/png')"))


def positions(browser):
    return tuple(browser.run(f"[{','.join(f'document.getElementById(`{name}`).valueAsNumber' for name in NAMES)}]"))


@needs_browser
def test_each_slider_shows_the_picture_of_its_combination_and_no_other(browser, coded_page):
    browser.open(coded_page.as_uri())
    assert positions(browser) == START and decoded(seen(browser)) == COMBINATIONS.index(START)
    at = list(START)
    for i, name in enumerate(NAMES):  # as a person with a keyboard: to both ends, then step by step
        browser.run(f"document.getElementById('{name}').focus()")
        for key, to in [("End", LENGTHS[i] - 1), ("Home", 0), *[("ArrowRight", to) for to in range(1, LENGTHS[i])]]:
            browser.press(key)
            at[i] = to
            assert positions(browser) == tuple(at)
            assert decoded(seen(browser)) == COMBINATIONS.index(tuple(at)), (name, to)
            said = browser.run(f"document.querySelector('output[for={name}]').value")
            assert said.startswith(name) and said.endswith(str(to))
            assert browser.run(f"document.getElementById('{name}').getAttribute('aria-valuetext')") == said
            assert f"{name}={to}" in browser.run("location.hash")
    assert browser.run("document.title") != "broken"


@needs_browser
def test_the_second_picture_is_four_times_the_change(browser, coded_page):
    browser.open(coded_page.as_uri())
    before = seen(browser).astype(int)
    assert not seen(browser, "change").any()
    browser.run("document.getElementById('mouth').focus()")
    browser.press("End")
    now = seen(browser).astype(int)
    assert np.array_equal(seen(browser, "change"), np.minimum(255, 4 * abs(now - before))) and (now != before).any()


@needs_browser
def test_an_address_holds_a_state_and_nonsense_in_it_does_no_harm(browser, coded_page):
    browser.open(coded_page.as_uri() + "#identity=1&yaw=2&mouth=1")
    assert positions(browser) == (1, 1, 1, 0, 2, 1) and decoded(seen(browser)) == COMBINATIONS.index((1, 1, 1, 0, 2, 1))
    browser.run("location.hash = '#light=1'")
    browser.wait("document.getElementById('light').value === '1'")
    assert decoded(seen(browser)) == COMBINATIONS.index((1, 1, 1, 1, 2, 1))
    browser.open(coded_page.as_uri() + "#identity=9&yaw=x&mouth=-1&light=0.5&__proto__=1")
    assert positions(browser) == START
    browser.run("document.getElementById('back').click()")
    assert decoded(seen(browser)) == COMBINATIONS.index(START)


@needs_browser
def test_while_pictures_are_decoded_the_page_says_so(browser, coded_page, tmp_path):
    text, slow = coded_page.read_text(), tmp_path / "slow.html"
    decode = "return made.decode().then(() => made);"
    assert text.count(decode) == 1
    slow.write_text(text.replace(decode, "return new Promise(done => decoded.push(() => made.decode().then(() => "
                                         "done(made))));").replace("let sheets", "const decoded = []; let sheets"))
    browser.events.clear()
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=slow.as_uri())
    browser.wait("typeof decoded !== 'undefined' && decoded.length === data.sheets.length")
    assert browser.run("caption.textContent") == "Loading ..." and browser.run("play.disabled")
    assert browser.run("[...pixels(picture).data].some(value => value)"), "nothing stands where the picture will be"
    browser.run("document.getElementById('light').focus()")
    browser.press("End")
    browser.run("void decoded.forEach(go => go())")
    browser.wait("decoded.length > data.sheets.length")  # the sentence's, when those of the sliders are there
    assert decoded(seen(browser)) == COMBINATIONS.index((0, 1, 1, 1, 1, 0)) and browser.run("play.disabled")
    browser.run("decoded.at(-1)()")
    browser.wait("document.body.dataset.ready === 'yes'")
    assert not browser.run("play.disabled") and "these positions" in browser.run("caption.textContent")
    assert not browser.complaints() and not seen(browser, "change").any()


@needs_browser
def test_the_sentence_goes_with_its_sound_and_ends_where_the_sliders_are(browser, coded_page):
    browser.open(coded_page.as_uri())
    browser.run("document.getElementById('play').focus()")
    browser.press("Enter")
    together = """new Promise(done => requestAnimationFrame(() => done({  // after the page's own, in one frame
        time: sound.currentTime, frame: Number(picture.dataset.frame), image: picture.toDataURL('image/png') })))"""
    found = []
    for least in (0.0, 0.5, 1.2):  # s
        browser.wait(f"sound.currentTime > {least}", 10)
        one = browser.run(together)
        assert 200 - decoded(opened(one["image"])) == one["frame"] and abs(one["time"] * FPS - one["frame"] - 0.5) < 1.6
        found.append(one["frame"])
    assert found[0] < found[1] < found[2] and found[2] >= 8
    browser.run("document.getElementById('light').focus()")
    browser.press("End")  # a slider ends it
    assert browser.run("sound.paused") and decoded(seen(browser)) == COMBINATIONS.index((0, 1, 1, 1, 1, 0))
    assert not seen(browser, "change").any(), "compared with a picture of the sentence, not of the sliders"
    browser.run("sound.currentTime = 1.7; sound.play()")
    browser.wait("sound.ended", 10)
    browser.wait("!('frame' in picture.dataset)")
    assert decoded(seen(browser)) == COMBINATIONS.index((0, 1, 1, 1, 1, 0))
    assert browser.run("document.getElementById('play').textContent") == "Play a sentence"


@needs_browser
def test_the_page_asks_nothing_of_any_network(browser, coded_page, tmp_path):
    browser.events.clear()
    browser.open(coded_page.as_uri())
    browser.run("document.getElementById('play').click()")
    browser.wait("sound.currentTime > 0")
    asked = {url for url in browser.requests() if not url.startswith("data:")} - {"about:blank"}
    assert asked == {coded_page.as_uri()} and not browser.complaints()
    # It could not, either: its own policy forbids it; and a page that does ask is seen by this test.
    with pytest.raises(AssertionError, match="Failed to fetch"):
        browser.run("fetch('http://127.0.0.1:9/x')")
    other = tmp_path / "other.html"
    other.write_text("<body data-ready=yes><img src='http://127.0.0.1:9/x.png'>")
    browser.open(other.as_uri())
    assert "http://127.0.0.1:9/x.png" in browser.requests()
    browser.events.clear()


# ---- what a run puts into it -----------------------------------------------------------------------

SIZES = {"id": 4, "al": 3, "ill": 2}
LONG = 20  # frames of a take
FEW = {**dict.fromkeys(NAMES, 2), "expression": 3}  # positions of the sliders


def tiny_run(sizes=SIZES, examples=True):
    """An untrained model with sound, whose codes are far apart; takes of four people whose heads turn."""
    cfg = replace(SMALL, size=32, n_coarse=4, n_fine=2)
    torch.manual_seed(0)
    table = lambda n, name: 3 * F.normalize(torch.randn(n, cfg.code_size(name)), dim=-1)
    codes = LatentCodes({"ex": table(4 * LONG, "ex"), **{name: table(n, name) for name, n in sizes.items()}})
    K, distance = default_camera(32)
    takes = []
    for i, name in enumerate(("a/one", "b/one", "c/one", "d/one")):
        motion = head_motion(LONG, 30.0, np.random.default_rng(i))
        pose = torch.from_numpy(camera_of_motion(motion, distance)).float()
        takes.append({"name": name, "subject": name[0], "fps": 30.0, "first": LONG * i, "background": 0,
                      "K": torch.from_numpy(K).float(), "cam_to_head": pose,
                      "codes": {name: min(i, n - 1) for name, n in sizes.items()}})
    e_lip = LipEncoder(cfg.d_lip).eval()
    shapes = np.linspace(-2, 2, OPENINGS)[:, None] * np.random.default_rng(0).normal(size=40)
    kept = {"ex": torch.tensor([3, 9, 30]), "lips": torch.from_numpy(shapes).float(),
            "speech": (8000 * torch.sin(torch.arange(8000) / 9.0)).to(torch.int16)}
    e_audio = AudioEncoder(40, cfg.audio_window, cfg.d_lip, cfg.sound_layers).eval()
    return Run(cfg, DHNeRF(cfg).eval(), codes, LatentExtractor(cfg), e_audio, takes,
               torch.full((1, 32, 32, 3), 200, dtype=torch.uint8), torch.device("cpu"), None, e_lip,
               kept if examples else None)


@pytest.fixture(scope="module")
def run():
    return tiny_run()


@pytest.fixture(scope="module")
def axes(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "STEPS", FEW)
        return page.axes_of(run, run.takes[0])


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    """The page of the tiny run as animate.py writes it, with uncompressed, and its data."""
    path = tmp_path_factory.mktemp("tiny") / "explore.html"
    def lossless(image, quality):
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, "WEBP", lossless=True)
        return packed.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "STEPS", FEW)
        patch.setattr(page, "webp", lossless)
        patch.setattr(animate, "load_run", lambda folder, device: run)
        animate.main(["somewhere", "--page", str(path), "--device", "cpu"])
    return path, json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.S)[1])


@torch.no_grad()
def rendered(run, labels, ex, lips, camera):
    """One picture (32, 32, 3) straight from the model."""
    codes = {name: run.codes.tables[name].weight[[i]] for name, i in {**labels, "ex": ex}.items()}
    back = torch.full((1, 3, 32, 32), 200 / 255)
    out = run.model(codes, lips, run.takes[0]["K"][None], camera[None], back)["image"]
    return (out[0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()


def test_every_combination_is_rendered_from_its_own_inputs(run, axes, written):
    """Against the model itself: of 12 combinations each is nearest to its own picture of all, to a grey level."""
    _, data = written
    lengths = [len(data["axes"][name]["labels"]) for name in NAMES]
    assert lengths == [2, 3, 2, 2, 2, 2]
    assert data["axes"]["expression"]["labels"] == ["eyes shut", "at rest", "brows high"]
    sheets = [opened(uri) for uri in data["sheets"]]
    cells = [sheet[row:row + 32, column:column + 32] for sheet in sheets
             for row in range(0, sheet.shape[0], 32) for column in range(0, sheet.shape[1], 32)]
    cells = np.stack(cells).astype(float)
    every = list(itertools.product(*map(range, lengths)))
    assert len(cells) == len(every) == 96
    row = lambda table, value: int((table - value).norm(dim=1).argmin())
    entry = {factor: [row(run.codes.tables[factor].weight, value) for value in axes[name].values]
             for name, factor in (("identity", "id"), ("albedo", "al"), ("light", "ill"))}
    assert entry["id"][0] == 0 and all(len(set(numbers)) == len(numbers) for numbers in entry.values())
    with torch.no_grad():
        lips = run.e_lip(run.examples["lips"])
    chosen = [row(lips, value) for value in axes["mouth"].values]
    assert chosen[0] == 0 and chosen[-1] == OPENINGS - 1 and chosen == sorted(chosen)
    for number in np.random.default_rng(0).choice(len(every), 12, replace=False):
        i, x, a, l, y, m = every[number]
        true = rendered(run, {"id": entry["id"][i], "al": entry["al"][a], "ill": entry["ill"][l]},
                        [3, 9, 30][x], lips[[chosen[m]]], axes["yaw"].values[y])
        distance = np.abs(cells - true).mean((1, 2, 3))
        assert distance.argmin() == number and distance[number] < 1, every[number]


def test_the_yaws_are_those_of_the_head_in_front_of_the_camera(run):
    axis = page.yaw_axis(run, run.takes[0], 5)
    yaw, own = head_pose(axis.values.numpy().astype(float))[:, 0], head_pose(run.takes[0]["cam_to_head"].numpy())[:, 0]
    assert axis.labels[2] == "straight ahead" and "left" in axis.labels[0] and "right" in axis.labels[4]
    np.testing.assert_allclose(yaw, np.linspace(-yaw[4], yaw[4], 5), atol=0.5)
    assert page.LEAST <= yaw[4] + 0.5 and yaw[4] <= max(page.LEAST, np.abs(own).max()) + 0.5
    for turned, label in zip(yaw, axis.labels):
        assert label == "straight ahead" or abs(abs(turned) - int(label.split()[0])) <= 1


def test_the_sentence_is_driven_by_its_sound_alone(run, axes, written):
    """15 a second of half a second; each is the model's picture under F_al of that time, codes and pose as at first."""
    _, data = written
    talk = data["talk"]
    assert talk["fps"] == 15 and talk["frames"] == 8
    sheet = opened(talk["sheet"]).astype(float)
    start = {name: axis.values[[axis.start]] for name, axis in axes.items()}
    wave = run.examples["speech"].numpy().astype(np.float32) / 32767
    lips = sound_to_lips(run, wave, np.arange(8) / 15)
    codes = {"id": start["identity"], "ex": start["expression"], "al": start["albedo"], "ill": start["light"]}
    for t in (0, 5):
        with torch.no_grad():
            out = run.model(codes, lips[[t]], run.takes[0]["K"][None], start["yaw"],
                            torch.full((1, 3, 32, 32), 200 / 255))
        true = (out["image"][0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
        assert np.abs(sheet[:32, 32 * t:32 * t + 32] - true).mean() < 1
    with io.BytesIO(base64.b64decode(talk["sound"].split(",")[1])) as file:
        import wave as wavefile
        with wavefile.open(file) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (16000, 1, 8000)
            assert np.array_equal(np.frombuffer(sound.readframes(8000), "<i2"), run.examples["speech"].numpy())


@needs_browser
def test_what_a_run_lacks_is_said_where_its_slider_is(browser, tmp_path, monkeypatch):
    one = tiny_run({"id": 1, "al": 1, "ill": 1})
    silent = replace(one, e_lip=None, e_audio=None, cfg=replace(one.cfg, sync=False),
                     model=DHNeRF(replace(one.cfg, sync=False)).eval())
    old = replace(one, examples=None)
    monkeypatch.setattr(page, "FINER", {"yaw": 4, "mouth": 2})
    for number, (which, off, says) in enumerate((
            (one, {"identity", "albedo", "light"}, ("light", "trained on one light, so it has one C_ill")),
            (silent, {"identity", "albedo", "light", "mouth"}, ("mouth", "no F_lip")),
            (old, {"identity", "albedo", "light", "mouth", "expression"}, ("expression", "earlier version")))):
        page.write_page(which, tmp_path / f"{number}.html")
        browser.open((tmp_path / f"{number}.html").as_uri())
        disabled = {name for name in NAMES if browser.run(f"document.getElementById('{name}').disabled")}
        assert disabled == off and browser.run("document.getElementById('yaw').max") == "3"
        assert says[1] in browser.run(f"document.getElementById('{says[0]}-says').textContent")
        assert browser.run("document.getElementById('play').disabled") == (which is not one)
        asked = browser.run("[...document.querySelectorAll('summary')].filter(q => q.offsetHeight).map(q => q.innerText)")
        assert [question[:4] for question in asked] == (["Open", "Turn"] if which is one else ["Turn"])
    assert browser.run("document.getElementById('talk-says').textContent") == page.MUTE


# ---- the file --------------------------------------------------------------------------------------

def test_the_quality_falls_until_the_pictures_fit(written):
    path, _ = written
    assert path.stat().st_size < 600_000
    noise = [np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)]
    sizes = [len(page.webp(noise[0], quality)) * 4 / 3 for quality in page.QUALITIES]
    assert sizes == sorted(sizes, reverse=True)
    room = int(sizes[2]) + 100
    uris = page.compressed(noise, room)
    assert sizes[3] < len(uris[0]) <= room
    with pytest.raises(InputError, match="more than 3 MB; give a shorter --audio"):
        page.compressed(noise, 1000)


def test_the_page_refers_to_nothing_outside_itself():
    text = page.TEMPLATE.read_text()
    assert page.MARK in text[:2000] and text.count(page.GOES_IN) == 1
    assert not re.search(r"https?:|//[a-z]|src=|href=|@import|url\(", text)
    assert "default-src 'none'" in text


def test_only_a_page_of_ours_is_replaced(run, written, tmp_path):
    mine = tmp_path / "thesis.html"
    mine.write_text("<html>three years")
    with pytest.raises(InputError, match="thesis.html: exists and was not written by this program"):
        page.write_page(run, mine)
    assert mine.read_text() == "<html>three years"
    page.check_page(written[0])


@pytest.mark.parametrize("options, says", [
    (["--page", "x.mp4"], "x.mp4: a page is written as .html"),
    (["--page", "nowhere/x.html"], "nowhere/x.html: cannot write"),
    (["--page", "folder.html"], "folder.html: is a folder"), (["--page", "mine.html"], "mine.html: exists and was not"),
    (["--page", "x.html", "--sweep", "light"], "--sweep: goes with"),
    (["--page", "x.html", "--out", "y.mp4"], "--out: goes"),
    (["--page", "x.html", "--yaw", "5"], "--yaw: goes"), (["--page", "x.html", "--orbit"], "--orbit: goes"),
    (["--page", "x.html", "--light", "toy01"], "--light: goes"), (["--page", "x.html", "--label"], "--label: goes"),
    (["--page", "x.html", "--into", "clip.mp4"], "--into: goes"),
    (["--page", "x.html"], "run/checkpoint.pt: no such file; train first")])
def test_what_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError) as error:
        animate.main(["run", *options])
    assert str(error.value).startswith(says) and "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.html", "folder.html"}


# ---- the examples of a run's data ------------------------------------------------------------------

def test_expressions_are_a_blink_a_rest_and_high_brows():
    rng = np.random.default_rng(0)
    upper = np.zeros((100, 22, 3), np.float32)
    height, closed = rng.normal(0, 0.1, 100), rng.normal(0, 0.05, 100)
    height[[7, 8, 9]], closed[[7, 8, 9]] = 0.02, 1.0  # a blink
    height[[20, 21, 22]], closed[[20, 21, 22]] = 2.0, 0.01  # brows
    height[[50, 51]], closed[[50, 51]] = 2.0, 1.0  # both, which neither wants
    height[60], closed[60] = np.median(height), np.median(closed)
    for frame in range(100):
        upper[frame, :10, 1] = height[frame]
        for lid in (37, 38, 43, 44):  # iBUG's upper lids
            upper[frame, lid - 36 + 10, 1] = -closed[frame]
    shut, rest, high = expressions(upper.reshape(100, 66))
    assert closed[shut] > 0.5 and abs(height[shut]) < 0.5
    assert height[high] > 0.5 and closed[high] < 0.5
    assert abs(height[rest] - np.median(height)) < 0.05 and abs(closed[rest] - np.median(closed)) < 0.05


def test_mouths_open_in_equal_steps_and_are_of_middle_width():
    rng = np.random.default_rng(0)
    opening, width = rng.uniform(0, 1, 4000), rng.normal(2, 0.3, 4000)
    lips = np.zeros((4000, 20, 2), np.float32)
    lips[:, 6, 0], lips[:, 13:16, 1], lips[:, 17:20, 1] = width, -opening[:, None] / 2, opening[:, None] / 2
    chosen = shut_to_open(lips.reshape(4000, 40))
    np.testing.assert_allclose(opening[chosen], np.linspace(0.02, 0.98, OPENINGS), atol=0.04)
    np.testing.assert_allclose(width[chosen], 2, atol=0.1)


def test_a_checkpoint_keeps_the_sound_under_the_held_out_frames():
    take = make_take("p/s", labels=(0, 0, 0), T=30, seed=0)
    take.wave = (np.arange(int(30 / take.fps * 16000) + 16000) % 1000 / 1000).astype(np.float32)
    train_set, heldout = Corpus([take], [np.arange(20)]), Corpus([take], [np.arange(20, 30)])
    kept = examples_of(train_set, heldout)
    start, end = round(take.frame_ids[20] / take.fps * 16000), round((take.frame_ids[29] + 1) / take.fps * 16000)
    want = np.round(take.wave[start:end] * 32767).astype(np.int16)
    assert np.array_equal(kept["speech"].numpy(), want) and len(want) > 1000
    assert kept["ex"].shape == (3,) and kept["ex"].max() < 20 and kept["lips"].shape == (OPENINGS, 40)
