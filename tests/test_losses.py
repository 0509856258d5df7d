"""test_losses.py - Eq. 2-9 and the VGG16 of Eq. 4.

For each equation: a transcription in plain Python loops, values that can be worked out by hand, and a
property of the value or of its gradient. The transcriptions share no code with losses.py.
"""
import math
from urllib.error import URLError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import losses
from config import PAPER
from tools.errors import InputError


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def check(equation, got, want, hint, tolerance=1e-9):
    got = float(got)
    assert math.isclose(got, want, rel_tol=tolerance, abs_tol=tolerance), \
        f"{equation}: got {got:.6g}, want {want:.6g}. {hint}"


def test_shapes_are_checked_while_testing():
    image, mask = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)  # a mask has one channel
    with pytest.raises(Exception, match="(?i)type-check"):
        losses.photometric_loss(image, image, mask)


# --------------------------------------------------------------------------------------------------- Eq. 2, 3

@pytest.mark.eq2
def test_eq2_weights_are_1_5_and_10():
    got = losses.total_loss(*torch.tensor([0.3, 0.02, 0.07], dtype=torch.float64))
    check("Eq. 2", got, 1 * 0.3 + 5 * 0.02 + 10 * 0.07, "Is lambda_rec 1, lambda_dis 5 and lambda_v 10?")
    assert (PAPER.lambda_rec, PAPER.lambda_dis) == (1, 5)


@pytest.mark.eq2
def test_eq2_10_beside_sums_is_what_the_preset_has_beside_means():
    """||.||^2 and ||.|| as they are written, over one image of the preset's size and the one before it."""
    torch.manual_seed(0)
    now, before, now_gt, before_gt = torch.rand(4, 1, 3, 512, 512, dtype=torch.float64)
    velocity = (now - before) - (now_gt - before_gt)
    written = ((now - now_gt) ** 2).sum() + 10 * (velocity ** 2).sum().sqrt()
    ours = losses.photometric_loss(now, now_gt, torch.ones(1, 1, 512, 512, dtype=torch.float64)) + \
        PAPER.lambda_v * losses.velocity_loss(now, before, now_gt, before_gt)
    check("Eq. 2", ours * now.numel(), float(written), "Is lambda_v 10 / sqrt(3 H W)?")


@pytest.mark.eq2
def test_eq2_gradient_of_each_term_is_its_weight():
    terms = [torch.tensor(v, requires_grad=True) for v in (0.7, 0.1, 0.4)]
    losses.total_loss(*terms, 2.0, 3.0, 4.0).backward()
    got = [t.grad.item() for t in terms]
    assert got == [2.0, 3.0, 4.0], \
        f"Eq. 2: gradients of (L_rec, L_dis, L_v) are {got}, want the lambdas [2, 3, 4]. In order?"


@pytest.mark.eq3
def test_eq3_adds_the_perceptual_and_the_photometric_loss():
    check("Eq. 3", losses.reconstruction_loss(torch.tensor(0.25), torch.tensor(0.5)), 0.75,
          "L_rec = L_per + L_pho.")
    check("Eq. 3", losses.reconstruction_loss(torch.tensor(0.25), torch.tensor(0.5), 0.1), 0.525,
          "lambda_per weighs L_per, not L_pho.", 1e-6)


@pytest.mark.eq3
def test_eq3_gradient_is_1_and_1():
    per, pho = (torch.tensor(v, requires_grad=True) for v in (0.2, 0.9))
    losses.reconstruction_loss(per, pho).backward()
    assert (per.grad.item(), pho.grad.item()) == (1.0, 1.0), "Eq. 3 has no weights: both gradients are 1"


# ------------------------------------------------------------------------------------------------------ Eq. 4

@pytest.mark.eq4
def test_eq4_scalar_transcription():
    phi = [randn(2, 4, 3, 5, seed=1), randn(2, 6, 2, 2, seed=2)]
    phi_gt = [randn(2, 4, 3, 5, seed=3), randn(2, 6, 2, 2, seed=4)]
    want = 0.0
    for a, b in zip(phi, phi_gt):
        squares = [(x - y) ** 2 for x, y in zip(a.flatten().tolist(), b.flatten().tolist())]
        want += sum(squares) / len(squares)
    check("Eq. 4", losses.perceptual_loss(phi, phi_gt), want,
          "Mean square a layer, then the sum over the layers?")


@pytest.mark.eq4
def test_eq4_layers_that_are_off_by_a_half_and_by_2():
    zeros = [torch.zeros(1, 8, 4, 4), torch.zeros(1, 16, 2, 2)]
    shifted = [zeros[0] + 0.5, zeros[1] - 2.0]
    check("Eq. 4", losses.perceptual_loss(shifted, zeros), 0.25 + 4.0,
          "2.125 is the mean over layers, 2.5 is L1; Eq. 4 sums squared norms.", 1e-6)


@pytest.mark.eq4
def test_eq4_doubling_the_error_gives_four_times_the_loss():
    a, b = [randn(1, 3, 4, 4)], [randn(1, 3, 4, 4, seed=9)]
    twice = [b[0] + 2 * (a[0] - b[0])]
    check("Eq. 4", losses.perceptual_loss(twice, b), 4 * losses.perceptual_loss(a, b).item(),
          "The norm is squared.")


@pytest.mark.eq4
def test_eq4_gradient_and_number_of_layers():
    a, b = randn(2, 3, 4, 4).requires_grad_(), randn(2, 3, 4, 4, seed=5)
    losses.perceptual_loss([a], [b]).backward()
    assert torch.allclose(a.grad, 2 * (a - b).detach() / a.numel()), \
        "Eq. 4: gradient is 2 (phi - phi_gt) / entries"
    with pytest.raises(ValueError):  # a layer too few must not be dropped in silence
        losses.perceptual_loss([a, a], [b])


# ------------------------------------------------------------------------------------------------------ Eq. 5

@pytest.mark.eq5
def test_eq5_scalar_transcription():
    image, image_gt, m = rand(2, 3, 4, 5), rand(2, 3, 4, 5, seed=1), rand(2, 1, 4, 5, seed=2)
    squares = []
    for b in range(2):
        for c in range(3):
            for i in range(4):
                for j in range(5):
                    mask = m[b, 0, i, j].item()
                    at = (b, c, i, j)
                    squares.append((mask * image[at].item() - mask * image_gt[at].item()) ** 2)
    check("Eq. 5", losses.photometric_loss(image, image_gt, m), sum(squares) / len(squares),
          "m(I) is m * I, so a soft mask enters squared, and the mean is over every pixel and channel.")


@pytest.mark.eq5
@pytest.mark.parametrize("m, want, hint", [
    (1.0, 0.04, "0.2 is L1 or the square root; 0.48 or more is a sum."),
    (0.5, 0.01, "0.02: m has to be squared with the difference."),
    (0.0, 0.0, "Nothing is inside the mask.")])
def test_eq5_images_that_differ_by_a_fifth(m, want, hint):
    image_gt = torch.full((1, 3, 2, 2), 0.3, dtype=torch.float64)
    got = losses.photometric_loss(image_gt + 0.2, image_gt, torch.full((1, 1, 2, 2), m, dtype=torch.float64))
    check("Eq. 5", got, want, hint)


@pytest.mark.eq5
def test_eq5_half_a_face_counts_half():
    m = torch.zeros(1, 1, 4, 4)
    m[..., :2] = 1
    got = losses.photometric_loss(torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), m)
    check("Eq. 5", got, 0.5, "1.0 means: divided by the mask's area, not by the image's.", 1e-6)


@pytest.mark.eq5
def test_eq5_gradient_is_2_m_squared_times_the_error():
    image, image_gt, m = rand(1, 3, 4, 4).requires_grad_(), rand(1, 3, 4, 4, seed=1), rand(1, 1, 4, 4, seed=2)
    m[..., 0, :] = 0
    losses.photometric_loss(image, image_gt, m).backward()
    assert torch.allclose(image.grad, 2 * m**2 * (image - image_gt).detach() / image.numel()), \
        "Eq. 5: wrong gradient"
    assert (image.grad[..., 0, :] == 0).all(), "Eq. 5: pixels outside the mask must not be pulled"


# ------------------------------------------------------------------------------------------------------ Eq. 6

SIZES = {"id": 5, "ex": 4, "al": 3, "ill": 6}


def code_pair(B=3):
    return ({n: randn(B, d, seed=i) for i, (n, d) in enumerate(SIZES.items())},
            {n: randn(B, d, seed=10 + i) for i, (n, d) in enumerate(SIZES.items())})


@pytest.mark.eq6
def test_eq6_scalar_transcription():
    codes, refs = code_pair()
    weights = {"id": 1.0, "ex": 0.5, "al": 2.0, "ill": 3.0}
    want = 0.0
    for name in SIZES:
        pairs = zip(codes[name].tolist(), refs[name].tolist())
        norms = [sum((x - y) ** 2 for x, y in zip(c, r)) for c, r in pairs]
        want += weights[name] * sum(norms) / len(norms)
    check("Eq. 6", losses.disentangling_loss(codes, refs, weights), want,
          "The squared norm is a sum over the entries of a code; only the batch is averaged.")


@pytest.mark.eq6
def test_eq6_orthogonal_unit_codes_are_2_apart():
    codes = {n: F.one_hot(torch.zeros(2, dtype=torch.long), d).double() for n, d in SIZES.items()}
    refs = {n: F.one_hot(torch.ones(2, dtype=torch.long), d).double() for n, d in SIZES.items()}
    check("Eq. 6", losses.disentangling_loss(codes, refs), 8.0,
          "Four codes with ||C - C_ref||^2 = 2 each. 5.66 lacks the square, 16 the mean over the batch.")
    check("Eq. 6", losses.disentangling_loss(codes, refs, {"ex": 0.0}), 6.0, "An unnamed weight is 1.")


@pytest.mark.eq6
def test_eq6_is_zero_at_the_reference_and_pulls_every_code_there():
    codes, refs = code_pair()
    check("Eq. 6", losses.disentangling_loss(refs, refs), 0.0, "The reference itself costs nothing.")
    leaves = {n: c.clone().requires_grad_() for n, c in codes.items()}
    losses.disentangling_loss(leaves, refs).backward()
    for name, c in leaves.items():
        want = 2 * (codes[name] - refs[name]) / 3
        assert torch.allclose(c.grad, want), \
            f"Eq. 6: the gradient of C_{name} is not 2 (C - C_ref) / B. Is a term missing?"


# ------------------------------------------------------------------------------------------------------ Eq. 7

@pytest.mark.eq7
def test_eq7_scalar_transcription():
    now, before, now_gt, before_gt = (rand(2, 3, 4, 5, seed=s) for s in range(4))
    norms = []
    for b in range(2):
        squares = []
        for c in range(3):
            for i in range(4):
                for j in range(5):
                    at = (b, c, i, j)
                    v = now[at].item() - before[at].item()
                    v_gt = now_gt[at].item() - before_gt[at].item()
                    squares.append((v - v_gt) ** 2)
        norms.append(math.sqrt(sum(squares) / len(squares)))
    check("Eq. 7", losses.velocity_loss(now, before, now_gt, before_gt), sum(norms) / len(norms),
          "Root mean square a pair, then the mean over pairs.")


@pytest.mark.eq7
def test_eq7_velocities_of_a_third_and_a_tenth():
    zero = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    check("Eq. 7", losses.velocity_loss(zero + 0.3, zero, zero + 0.1, zero), 0.2,
          "0.04: the norm of Eq. 7 is not squared. 0.4: the velocities are subtracted, not added.")
    check("Eq. 7", losses.velocity_loss(zero, zero + 0.3, zero + 0.1, zero), 0.4,
          "The velocity is I^j - I^(j-1).")


@pytest.mark.eq7
def test_eq7_sees_motion_only():
    now_gt, before_gt = rand(2, 3, 4, 4), rand(2, 3, 4, 4, seed=1)
    got = losses.velocity_loss(now_gt + 0.25, before_gt + 0.25, now_gt, before_gt)
    check("Eq. 7", got, 0.0, "A constant error of brightness is not motion.", 1e-12)


@pytest.mark.eq7
def test_eq7_takes_the_root_before_the_mean_over_pairs():
    zero = torch.zeros(2, 3, 2, 2, dtype=torch.float64)
    moved = zero.clone()
    moved[0], moved[1] = 0.1, 0.3
    check("Eq. 7", losses.velocity_loss(moved, zero, zero, zero), 0.2,
          "0.2236 is the root of the mean over both pairs; each pair has its own norm.")


@pytest.mark.eq7
def test_eq7_gradient_is_finite_at_zero_and_has_the_unit_norms_form_elsewhere():
    same = rand(1, 3, 4, 4)
    image = same.clone().requires_grad_()
    losses.velocity_loss(image, same, same, same).backward()
    assert (image.grad == 0).all(), "Eq. 7: the gradient of the root at 0 must be 0, not NaN or infinite"
    now, before = rand(2, 3, 4, 4, seed=1).requires_grad_(), rand(2, 3, 4, 4, seed=2).requires_grad_()
    truth = rand(2, 3, 4, 4, seed=3)
    losses.velocity_loss(now, before, truth, truth).backward()
    error = (now - before).detach()
    rms = error.square().mean((1, 2, 3), keepdim=True).sqrt()
    want = error / (rms * 48) / 2
    assert torch.allclose(now.grad, want) and torch.allclose(before.grad, -want), \
        "Eq. 7: gradient is error / (n rms B)"


@pytest.mark.eq7
def test_eq7_one_perfect_pair_does_not_stop_the_other():
    now = torch.zeros(2, 3, 2, 2, requires_grad=True)
    still, truth = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    truth[1] = 0.5
    losses.velocity_loss(now, still, truth, still).backward()
    assert (now.grad[0] == 0).all() and (now.grad[1] < 0).all(), \
        "Eq. 7: gradients of the two pairs got mixed up"


# ------------------------------------------------------------------------------------------------------ Eq. 9

def scalar_cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b)))


@pytest.mark.eq9
def test_eq9_scalar_transcription():
    a, b = randn(6, 7), randn(6, 7, seed=1)
    got = losses.cosine_similarity(a, b)
    for row in range(6):
        check("Eq. 9", got[row], scalar_cosine(a[row].tolist(), b[row].tolist()),
              "a.b / (||a|| ||b||), per row.")


@pytest.mark.eq9
@pytest.mark.parametrize("b, want",
                         [((2, 0), 1), ((-3, 0), -1), ((0, 5), 0), ((1, math.sqrt(3)), 0.5), ((0, 0), 0)])
def test_eq9_known_angles(b, want):
    got = losses.cosine_similarity(torch.tensor([[4.0, 0.0]]), torch.tensor([b], dtype=torch.float32))
    check("Eq. 9", got, want,
          "The cosine of the angle: 1, -1, 0 and 0.5 at 0, 180, 90 and 60 degrees; larger is closer.", 1e-6)


@pytest.mark.eq9
@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=3),
       st.lists(st.floats(-100, 100), min_size=3, max_size=3),
       st.floats(0.01, 100))
def test_eq9_is_symmetric_bounded_and_blind_to_length(a, b, scale):
    a, b = torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    d = losses.cosine_similarity(a, b).item()
    assert -1 - 1e-9 <= d <= 1 + 1e-9
    assert math.isclose(d, losses.cosine_similarity(b, a).item(), abs_tol=1e-12)
    if a.norm() > 0.01 and b.norm() > 0.01:
        assert math.isclose(d, losses.cosine_similarity(scale * a, b).item(), abs_tol=1e-9), \
            "Eq. 9: missing a norm?"


@pytest.mark.eq9
@pytest.mark.parametrize("length", [1e-4, 1e-5, 1e-15, 1e10])
def test_eq9_short_vectors_are_as_parallel_as_long_ones(length):
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
    assert losses.cosine_similarity(length * a, length * a).item() == pytest.approx(1, abs=1e-6)
    assert losses.cosine_similarity(length * a, b / length).item() == pytest.approx(0.96, abs=1e-6)


@pytest.mark.eq9
def test_eq9_a_zero_vector_among_others_is_0_and_has_no_gradient():
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    b = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    d = losses.cosine_similarity(a[:, None], b)
    assert d.tolist() == [[0, 0], [pytest.approx(0.6), 0]]
    d.sum().backward()
    assert a.grad[0].tolist() == [0, 0] and b.grad[1].tolist() == [0, 0]
    assert a.grad[1].tolist() == pytest.approx([0.128, -0.096])  # (e_x - 0.6 (0.6, 0.8)) / 5


@pytest.mark.eq9
def test_eq9_gradient_is_perpendicular_to_the_vector_itself():
    a, b = randn(4, 5).requires_grad_(), randn(4, 5, seed=1)
    losses.cosine_similarity(a, b).sum().backward()
    along = (a.detach() * a.grad).sum(1).abs().max().item()
    assert along < 1e-12, f"Eq. 9: gradient along a is {along:.2g}; its length must not matter"


# ------------------------------------------------------------------------------------------------------ Eq. 8

@pytest.mark.eq8
def test_eq8_scalar_transcription():
    anchor, positive, negatives, tau = randn(3, 5), randn(3, 5, seed=1), randn(3, 10, 5, seed=2), 0.5
    want = 0.0
    for b in range(3):
        a = anchor[b].tolist()
        top = math.exp(scalar_cosine(a, positive[b].tolist()) / tau)
        rest = sum(math.exp(scalar_cosine(a, n) / tau) for n in negatives[b].tolist())
        want += -math.log(top / (top + rest)) / 3
    check("Eq. 8", losses.info_nce(anchor, positive, negatives), want,
          "Is tau 0.5 by default, and divides the cosine?")


@pytest.mark.eq8
@pytest.mark.parametrize("n", [1, 10, 30])
def test_eq8_info_nce_chance_level_is_log_1_plus_N(n):
    same = torch.ones(2, 4, dtype=torch.float64)
    check("Eq. 8", losses.info_nce(same, same, same[:, None].expand(2, n, 4)), math.log(1 + n),
          "Is the positive in the denominator, and is the sum over the negatives not a mean?")


@pytest.mark.eq8
@pytest.mark.parametrize("tau", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_eq8_extremes_and_the_side_of_tau(tau, sign):
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    got = losses.info_nce(a, sign * a, -sign * a[:, None].expand(1, 10, 2), tau)
    want = math.log(1 + 10 * math.exp(-sign * 2 / tau))  # d+ = sign, d- = -sign
    check("Eq. 8", got, want, f"tau = {tau}: it divides the cosine inside the exponential.")
    check("Eq. 8, range", losses.info_nce_range(10, tau)[0 if sign > 0 else 2], want,
          "info_nce_range disagrees.")


@pytest.mark.eq8
def test_eq8_range_of_the_papers_setting():
    low, chance, high = losses.info_nce_range()
    assert (round(low, 3), round(chance, 3), round(high, 3)) == (0.168, 2.398, 6.304)
    assert (PAPER.n_negatives, PAPER.tau) == (10, 0.5), "Sec. 3.4: N = 10 and tau = 0.5"


@pytest.mark.eq8
def test_eq8_is_a_mean_over_anchors_and_blind_to_the_order_of_negatives():
    anchor, positive, negatives = randn(4, 5), randn(4, 5, seed=1), randn(4, 6, 5, seed=2)
    each = [losses.info_nce(anchor[i:i + 1], positive[i:i + 1], negatives[i:i + 1]).item() for i in range(4)]
    check("Eq. 8", losses.info_nce(anchor, positive, negatives), sum(each) / 4,
          "The mean over the anchors of a batch.")
    check("Eq. 8", losses.info_nce(anchor, positive, negatives.flip(1)), sum(each) / 4,
          "Negatives have no order.")


@pytest.mark.eq8
def test_eq8_gradient_by_finite_differences():
    tensors = [randn(2, 4).requires_grad_(), randn(2, 4, seed=1).requires_grad_(),
               randn(2, 3, 4, seed=2).requires_grad_()]
    assert torch.autograd.gradcheck(losses.info_nce, tensors), \
        "Eq. 8: a part is detached, or the loss is not smooth"


@pytest.mark.eq8
def test_eq8_a_step_downhill_brings_the_positive_closer_and_pushes_negatives_away():
    anchor, positive = randn(1, 6), randn(1, 6, seed=1).requires_grad_()
    negatives = randn(1, 5, 6, seed=2).requires_grad_()
    losses.info_nce(anchor, positive, negatives).backward()
    closer = positive.detach() - 0.1 * positive.grad
    farther = negatives.detach() - 0.1 * negatives.grad
    cosine = losses.cosine_similarity
    assert cosine(anchor, closer) > cosine(anchor, positive), \
        "Eq. 8: the positive went away. Fig. 3's caption has it the wrong way round"
    many = anchor[:, None].expand_as(negatives)
    assert (cosine(many, farther) < cosine(many, negatives)).all(), "Eq. 8: a negative came closer"


@pytest.mark.eq8
def test_eq8_does_not_overflow_at_a_small_temperature():
    value = losses.info_nce(torch.ones(1, 2), -torch.ones(1, 2), torch.ones(1, 10, 2), 0.001)
    check("Eq. 8", value, 2000 + math.log(10), "exp overflows: use logsumexp.", 1e-5)


def test_opacity_loss_scalar_transcription():
    opacity, m = rand(2, 1, 3, 3), rand(2, 1, 3, 3, seed=1)
    known = (rand(2, 1, 3, 3, seed=2) > 0.5).double()
    flat = zip(opacity.flatten().tolist(), m.flatten().tolist(), known.flatten().tolist())
    check("opacity loss",
          losses.opacity_loss(opacity, m, known), sum(k * (o - w) ** 2 for o, w, k in flat) / 18, "")


# ------------------------------------------------------------------------------------------------------ VGG16

CHANNELS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512),
            (512, 512),
            (512, 512), (512, 512), (512, 512), (512, 512)]
# Index of each convolution in the published weight file
CONV_INDEX = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


def published_layout(seed=0):
    """Names and shapes of the public vgg16 weight file, with random numbers (classifier in miniature)."""
    g = torch.Generator().manual_seed(seed)
    state = {"classifier.0.weight": torch.zeros(2, 2)}  # ours must pass over it
    for index, (a, b) in zip(CONV_INDEX, CHANNELS):
        state[f"features.{index}.weight"] = torch.randn(b, a, 3, 3, generator=g) * math.sqrt(2 / (9 * a))
        state[f"features.{index}.bias"] = 0.1 * torch.randn(b, generator=g)
    return state


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(published_layout(), path)
    return path


@pytest.fixture(scope="module")
def vgg(weight_file):
    return losses.load_vgg(str(weight_file), LAYERS)


@pytest.mark.eq4
def test_vgg16_has_the_published_names_and_shapes(vgg):
    got = {name: tuple(value.shape) for name, value in vgg.state_dict().items()}
    want = {name: tuple(value.shape) for name, value in published_layout().items()}
    del want["classifier.0.weight"]
    assert got == want, "VGG16: the published weight file would not load"
    assert sum(isinstance(m, torch.nn.Conv2d) for m in vgg.modules()) == 13


@pytest.mark.eq4
def test_vgg16_forward_is_the_explicit_sequence_of_convolutions(vgg):
    state, image = published_layout(), rand(2, 3, 32, 32).float()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean[:, None, None]) / std[:, None, None]
    phi, position = [], 0
    for block in (2, 2, 3, 3):
        for _ in range(block):
            index = CONV_INDEX[position]
            x = F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1)
            x = torch.maximum(x, torch.zeros(()))
            position += 1
        phi.append(x)
        x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).amax((3, 5))
    got = vgg(image)
    assert [tuple(p.shape) for p in got] == [(2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8),
                                             (2, 512, 4, 4)]
    for name, a, b in zip(LAYERS, got, phi):
        assert (a >= 0).all(), f"VGG16 {name}: an activation after a ReLU is negative. Taken before the ReLU?"
        assert torch.allclose(a, b, atol=1e-3), \
            f"VGG16 {name}: off by {(a - b).abs().max():.3g}. Input normalised by ImageNet?"


@pytest.mark.eq4
def test_vgg16_is_frozen_but_passes_the_gradient_to_the_image(vgg):
    assert not any(p.requires_grad for p in vgg.parameters()), \
        "Eq. 4: phi is fixed, or it would learn to see nothing"
    image = rand(1, 3, 16, 16).float().requires_grad_()
    losses.perceptual_loss(vgg(image), vgg(image.detach() * 0.5)).backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.eq4
def test_vgg16_fewer_layers_stop_early(weight_file, vgg):
    two = losses.load_vgg(str(weight_file), LAYERS[:2])
    image = rand(1, 3, 16, 16).float()
    got = two(image)
    assert len(got) == 2 and all(torch.equal(a, b) for a, b in zip(got, vgg(image)))


@pytest.mark.eq4
def test_vgg16_random_weights_come_from_the_seed_and_keep_the_signals_size():
    before = torch.random.get_rng_state()
    one, same, other = (losses.load_vgg("random", LAYERS[:2], seed=s) for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state()), \
        "the model's own random numbers must not change with --vgg"
    weights = [v.features[0].weight for v in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    sizes = [p.square().mean().item() for p in one(rand(1, 3, 32, 32).float())]
    assert all(0.1 < s < 10 for s in sizes), f"random VGG16: mean squares {sizes} vanish or explode"


def no_network(*_, **__):
    raise URLError("no network\nsecond line")


@pytest.mark.eq4
@pytest.mark.parametrize("fault", ["missing", "text", "other network", "other object", "download"])
def test_vgg16_wrong_file_is_one_line(fault, tmp_path, monkeypatch):
    path = tmp_path / "weights.pth"
    if fault == "text":
        path.write_text("not weights")
    elif fault == "other network":
        torch.save({"features.0.weight": torch.zeros(8, 3, 3, 3)}, path)
    elif fault == "other object":
        torch.save([1, 2, 3], path)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    source = "download" if fault == "download" else str(path)
    with pytest.raises(InputError) as error:
        losses.load_vgg(source, LAYERS)
    text = str(error.value)
    assert "\n" not in text and text.startswith(source) and "--vgg random" in text, text
