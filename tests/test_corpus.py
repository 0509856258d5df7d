"""test_corpus.py - frame pairs (Eq. 7), the shape of the lips (Sec. 3.4), and the contrast that trains the code
extractor (Sec. 3.3, Eq. 8).

Takes are built here by hand, with labels and expressions that the tests choose.
"""
import numpy as np
import pytest
import torch

from data import corpus, sampling
from data.corpus import Corpus
from data.crops import CANONICAL, lip_shapes, mouth_crop, stable_crop, without_mouth
from data.sampling import contrasted, probabilities, lookalikes, patch_corners, suitability
from data.take import Take

SIZE = 24


def face_landmarks(T):
    """68 landmarks of a face that fills the picture, its parts in about the right places."""
    angle = np.linspace(0, np.pi, 17)
    jaw = np.column_stack([0.5 - 0.45 * np.cos(angle), 0.4 + 0.55 * np.sin(angle)])
    row = lambda n, x0, x1, y0, y1: np.column_stack([np.linspace(x0, x1, n), np.linspace(y0, y1, n)])
    ring = lambda n, x, y, a, b: np.column_stack([x - a * np.cos(2 * np.pi * np.arange(n) / n),
                                                  y - b * np.sin(2 * np.pi * np.arange(n) / n)])
    points = np.concatenate([jaw, row(5, 0.2, 0.43, 0.3, 0.3), row(5, 0.57, 0.8, 0.3, 0.3),
                             row(4, 0.5, 0.5, 0.4, 0.58), row(5, 0.42, 0.58, 0.64, 0.64),
                             ring(6, 0.325, 0.4, 0.085, 0.03), ring(6, 0.675, 0.4, 0.085, 0.03),
                             ring(12, 0.5, 0.78, 0.15, 0.06), ring(8, 0.5, 0.78, 0.1, 0.03)])
    return np.repeat(SIZE * points[None], T, 0).astype(np.float32)


def make_take(name, T=12, fps=25.0, ids=None, labels=(0, 0, 0), f_exp=None, kind="mesh", seed=0):
    g = np.random.default_rng(seed)
    ids = np.arange(T) if ids is None else np.asarray(ids)
    T = len(ids)
    pixels = lambda *shape: g.integers(0, 255, shape).astype(np.uint8)
    basis = np.zeros((2, 68, 3))
    basis[0, 17:27, 1], basis[1, 48:, 1] = 1.0, 1.0  # the first raises the brows, the second moves the lips
    return Take(name, name.split("/")[0], fps, ids, face_landmarks(T), np.eye(3),
                np.repeat(np.eye(4)[None], T, 0),
                g.normal(size=(T, 2)) if f_exp is None else np.asarray(f_exp, float), basis,
                g.normal(size=16000).astype(np.float32), dict(zip(("id", "al", "ill"), labels)),
                pixels(T, SIZE, SIZE, 3), pixels(T, SIZE, SIZE), pixels(SIZE, SIZE, 3), kind)


def whole(takes):
    return Corpus(takes, [np.arange(len(t.frame_ids)) for t in takes])


@pytest.fixture
def mixed():
    """Three people x two sentences, colours and lights drawn so that no label explains another."""
    labels = [(0, 0, 1), (0, 1, 0), (1, 1, 1), (1, 0, 0), (2, 0, 1), (2, 1, 2)]
    return whole([make_take(f"p{l[0]}/s{i}", labels=l, seed=i, T=20) for i, l in enumerate(labels)])


# -------------------------------------------------------------------------------------------------- the index

@pytest.mark.eq7
def test_eq7_pairs_never_cross_takes_or_gaps():
    takes = [make_take("a/1", ids=[0, 1, 2, 5, 6, 9]), make_take("a/2", ids=[10, 11, 13]),
             make_take("b/1", ids=[14, 15])]
    c = whole(takes)
    got = [(int(c.take[i]), int(takes[c.take[i]].frame_ids[c.frame[i]])) for i in c.pair_starts]
    assert got == [(0, 0), (0, 1), (0, 5), (1, 10), (2, 14)], \
        "Eq. 7: j and j - 1 are neighbours in time, of one take"
    for i in c.pair_starts:
        assert c.take[i] == c.take[i + 1] and c.time[i + 1] - c.time[i] == pytest.approx(1 / 25)


@pytest.mark.eq7
def test_eq7_a_take_that_goes_on_where_another_ended_is_still_another():
    c = whole([make_take("a/1", ids=[0, 1]), make_take("a/2", ids=[2, 3])])
    assert c.pair_starts.tolist() == [0, 2]


def test_index_keeps_rows_times_and_labels():
    takes = [make_take("a/1", ids=[0, 1, 4], fps=25.0, labels=(0, 5, 7)),
             make_take("b/1", ids=[3, 4, 5, 6], fps=30.0, labels=(1, 6, 7))]
    c = Corpus(takes, [np.array([0, 2]), np.array([1, 2, 3])])
    assert len(c) == 5 and c.take.tolist() == [0, 0, 1, 1, 1] and c.frame.tolist() == [0, 2, 1, 2, 3]
    assert c.first.tolist() == [0, 2, 5]
    assert np.allclose(c.time, [0, 4 / 25, 4 / 30, 5 / 30, 6 / 30]), "time is frame id / fps, not the row"
    assert c.label["id"].tolist() == [0, 0, 1, 1, 1] and c.label["al"].tolist() == [0, 0, 1, 1, 1]
    assert set(c.label["ill"]) == {0}, "labels are numbered from 0: they are rows of the code tables"
    assert c.names["al"].tolist() == [5, 6] and c.names["ill"].tolist() == [7]
    rows = c.entries(np.array([1, 4]))
    found = {name: row.tolist() for name, row in rows.items()}
    assert found == {"id": [0, 1], "al": [0, 1], "ill": [0, 0], "ex": [1, 4]}
    own = c.entries(np.array([1, 4]), per_frame=True)
    assert all(row.tolist() == [1, 4] for row in own.values()), "each frame its own codes"
    assert c.pair_starts.tolist() == [2, 3]


def test_frames_are_the_takes_own():
    mesh, clip = make_take("a/1", seed=1), make_take("b/1", seed=2, kind="clip")
    mesh.cam_to_head[3, 0, 3], clip.whole = 5.0, False
    c = Corpus([mesh, clip], [np.arange(2, 12), np.arange(12)])
    out = c.ground_truth(np.array([1, 10]))  # row 3 of the mesh, row 0 of the clip
    for b, (take, row) in enumerate([(mesh, 3), (clip, 0)]):
        for name, pixels in (("image", take.frames[row]), ("background", take.background)):
            assert out[name].shape == (2, 3, SIZE, SIZE)
            assert np.allclose(out[name][b].numpy(), pixels.transpose(2, 0, 1) / 255, atol=1e-6), name
        assert np.allclose(out["mask"][b, 0].numpy(), take.masks[row] / 255)
        assert np.allclose(out["cam_to_head"][b].numpy(), take.cam_to_head[row])
    assert (out["known"][0] == 1).all(), "a mesh's mask is known everywhere"
    assert torch.equal(out["known"][1], out["mask"][1]), "a face mask's is known inside the face only"


def test_squares_are_those_of_the_whole_frames_to_the_last_digit():
    mesh, clip = make_take("a/1", seed=1), make_take("b/1", seed=2, kind="clip")
    c, index = Corpus([mesh, clip], [np.arange(12), np.arange(12)]), np.array([3, 20, 4])
    corner, side = torch.tensor([[0, 5], [7, 16], [16, 0]]), 8
    whole, cut = c.ground_truth(index), c.ground_truth(index, corner, side)
    for name in ("image", "mask", "known", "background"):
        for b, (row, column) in enumerate(corner.tolist()):
            assert torch.equal(cut[name][b], whole[name][b, :, row:row + side, column:column + side]), name
    assert all(torch.equal(cut[name], whole[name]) for name in ("K", "cam_to_head", "rest"))
    assert cut["known"][1].unique().numel() > 2, "a clip's matte, not a mesh's mask"


def test_a_mattes_opacity_is_known_as_far_as_it_is_sure():
    clip = make_take("b/1", kind="clip")
    clip.whole, clip.rest = True, np.diag([1.0, -1, -1, 1]) + 0.5
    clip.masks[0, :4, 0] = 0, 51, 153, 255
    out = Corpus([clip], [np.arange(12)]).ground_truth(np.array([0]))
    assert np.allclose(out["known"][0, 0, :4, 0].numpy(), [1, 0.6, 0.2, 1], atol=1e-6)
    assert np.allclose(out["rest"][0].numpy(), clip.rest)


def test_upper_face_is_in_decimetres_and_blind_to_the_lips():
    take = make_take("a/1", f_exp=[[0.3, 0.0], [0.0, 2.0], [0.3, 5.0]], T=3)
    u = corpus.upper_face(take).reshape(3, 22, 3)
    assert np.allclose(u[0, :10, 1], 0.3) and np.allclose(u[0, 10:], 0), "the brows are raised by 0.3 dm"
    assert np.allclose(u[1], 0) and np.allclose(u[2], u[0]), "what the lips do belongs to F_lip"


def test_a_blink_weighs_as_much_as_a_raised_brow():
    rng, person = np.random.default_rng(0), np.repeat([0, 1], 50)
    upper = np.zeros((100, 22, 3))
    upper[:, :10, 1] = 0.3 + rng.normal(0, 0.05, (100, 1))
    upper[50:, :10, 1] += 0.2  # the second person's brows are higher at rest
    upper[[5, 60], 10:, 1] = -0.02  # two blinks; the lids move by less than the brows do
    evened = corpus.evened(upper.reshape(100, -1), person).reshape(100, 22, 3)
    assert np.allclose(evened[:50].mean(0), 0) and np.allclose(evened[50:].mean(0), 0), "from each person's mean"
    for part in (slice(0, 10), slice(10, 22)):
        assert np.square(evened[:, part]).sum((1, 2)).mean() == pytest.approx(1), "brows and eyes each of unit spread"
    distance = lambda i, j: np.linalg.norm(evened[i] - evened[j])
    others = [j for j in range(100) if j not in (5, 60)]
    assert distance(5, 60) < min(distance(5, j) for j in others), "a blink is nearest to a blink"


# ------------------------------------------------------------------------------------------------------ crops

def test_prepare_writes_crops_and_features_of_every_frame(tmp_path):
    takes = [make_take("a/1", seed=1), make_take("b/1", T=9, seed=2, ids=[0, 1, 2, 3, 6, 7, 8, 9, 30])]
    c = Corpus(takes, [np.arange(2, 12), np.arange(9)])
    asked = []

    def features(wave, frame_times):
        asked.append((wave, frame_times))
        return np.repeat(frame_times[:, None, None], 3, 1).repeat(2, 2).astype(np.float32)

    c.prepare(tmp_path / "crops", 16, features)
    assert c.f_a.shape == (19, 3, 2) and np.allclose(c.f_a[:, 0, 0], c.time), \
        "F_A keeps to frame ids where frames dropped out"
    assert [w is t.wave for (w, _), t in zip(asked, takes)] == [True, True]
    head, mouth = c.head_crops(np.array([0, 18])), c.mouth_crops(np.array([0, 18]))
    assert head.shape == mouth.shape == (2, 3, 16, 16)
    for b, (take, row) in enumerate([(takes[0], 2), (takes[1], 8)]):
        one = take.frames[row:row + 1], take.landmarks[row:row + 1], 16
        whole_face = stable_crop(*one)[0].transpose(2, 0, 1) / 255
        top = int(0.66 * 16)
        assert np.allclose(head[b, :, :top].numpy(), whole_face[:, :top], atol=1e-6)
        assert (head[b, :, top:] == 128 / 255).all(), "the extractor must not see the mouth"
        want = mouth_crop(*one)[0].transpose(2, 0, 1) / 255
        assert np.allclose(mouth[b].numpy(), want, atol=1e-6)


def test_the_extractor_sees_the_mouth_where_it_is_asked_for(tmp_path):
    take = make_take("a/1", seed=1)
    c = whole([take])
    c.prepare(tmp_path, 16, lambda wave, times: np.zeros((len(times), 3, 2), np.float32), blank_mouth=False)
    assert (c.heads == stable_crop(take.frames, take.landmarks, 16)).all()


def test_without_mouth_leaves_its_input_alone():
    crops = np.full((2, 30, 30, 3), 7, np.uint8)
    out = without_mouth(crops)
    assert (crops == 7).all() and (out[:, :19] == 7).all() and (out[:, 20:] == 128).all()


def test_mouth_crops_stand_still_across_blocks(tmp_path):
    """data.crops.mouth_crop: one square a clip. A long take is cropped in blocks, and they must agree."""
    take = make_take("a/1", T=300)
    take.landmarks[280:, 48:, 1] += 3.0  # the mouth opens at the end only
    take.frames[:] = take.frames[0]
    c = whole([take])
    c.prepare(tmp_path, 16, lambda wave, frame_times: np.zeros((len(frame_times), 1, 1), np.float32))
    assert np.array_equal(c.mouths[250], c.mouths[270]), \
        "the same picture with the same landmarks gives another mouth crop in another block"


# --------------------------------------------------------------------------------------------------- lip shapes

def faces(T=6, seed=0):
    """Faces whose points all wander a little, so that none fits the crop's places exactly."""
    return face_landmarks(T) + np.random.default_rng(seed).normal(0, 0.4, (T, 68, 2))


def test_lip_shapes_scalar_transcription():
    """One frame: the similarity w = a z + b of least squares for eyes and nose, points as complex numbers, in loops."""
    marks = faces(3)[1]
    stable = [36, 39, 42, 45, 27, 28, 29, 30, 33]  # eye corners, bridge and base of the nose
    z = [complex(*marks[i]) for i in stable]
    w = [complex(*place) for place in CANONICAL]
    z0, w0 = sum(z) / 9, sum(w) / 9
    a = sum((p - z0).conjugate() * (q - w0) for p, q in zip(z, w)) / sum(abs(p - z0) ** 2 for p in z)
    lips = [a * complex(*point) for point in marks[48:68]]
    middle = sum(lips) / 20
    want = [part for lip in lips for part in ((lip - middle).real, (lip - middle).imag)]
    got = lip_shapes(faces(3))
    assert got.shape == (3, 40) and np.allclose(got[1], want, atol=1e-6)


@pytest.mark.parametrize("turn, scale, shift", [(0.0, 1.0, (30.0, -8.0)), (0.5, 1.0, (0, 0)), (0.0, 2.5, (0, 0)),
                                                (-0.4, 0.3, (5.0, 90.0))], ids=["shift", "turn", "scale", "all"])
def test_lip_shapes_do_not_see_where_how_large_or_how_turned_a_face_is(turn, scale, shift):
    marks = faces()
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert np.allclose(lip_shapes(marks @ matrix.T + shift), lip_shapes(marks), atol=1e-6)


def test_lip_shapes_see_an_opening_mouth_and_nothing_else_of_the_face():
    marks = faces()
    still = lip_shapes(marks)
    opened, elsewhere, lower = marks.copy(), marks.copy(), marks.copy()
    opened[:, 55:60, 1] += 2.0  # the lower lip
    assert (np.linalg.norm(lip_shapes(opened) - still, axis=1) > 0.05).all()
    elsewhere[:, :27] += 3.0  # jaw and brows
    lower[:, 48:] += [0.0, 2.0]  # the whole mouth
    for other in (elsewhere, lower):
        assert np.allclose(lip_shapes(other), still, atol=1e-6)


def test_lips_are_compared_with_the_person_alone():
    """Zero mean and unit spread for each person, one scale for all 40 numbers; nobody changes another's."""
    g, person = np.random.default_rng(0), np.array([0, 1] * 30)
    lips = g.normal(size=(60, 40)) * np.linspace(0.5, 2, 40) + g.normal(size=40)
    got = corpus.per_person(lips, person)
    for who in (0, 1):
        own = got[person == who].astype(np.float64)
        assert np.allclose(own.mean(0), 0, atol=1e-6) and own.std() == pytest.approx(1, abs=1e-5)
        ratio = own.std(0) / lips[person == who].std(0)
        assert np.allclose(ratio, ratio[0], rtol=1e-4), "a point that hardly moves must not count as much as the others"
    wider = lips.copy()
    wider[person == 1] = 7 * wider[person == 1] + 3
    other = corpus.per_person(wider, person)
    assert np.array_equal(other[person == 0], got[person == 0]), "a person is measured by another's mouth"
    assert np.allclose(other[person == 1], got[person == 1], atol=1e-4), "how wide a mouth opens says no other sounds"
    assert lips.dtype == np.float64 and not np.shares_memory(lips, got)


def test_lips_of_a_corpus_are_those_of_its_frames():
    takes = [make_take("a/1", T=8), make_take("b/1", T=5, labels=(1, 0, 0)), make_take("a/2", T=4)]
    for i, take in enumerate(takes):
        take.landmarks[:] = faces(len(take.landmarks), i)
    numbers = [np.arange(2, 8), np.arange(5), np.arange(4)]
    c = Corpus(takes, numbers)
    raw = np.concatenate([lip_shapes(take.landmarks[some]) for take, some in zip(takes, numbers)])
    assert c.lips.shape == (15, 40) and c.lips.dtype == np.float32
    person = np.array([0] * 6 + [1] * 5 + [0] * 4)  # both takes of a person together
    for who in (0, 1):
        own = raw[person == who] - raw[person == who].mean(0)
        assert np.allclose(c.lips[person == who], own / own.std(), atol=1e-4)


# ------------------------------------------------------------------------------------------------------ probabilities

def test_rare_upper_faces_are_drawn_more_often_and_people_equally():
    still, blink = np.zeros((20, 2)), np.zeros((20, 2))
    blink[7, 0] = 0.4  # one frame of twenty
    moving = np.random.default_rng(0).normal(size=(20, 2))
    c = whole([make_take("a/1", f_exp=still + blink, T=20), make_take("b/1", f_exp=moving, T=20, labels=(1, 0, 0)),
               make_take("c/1", f_exp=still, T=20, labels=(2, 0, 0))])
    p = probabilities(c, 0.5)
    assert p.sum() == pytest.approx(1) and probabilities(c, 0.0) == pytest.approx(np.full(60, 1 / 60))
    shares = [p[:20].sum(), p[20:40].sum()]
    assert shares == pytest.approx([1 / 3, 1 / 3]), "no person crowds others out"
    # Away from the mean: 19/20 of the blink, and 1/20 in each other frame; squared and normalised, 0.95 and 0.0026.
    assert p[7] == pytest.approx((0.5 / 20 + 0.5 * 0.95) / 3, rel=1e-4)
    assert p[0] == pytest.approx((0.5 / 20 + 0.5 / 380) / 3, rel=1e-4)
    assert p[40:] == pytest.approx(np.full(20, 1 / 60)), "a person who never moves is drawn evenly"


# --------------------------------------------------------------------------------------------------- contrast

def contrast(c, factor, anchor, n, rng):
    """sampling.contrast of one anchor."""
    positives, negatives = sampling.contrast(c, factor, np.array([anchor]), n, rng)
    return positives[0], negatives[0]


@pytest.mark.eq8
def test_eq8_suitability_in_numbers():
    """Four frames, 0 and 1 of one person. Distances from frame 0: 0, 5, 10, 15, on average 7.5."""
    four = Corpus.__new__(Corpus)
    four.label = {"id": np.array([5, 5, 6, 7]), "al": np.array([0, 0, 0, 1]), "ill": np.array([0, 1, 0, 0])}
    four.upper = np.array([[0.0, 0, 0], [3, 4, 0], [0, 0, 10], [0, 15, 0]])
    anchors, frames, never = np.array([0, 0]), np.array([[0, 1, 2, 3], [0, 1, 1, 0]]), -np.inf
    positive, negative = suitability(four, "ex", anchors, frames)
    assert positive.tolist() == [[never, never, -10, -15], [never, -5, -5, never]], "nobody else is in the second row"
    assert negative.tolist() == [[never, 5, never, never], [never, 5, 5, never]]
    near = np.exp(-np.array([0, 5, 10, 15]) / 7.5)
    positive, negative = suitability(four, "id", anchors[:1], frames[:1])
    assert positive[0] == pytest.approx([-3, -1 - near[1], never, never]), "the anchor comes last"
    assert negative[0] == pytest.approx([never, never, 2 + near[2], 1 + near[3]])
    positive, negative = suitability(four, "ill", anchors[:1], frames[:1])
    assert positive[0] == pytest.approx([-3, never, -1 - near[2], -near[3]])
    assert negative[0] == pytest.approx([never, 2 + near[1], never, never])


@pytest.mark.eq8
@pytest.mark.parametrize("factor", ["id", "ex"])
def test_eq8_many_anchors_at_once_are_each_contrasted_among_the_frames_given(mixed, factor):
    among, rng = np.arange(1, len(mixed), 2), np.random.default_rng(0)
    anchors = among[::3]
    positives, negatives = sampling.contrast(mixed, factor, anchors, 4, rng, among)
    assert positives.shape == anchors.shape and negatives.shape == (len(anchors), 4)
    assert np.isin(positives, among).all() and np.isin(negatives, among).all()
    person = mixed.label["id"]
    same = person[negatives] == person[anchors, None]
    assert same.all() if factor == "ex" else not same.any()
    assert ((person[positives] == person[anchors]) == (factor == "id")).all()


def shared(c, frames, anchor, but):
    others = [f for f in ("id", "al", "ill") if f != but]
    return sum((c.label[f][frames] == c.label[f][anchor]).astype(int) for f in others)


@pytest.mark.eq8
@pytest.mark.parametrize("factor", ["id", "al", "ill"])
def test_eq8_positives_share_the_factor_and_negatives_do_not(mixed, factor):
    rng, label = np.random.default_rng(0), mixed.label[factor]
    hard, easy, positive_shared, random_shared = [], [], [], []
    for anchor in range(0, len(mixed), 2):
        positive, negatives = contrast(mixed, factor, anchor, 10, rng)
        assert label[positive] == label[anchor], f"C_{factor}: a positive of another {factor}"
        assert negatives.shape == (10,) and (label[negatives] != label[anchor]).all(), \
            f"C_{factor}: a false negative"
        hard += shared(mixed, negatives, anchor, factor).tolist()
        easy += shared(mixed, np.flatnonzero(label != label[anchor]), anchor, factor).tolist()
        positive_shared.append(shared(mixed, np.array([positive]), anchor, factor)[0])
        random_shared += shared(mixed, np.flatnonzero(label == label[anchor]), anchor, factor).tolist()
    assert np.mean(hard) > np.mean(easy) + 0.2, "hard negatives share everything but the factor"
    assert np.mean(positive_shared) < np.mean(random_shared) - 0.2, \
        "positives share the factor and little else"


@pytest.mark.eq8
@pytest.mark.parametrize("factor", ["id", "al"])
def test_eq8_among_equals_expression_decides(factor):
    """One take a person: labels never tell two candidates apart, only the nearness of expression does."""
    expression = np.column_stack([np.linspace(-1, 1, 40), np.zeros(40)])
    c = whole([make_take(f"p{i}/s", labels=(i, i, 0), f_exp=expression, T=40) for i in range(2)])
    rng, near, far = np.random.default_rng(0), [], []
    for anchor in range(0, 80, 3):
        positive, negatives = contrast(c, factor, anchor, 5, rng)
        here = expression[anchor % 40, 0]
        far.append(abs(expression[positive % 40, 0] - here))
        near.append(np.abs(expression[negatives % 40, 0] - here).mean())
    assert np.mean(near) < 0.35 and np.mean(far) > 0.9, \
        "a hard negative has the anchor's expression, a positive another"


@pytest.mark.eq8
def test_eq8_expression_positive_is_another_person_with_the_same_expression(mixed):
    rng, person, upper = np.random.default_rng(0), mixed.label["id"], mixed.upper
    distance = lambda frames, anchor: np.linalg.norm(upper[frames] - upper[anchor], axis=1)
    for anchor in range(0, len(mixed), 2):
        positive, negatives = contrast(mixed, "ex", anchor, 10, rng)
        assert person[positive] != person[anchor], "Sec. 3.3: positives are different people"
        assert (person[negatives] == person[anchor]).all() and anchor not in negatives, \
            "Sec. 3.3: negatives are the same person"
        others = np.flatnonzero(person != person[anchor])
        assert (distance(others, anchor) < distance(np.array([positive]), anchor)[0]).mean() < 0.15, \
            "not the nearest in F_exp"
        own = np.flatnonzero(person == person[anchor])
        own = own[own != anchor]
        assert distance(negatives, anchor).mean() > distance(own, anchor).mean(), \
            "negatives are from the farther half"
        assert distance(negatives, anchor).min() > distance(np.array([positive]), anchor)[0]


@pytest.mark.eq8
def test_eq8_a_clip_contrasts_expression_only():
    expression = np.column_stack([np.sin(np.arange(100) / 5), np.cos(np.arange(100))])
    c = whole([make_take("clip/all", T=100, f_exp=expression, kind="clip")])
    assert contrasted(c) == ["ex"], \
        "one person in one light: there is nothing to contrast C_id, C_al and C_ill with"
    rng = np.random.default_rng(0)
    for anchor in range(0, 100, 9):
        positive, negatives = contrast(c, "ex", anchor, 10, rng)
        assert positive != anchor, "an anchor that is its own positive teaches nothing"
        gap = np.abs(expression[:, 0] - expression[anchor, 0])
        assert gap[positive] < 0.2 < np.median(gap[negatives])


@pytest.mark.eq8
def test_eq8_contrasted_factors_are_those_that_vary(mixed):
    assert contrasted(mixed) == ["id", "ex", "al", "ill"]
    same_light = whole([make_take("a/1", labels=(0, 0, 3)), make_take("b/1", labels=(1, 1, 3))])
    assert contrasted(same_light) == ["id", "ex", "al"]


@pytest.mark.eq8
def test_eq8_contrast_follows_the_generator(mixed):
    for factor in ("id", "ex"):
        a, b = (contrast(mixed, factor, 3, 10, np.random.default_rng(7)) for _ in range(2))
        assert a[0] == b[0] and np.array_equal(a[1], b[1])
        many = {contrast(mixed, factor, 3, 10, np.random.default_rng(s))[1][0] for s in range(8)}
        assert len(many) > 1, "each step probabilities its own negatives"


def test_lookalikes_have_the_nearest_upper_face_of_the_person_and_other_lips(mixed, monkeypatch):
    monkeypatch.setattr(sampling, "LOOKALIKE_POOL", 10**6)
    found = lookalikes(mixed, 0.4, seed=0, k=3)
    for i in range(0, len(mixed), 7):
        allowed = [j for j in range(len(mixed)) if mixed.label["id"][j] == mixed.label["id"][i] and
                   (mixed.take[j] != mixed.take[i] or abs(mixed.time[j] - mixed.time[i]) >= 0.4)]
        distance = {j: float(np.sqrt(((mixed.upper[j] - mixed.upper[i]) ** 2).sum())) for j in allowed}
        assert set(found[i]) <= set(allowed), "a stand-in is of another person, or shows nearly the same moment"
        want = sorted(distance.values())[:3]
        assert np.allclose(sorted(distance[j] for j in found[i]), want, atol=1e-5)


def test_lookalikes_of_a_clip_too_short_for_any_are_the_frames_themselves():
    c = whole([make_take("a/1", ids=[0, 1, 2], fps=25.0)])
    assert lookalikes(c, 0.4, seed=0).tolist() == [[0] * 4, [1] * 4, [2] * 4]


# ------------------------------------------------------------------------------------------------------ patches

def test_patches_lie_inside_and_half_of_them_on_the_face():
    """Side 2 of 6 x 6 feature pixels (24 px): a patch about a landmark has it within 1.5 + 1.5 feature pixels."""
    takes = [make_take("a/1", T=4)]
    moved = takes[0].landmarks.copy()
    takes[0].landmarks[:] = (moved - moved.mean((0, 1))) * 0.05 + [20.0, 4.0]  # a tiny face in the upper right corner
    corners = patch_corners(whole(takes), np.zeros(400, int), 2, 4, np.random.default_rng(0))
    assert corners.shape == (400, 2) and corners.dtype == torch.int64
    assert corners.min() == 0 and corners.max() == 4
    near = (corners[:, 0] <= 2) & (corners[:, 1] >= 2)  # row small, column large: x is the column
    assert 0.55 < near.float().mean() < 0.85, "half of the patches at the face, and its share of the others"
    assert {tuple(c) for c in corners.tolist()} == {(r, c) for r in range(5) for c in range(5)}
