"""test_measures.py - PSNR, SSIM, FID, LMD, mouth opening, correlation and lag, Sync.

They are held against other libraries, closed forms and transcriptions in plain loops, which share
no code with measures.py.
"""
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from skimage.metrics import peak_signal_noise_ratio

from evaluation import measures
from tools.errors import InputError


def picture(seed, size=40, width=None):
    """Smooth colours with some noise, uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :width or size] / size
    waves = np.stack([np.sin(a * x + b * y + c) for a, b, c in rng.normal(0, 6, (3, 3))], -1)
    return (127 + 90 * waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)


def spoilt(image, seed, noise=20.0):
    rng = np.random.default_rng(seed)
    return (image + rng.normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8)


# ---- PSNR, SSIM ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed, noise", [(0, 3.0), (1, 20.0), (2, 90.0)])
@pytest.mark.parametrize("size, width", [(40, 40), (64, 48), (11, 15)])
def test_psnr_is_scikit_images(seed, noise, size, width):
    truth = picture(seed, size, width)
    image = spoilt(truth, seed + 10, noise)
    want = peak_signal_noise_ratio(truth, image, data_range=255)
    assert abs(measures.psnr(image, truth) - want) < 1e-4


def test_psnr_by_hand():
    truth = np.full((4, 6, 3), 100, np.uint8)
    off_by_one = truth + np.uint8(1)
    assert abs(measures.psnr(off_by_one, truth) - 20 * math.log10(255)) < 1e-9
    darker = truth.copy()
    darker[0, 0, 0] = 88  # one value of 72 is off by 12: MSE 2. uint8 must not wrap round
    assert abs(measures.psnr(darker, truth) - 10 * math.log10(255**2 / 2)) < 1e-9
    assert measures.psnr(truth, truth) == math.inf


def test_masked_psnr_counts_the_mask_only():
    truth = picture(0)
    image = truth.copy()
    image[:, :20] ^= 255  # left half wrong
    mask = np.zeros(truth.shape[:2], np.uint8)
    mask[:, 20:] = 255
    assert measures.psnr(image, truth, mask) == math.inf
    mask[:, :20] = 51  # soft: weight 1/5
    wrong = ((image[:, :20].astype(float) - truth[:, :20]) ** 2).mean()
    want = 10 * math.log10(255**2 / (wrong * 0.2 / 1.2))
    assert abs(measures.psnr(image, truth, mask) - want) < 1e-9
    full = np.full(truth.shape[:2], 255, np.uint8)
    assert abs(measures.psnr(image, truth, full) - measures.psnr(image, truth)) < 1e-9


def test_an_empty_mask_is_an_error():
    image = picture(0)
    with pytest.raises(ValueError, match="empty"):
        measures.psnr(image, image, np.zeros(image.shape[:2], np.uint8))


def ssim_of_one_window(x, y):
    """Wang et al. 2004, Eq. 13-16, for one 11 x 11 window of one channel, in loops."""
    weight = {(i, j): math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2))
              for i in range(11) for j in range(11)}
    mean = lambda z: sum(weight[at] * float(z[at]) for at in weight) / sum(weight.values())
    mx, my = mean(x), mean(y)
    dx = {at: float(x[at]) - mx for at in weight}
    dy = {at: float(y[at]) - my for at in weight}
    vx, vy = (mean({at: d[at] ** 2 for at in weight}) for d in (dx, dy))
    vxy = mean({at: dx[at] * dy[at] for at in weight})
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


@pytest.mark.parametrize("height, width", [(11, 11), (12, 13)])
def test_ssim_is_the_mean_of_the_formula_over_the_windows_inside(height, width):
    truth = picture(3, height, width)
    image = spoilt(truth, 4)
    windows = [(slice(y, y + 11), slice(x, x + 11), c)
               for y in range(height - 10) for x in range(width - 10) for c in range(3)]
    want = np.mean([ssim_of_one_window(image[window], truth[window]) for window in windows])
    assert abs(measures.ssim(image, truth) - want) < 1e-9


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="11 x 11"):
        measures.ssim(np.zeros((10, 30, 3), np.uint8), np.zeros((10, 30, 3), np.uint8))


# ---- FID -----------------------------------------------------------------------------------------


def gaussian(rng, d):
    root = rng.normal(size=(d, d))
    return rng.normal(size=d), root @ root.T


@given(m1=st.floats(-5, 5), m2=st.floats(-5, 5), s1=st.floats(0, 4), s2=st.floats(0, 4))
@settings(max_examples=50, deadline=None)
def test_frechet_distance_in_one_dimension(m1, m2, s1, s2):
    mean, variance = np.array([[m1], [m2]]), np.array([[[s1**2]], [[s2**2]]])
    got = measures.frechet_distance(mean[0], variance[0], mean[1], variance[1])
    assert abs(got - ((m1 - m2) ** 2 + (s1 - s2) ** 2)) < 1e-8, "variances, not sigmas?"


def test_frechet_distance_of_commuting_covariances():
    """Equal axes: the axes are independent, so the one-dimensional results add up."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    s1, s2, m1, m2 = rng.uniform(0, 3, (4, 6))
    got = measures.frechet_distance(m1, axes * s1**2 @ axes.T, m2, axes * s2**2 @ axes.T)
    assert abs(got - ((m1 - m2) ** 2 + (s1 - s2) ** 2).sum()) < 1e-9


def test_frechet_distance_in_two_dimensions():
    """For 2 x 2: tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt det AB), also where A and B do not commute."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        (m1, a), (m2, b) = gaussian(rng, 2), gaussian(rng, 2)
        cross = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a @ b)))
        want = ((m1 - m2) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * cross
        assert abs(measures.frechet_distance(m1, a, m2, b) - want) < 1e-9
        assert abs(measures.frechet_distance(m2, b, m1, a) - want) < 1e-9


def test_frechet_distance_is_that_of_the_usual_program():
    """FID's programs take the matrix square root of the product (scipy.linalg.sqrtm)."""
    (m1, a), (m2, b) = (gaussian(np.random.default_rng(s), 8) for s in (1, 2))
    want = ((m1 - m2) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert abs(measures.frechet_distance(m1, a, m2, b) - want) < 1e-8


def test_frechet_distance_with_fewer_frames_than_features():
    """Singular covariances: 0 against itself; the traces of orthogonal subspaces add up."""
    features = np.random.default_rng(0).normal(size=(4, 10))
    mean, cov = measures.feature_statistics(features)
    assert abs(measures.frechet_distance(mean, cov, mean, cov)) < 1e-6
    a, b = np.diag([4.0, 1, 0, 0]), np.diag([0, 0, 2.0, 3.0])
    assert abs(measures.frechet_distance(np.zeros(4), a, np.zeros(4), b) - 10) < 1e-9


def test_feature_statistics_in_loops():
    x = np.random.default_rng(3).normal(size=(5, 3))
    mean, cov = measures.feature_statistics(x)
    for i in range(3):
        assert abs(mean[i] - sum(x[n, i] for n in range(5)) / 5) < 1e-12
        for j in range(3):
            want = sum((x[n, i] - mean[i]) * (x[n, j] - mean[j]) for n in range(5)) / 4
            assert abs(cov[i, j] - want) < 1e-12
    assert measures.feature_statistics(x[:, :1])[1].shape == (1, 1)
    with pytest.raises(ValueError, match="at least 2"):
        measures.feature_statistics(x[:1])


class Inception(torch.nn.Module):
    """The signature of inception-2015-12-05.pt: uint8 images in, `width` features or classes."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        if not return_features:
            return torch.zeros(1, 1008)
        assert img.dtype == torch.uint8
        return img.float().mean(dim=[2, 3]).repeat(1, self.width)[:, :self.width]


class Other(torch.nn.Module):
    def forward(self, img: torch.Tensor) -> torch.Tensor:
        return img


def scripted(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return str(path)


def test_features_of_a_torchscript_file(tmp_path):
    path = scripted(tmp_path / "inception-2015-12-05.pt", Inception(2048))
    features = measures.load_features(path)
    assert features.comparable and "inception-2015-12-05.pt" in features.name
    frames = np.stack([picture(seed) for seed in range(40)])  # more than one block
    got = features.extract(frames)
    assert got.shape == (40, 2048) and got.dtype == np.float64
    want = frames.mean((1, 2))
    assert np.allclose(got[:, :3], want, rtol=1e-5), "red first, 0 to 255, frames in order"


def test_features_of_another_width_do_not_compare(tmp_path):
    features = measures.load_features(scripted(tmp_path / "small.pt", Inception(12)))
    assert not features.comparable
    assert "12 features" in features.name and "not comparable" in features.name


def test_random_features_say_so_and_are_fixed():
    frames = np.stack([picture(seed) for seed in range(3)])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = measures.load_features("random")
    assert torch.equal(torch.get_rng_state(), state), "loading draws from the global generator"
    torch.manual_seed(2)
    assert np.array_equal(first.extract(frames), measures.load_features("random").extract(frames))
    assert not first.comparable and "not comparable" in first.name


def test_random_features_rank_by_damage():
    features = measures.load_features("random")
    truth = np.stack([picture(seed) for seed in range(30)])
    real = measures.feature_statistics(features.extract(truth))
    distance = []
    for noise in (1.0, 10.0, 40.0):
        images = np.stack([spoilt(image, i, noise) for i, image in enumerate(truth)])
        made = measures.feature_statistics(features.extract(images))
        distance.append(measures.frechet_distance(*real, *made))
    assert 0 <= distance[0] < distance[1] < distance[2]


@pytest.mark.parametrize("write", [
    lambda path: path.write_bytes(b"not a network"),
    lambda path: torch.save({"weight": torch.zeros(3)}, path),
    lambda path: scripted(path, Other())], ids=["garbage", "state_dict", "signature"])
def test_feature_files_that_cannot_be_used(tmp_path, write):
    path = tmp_path / "net.pt"
    write(path)
    with pytest.raises(InputError, match="net.pt: not a TorchScript network") as error:
        measures.load_features(str(path))
    assert "\n" not in str(error.value)


def test_feature_file_that_is_not_there():
    with pytest.raises(InputError, match="nofile.pt: no such file"):
        measures.load_features("nofile.pt")


# ---- LMD, mouth opening --------------------------------------------------------------------------


def face(seed=0, frames=5):
    """Random points with the outer eye corners 50 px apart."""
    marks = np.random.default_rng(seed).uniform(0, 64, (frames, 68, 2))
    marks[:, 36], marks[:, 45] = [10, 20], [40, 60]
    return marks


def test_lmd_by_hand():
    truth, moved = face(), face()
    moved[:, 60, 0] += 3  # one of 20: after centring it is off by 3 (1 - 1/20), the others by 3/20
    px, percent = measures.lmd(moved, truth)
    assert abs(px - (3 * 19 / 20 + 19 * 3 / 20) / 20) < 1e-9
    assert abs(percent - 100 * px / 50) < 1e-9


def test_lmd_ignores_where_the_mouth_is_and_all_other_landmarks():
    truth, moved = face(), face()
    moved[:, 48:] += np.arange(10.0).reshape(5, 1, 2)  # another shift in every frame
    moved[:, :48] += 7
    assert measures.lmd(moved, truth)[0] < 1e-9
    moved[:, 67] += 1
    assert measures.lmd(moved, truth)[0] > 0.05
    moved = face()
    moved[:, 36] += 20  # percent is of the true eyes
    moved[:, 48, 0] += 1
    assert abs(measures.lmd(moved, truth)[1] - 2 * measures.lmd(moved, truth)[0]) < 1e-9


def test_lmd_is_the_mean_over_frames():
    truth, moved = face(), face()
    moved[0, 60, 0] += 3
    assert abs(measures.lmd(moved, truth)[0] - 2 * 3 * 19 / 400 / 5) < 1e-9


def test_mouth_opening_by_hand():
    marks = np.zeros((2, 68, 2))
    marks[:, 36], marks[:, 45] = [10, 20], [40, 60]
    for upper, lower, gap in ((61, 67, 3.0), (62, 66, 6.0), (63, 65, 4.5)):
        marks[:, upper] = marks[:, lower] = [9 * upper, 7]
        marks[0, lower] += [0.6 * gap, 0.8 * gap]  # a turned head
    assert np.allclose(measures.mouth_opening(marks), [4.5 / 50, 0])
    assert np.allclose(measures.mouth_opening(3 * marks), [4.5 / 50, 0]), "of any image size"


def test_lid_opening_by_hand():
    """37, 38 and 43, 44 are the upper lids, 41, 40 and 47, 46 the lower ones, opposite each other."""
    marks = np.zeros((2, 68, 2))
    marks[:, 36], marks[:, 45] = [10, 20], [40, 60]
    for upper, lower, gap in ((37, 41, 1.0), (38, 40, 2.0), (43, 47, 3.0), (44, 46, 6.0)):
        marks[:, upper] = marks[:, lower] = [9 * upper, 7]
        marks[0, lower] += [0.6 * gap, 0.8 * gap]
    assert np.allclose(measures.lid_opening(marks), [3 / 50, 0]), "the second frame blinks"
    assert np.allclose(measures.lid_opening(3 * marks), [3 / 50, 0]), "of any image size"


# ---- Correlation and lag -------------------------------------------------------------------------


def wiggle(seed, n=80):
    noise = np.random.default_rng(seed).normal(size=n + 8)
    return np.convolve(noise, np.ones(5) / 5, "valid")[:n]


@pytest.mark.parametrize("late", [-7, -1, 0, 3, 10])
def test_known_lag_is_found_with_its_sign(late):
    long = wiggle(0, 120)
    truth, render = long[20:100], long[20 - late:100 - late]  # render[t] = truth[t - late]
    r = measures.lagged_correlations(render, 2 - 3 * -truth, 12)
    assert r.argmax() - 12 == late, f"lag {r.argmax() - 12}, want {late}: positive: render is late"
    assert r.max() == pytest.approx(1) and len(r) == 25


def test_each_lag_uses_the_overlap_only():
    a, b = wiggle(1) + 5, wiggle(2) - 9  # far from 0: zero padding would ruin every r
    r = measures.lagged_correlations(a, b, 6)
    for lag in range(-6, 7):
        pairs = [(a[t + lag], b[t]) for t in range(80) if 0 <= t + lag < 80]
        assert abs(r[lag + 6] - np.corrcoef(np.array(pairs).T)[0, 1]) < 1e-9


def test_missing_frames_do_not_shift_the_lag():
    long = wiggle(3, 120)
    ids = np.delete(np.arange(5, 85), slice(30, 37))  # seven frames are missing
    render = measures.by_frame_id(long[ids], ids)
    truth = measures.by_frame_id(long[ids + 4], ids)  # the render shows it 4 frames later
    assert len(render) == 80 and np.isnan(render).sum() == 7
    r = measures.lagged_correlations(render, truth, 8)
    assert r.argmax() - 8 == 4 and r.max() == pytest.approx(1)


def test_a_still_mouth_has_no_correlation():
    still = 0.1 * (1 + 1e-9 * wiggle(1, 40))  # rounding is no movement
    assert np.isnan(measures.lagged_correlations(still, wiggle(0, 40), 5)).all()
    assert math.isnan(measures.correlation(np.array([1.0, 2.0]), np.array([1.0, 2.0])))


def test_lag_beyond_the_series_is_an_error():
    with pytest.raises(ValueError, match="too few"):
        measures.lagged_correlations(wiggle(0, 5), wiggle(0, 5), 5)


def test_partial_correlation_is_that_of_residuals():
    given, a, render = wiggle(0), wiggle(1), wiggle(2)
    a, render = a + 0.7 * given, 0.4 * a - given + render
    design = np.column_stack([given, np.ones(80)])
    residual = [x - design @ np.linalg.lstsq(design, x, rcond=None)[0] for x in (render, a)]
    assert abs(measures.partial_correlation(render, a, given) - np.corrcoef(residual)[0, 1]) < 1e-9


def test_partial_correlation_of_the_audio_swap():
    """A and B share a beat; a render that follows B correlates with A, but not beyond that beat."""
    beat = wiggle(0, 4000)
    a, b = beat + wiggle(1, 4000), beat + wiggle(2, 4000)
    render = b + 0.3 * wiggle(3, 4000)
    assert measures.correlation(render, a) > 0.4
    assert abs(measures.partial_correlation(render, a, b)) < 0.1
    assert measures.partial_correlation(render, b, a) > 0.8
    assert math.isnan(measures.partial_correlation(b, a, b)), "no residual, no correlation"


# ---- Sync ----------------------------------------------------------------------------------------


def streams(seed, shift, n=60, d=16):
    """Picture and sound features of n frames; what is heard at t is seen at t + shift."""
    rng = np.random.default_rng(seed)
    moment = rng.normal(size=(n + 40, d))
    picture, sound = moment[20 - shift:20 - shift + n], moment[20:20 + n]
    return picture + 0.1 * rng.normal(size=(n, d)), sound + 0.1 * rng.normal(size=(n, d))


@pytest.mark.parametrize("shift", [-9, -2, 0, 4, 10])
def test_known_shift_of_the_sound_is_found_with_its_sign(shift):
    distances, valid = measures.offset_distances(*streams(0, shift), 10)
    confidence, offset, mean = measures.sync_confidence(distances, valid)
    assert offset == shift, f"offset {offset}, want {shift}: positive where the picture is late"
    assert mean.shape == (21,) and mean.argmin() == 10 - shift
    assert confidence == pytest.approx(np.median(mean) - mean.min()) and confidence > 3


def test_offset_distances_in_loops():
    picture, sound = streams(1, 2, n=9)
    distances, valid = measures.offset_distances(picture, sound, 3)
    assert distances.shape == valid.shape == (9, 7)
    for t in range(9):
        for j in range(7):
            at = t + j - 3
            assert valid[t, j] == (0 <= at < 9)
            if valid[t, j]:
                want = math.sqrt(sum((picture[t, i] - sound[at, i]) ** 2 for i in range(16)))
                assert abs(distances[t, j] - want) < 1e-9
            else:
                assert math.isnan(distances[t, j])


def test_pairs_outside_the_clip_are_masked_not_zero_padded():
    """Sound and picture unrelated, of length 4: from zeros they are 4 away, from each other 5.7."""
    rng = np.random.default_rng(2)
    picture, sound = rng.normal(size=(2, 24, 16))
    confidence, _, mean = measures.sync_confidence(*measures.offset_distances(picture, sound, 15))
    assert mean.min() > 5, "offsets near the ends look better than they are: pairs with zeros count"
    for j, shift in enumerate(range(-15, 16)):
        inside = range(max(0, -shift), min(24, 24 - shift))
        pairs = [np.linalg.norm(picture[t] - sound[t + shift]) for t in inside]
        assert abs(mean[j] - np.mean(pairs)) < 1e-9


def test_missing_frames_are_masked():
    picture, sound = streams(3, 3)
    ids = np.delete(np.arange(100, 160), slice(20, 28))
    distances, valid = measures.offset_distances(picture[ids - 100], sound[ids - 100], 6, ids)
    assert not valid[20, :6].any(), "frames 120 to 127 are missing, and their sound"
    assert measures.sync_confidence(distances, valid)[1] == 3
    full, _ = measures.offset_distances(picture, sound, 6)
    assert np.allclose(distances[valid], full[ids - 100][valid])


def test_takes_can_be_joined():
    one, two = (measures.offset_distances(*streams(seed, -2, n=30), 5) for seed in (4, 5))
    joined = [np.concatenate(pair) for pair in zip(one, two)]
    mean_one, mean_two = (measures.sync_confidence(*take)[2] for take in (one, two))
    _, offset, mean = measures.sync_confidence(*joined)
    assert offset == -2 and np.allclose(mean, (mean_one + mean_two) / 2)


def test_a_clip_too_short_for_the_offsets_is_an_error():
    with pytest.raises(ValueError, match="too few"):
        measures.sync_confidence(*measures.offset_distances(*streams(0, 0, n=8), 10))
