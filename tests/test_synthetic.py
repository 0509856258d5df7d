"""test_synthetic.py - the stand-in heads (synthetic/): layout, landmarks, lips, voice, factors."""

import json

import numpy as np
import pytest

import tracking
from data.prepare import load, split
from data.voca import open_folder
from synthetic import colours, dataset, hair, rasteriser, shape, speech, surface
from synthetic.cameras import default_camera, frontal_camera

UPPER, LOWER = [61, 62, 63], [67, 66, 65]  # inner lip landmarks above each other
LIDS = {"image left": ([37, 38], [41, 40], 36, 39), "image right": ([43, 44], [47, 46], 45, 42)}
MIRROR = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        67,
        66,
        65,
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy")
    dataset.write_toyset(path, subjects=3, sentences=3, seconds=1.0, seed=7)
    return path


@pytest.fixture(scope="module")
def voca(folder):
    return open_folder(folder)


def pose(**amounts):
    return np.array([[amounts.get(name, 0.0) for name in shape.EXPRESSION]])


def marks(identity, expression):
    return shape.head_vertices(identity, expression)[:, surface.landmark_indices()].astype(float)


def opening(landmarks):
    """Height of the mouth opening (T,) in dm."""
    return np.linalg.norm(landmarks[:, UPPER] - landmarks[:, LOWER], axis=-1).mean(axis=1)


def people(n):
    return [shape.random_identity(np.random.default_rng(seed)) for seed in range(n)]


AVERAGE = np.zeros(len(shape.SHAPE))


# ---- the folder ----------------------------------------------------------------------------------


def test_folder_opens_as_vocaset(folder, voca):
    subjects = {f"toy{k:02d}" for k in (1, 2, 3)}
    assert set(voca.index) == set(voca.templates) == set(voca.audio) == subjects
    rows = sorted(
        row for takes in voca.index.values() for frames in takes.values() for row in frames.values()
    )
    assert rows == list(range(len(voca.verts))) and voca.verts.dtype == np.float32
    assert voca.faces.max() == voca.verts.shape[1] - 1 and len(voca.marks) == 68
    frames = voca.index["toy01"]["sentence01"]
    assert sorted(frames) == list(range(len(frames)))


def test_sound_is_int16_at_22_khz_and_as_long_as_the_frames(voca):
    for subject, takes in voca.audio.items():
        for sentence, sound in takes.items():
            frames = len(voca.index[subject][sentence])
            assert sound["sample_rate"] == 22000 and sound["audio"].dtype == np.int16
            assert len(sound["audio"]) / 22000 == pytest.approx(frames / 60, abs=1e-3)
            assert 8000 < np.abs(sound["audio"].astype(int)).max() <= 32767


def test_meshes_are_metres_and_the_templates_neutral(folder, voca):
    height = np.ptp(voca.templates["toy01"][:, 1])
    assert 0.2 < height < 0.45  # a head with neck
    still = shape.neutral_head(np.load(folder / "identity.npy")[0]) / 10
    assert np.allclose(voca.templates["toy01"], still, atol=1e-6)


def test_recombination_function_reproduces_the_stored_vertices(folder, voca):
    identity, expression = np.load(folder / "identity.npy"), np.load(folder / "expression.npy")
    rows = np.array(list(voca.index["toy02"]["sentence03"].values()))
    again = shape.head_vertices(identity[1], expression[rows].astype(float))
    assert np.allclose(again / 10, voca.verts[rows], atol=2e-6)


def test_colours_lights_and_factors_fit_together(folder, voca):
    albedo, lights = np.load(folder / "albedo.npy"), np.load(folder / "lights.npy")
    factors = json.loads((folder / "factors.json").read_text())
    assert albedo.shape[1:] == voca.verts.shape[1:] and 0 <= albedo.min() and albedo.max() <= 1
    assert np.load(folder / "gloss.npy").shape == (voca.verts.shape[1],)
    for takes in factors.values():
        for take in takes.values():
            assert 0 <= take["albedo"] < len(albedo) and 0 <= take["light"] < len(lights)


def test_equal_seeds_give_equal_files_and_others_do_not(folder, tmp_path):
    dataset.write_toyset(tmp_path / "again", subjects=3, sentences=3, seconds=1.0, seed=7)
    dataset.write_toyset(tmp_path / "other", subjects=1, sentences=1, seconds=1.0, seed=8)
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(p.name for p in (tmp_path / "again").iterdir())
    assert all((folder / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)
    assert not np.array_equal(np.load(folder / "identity.npy")[0],
                              np.load(tmp_path / "other" / "identity.npy")[0])


def test_a_larger_set_keeps_the_smaller_one(folder, tmp_path):
    """More subjects or sentences do not change those already there, but for the look of the one
    held out."""
    dataset.write_toyset(tmp_path, subjects=1, sentences=2, seconds=1.0, seed=7)
    small, large = (json.loads((p / "factors.json").read_text()) for p in (tmp_path, folder))
    assert small["toy01"]["sentence01"] == large["toy01"]["sentence01"]
    assert small["toy01"]["sentence02"]["phonemes"] == large["toy01"]["sentence02"]["phonemes"]
    count = len(np.load(tmp_path / "expression.npy"))
    assert np.array_equal(np.load(tmp_path / "expression.npy"),
                          np.load(folder / "expression.npy")[:count])


def test_half_of_the_sentences_have_one_text_for_all(folder):
    factors = json.loads((folder / "factors.json").read_text())
    texts = [{takes[f"sentence{k:02d}"]["phonemes"] for takes in factors.values()}
             for k in (1, 2, 3)]
    assert [len(t) for t in texts] == [1, 3, 1]


@pytest.mark.parametrize("seed", range(4))
def test_each_subject_is_trained_on_4_albedos_and_4_lights_and_each_of_these_on_4_subjects(seed):
    pairs, _ = dataset.design(6, 6, seed)
    for factor in (0, 1):
        worn = [set(takes[:-1, factor]) for takes in pairs]
        assert [len(values) for values in worn] == [4] * 6
        assert [sum(value in values for values in worn) for value in range(6)] == [4] * 6
        uses = np.bincount(pairs[:, :-1, factor].ravel(), minlength=6)
        assert 3 <= uses.min() and uses.max() <= 7, "5 takes of 30 is even"
    together = {tuple(pair) for pair in pairs[:, :-1].reshape(-1, 2)}
    assert len(together) > 15, "albedo must not tell the light"


@pytest.mark.parametrize("subjects,sentences", [(6, 6), (2, 2), (3, 7), (8, 3)])
def test_the_held_out_sentence_has_a_look_that_its_subject_was_trained_on(subjects, sentences):
    pairs, _ = dataset.design(subjects, sentences, 0)
    for takes in pairs:
        assert tuple(takes[-1]) in {tuple(pair) for pair in takes[:-1]}


@pytest.mark.parametrize("subjects,sentences,count",
                         [(6, 6, 24), (2, 2, None), (6, 1, None), (1, 4, 0), (13, 9, None)])
def test_recombinations_are_never_trained_but_their_parts_are(subjects, sentences, count):
    pairs, unseen = dataset.design(subjects, sentences, 3)
    trained = pairs[:, :-1] if sentences > 1 else pairs
    assert count is None or len(unseen) == count
    for one in unseen:
        own = trained[one["identity"]]
        assert one["albedo"] not in own[:, 0] and one["light"] not in own[:, 1]
        assert one["albedo"] in trained[..., 0] and one["light"] in trained[..., 1]


def test_files_and_takes_follow_the_design(folder, tmp_path):
    pairs, unseen = dataset.design(3, 3, 7)
    written = json.loads((folder / "recombinations.json").read_text())
    assert [{**one, "identity": int(one["identity"][3:]) - 1} for one in written] == unseen
    takes = load(folder, 16, tmp_path)
    seen = [(take.labels["al"], take.labels["ill"]) for take in takes]
    assert seen == [tuple(pair) for pair in pairs.reshape(-1, 2).tolist()]
    train, held = split(takes)
    looks = {(takes[i].subject, *seen[i]) for i, _ in train}
    assert len(held) == 3 and all((takes[i].subject, *seen[i]) in looks for i, _ in held)
    assert not looks & {(one["identity"], one["albedo"], one["light"]) for one in written}


def test_render_truth_makes_the_frames_that_data_load_makes(folder, voca, tmp_path):
    take = load(folder, 48, tmp_path, subjects=["toy02"])[1]
    assert take.name == "toy02/sentence02"
    rows = np.array([voca.index["toy02"]["sentence02"][2 * i] for i in take.frame_ids])
    expression = np.load(folder / "expression.npy")[rows].astype(float)
    light = np.load(folder / "lights.npy")[take.labels["ill"]]
    camera = frontal_camera(default_camera(48)[1])
    poses = camera @ np.linalg.inv(take.cam_to_head)  # head to world
    identity = np.load(folder / "identity.npy")[1]
    frames, masks = dataset.render_truth(identity, expression, take.labels["al"], light, poses,
                                         48)
    apart = np.maximum(np.abs(frames.astype(int) - take.frames).max(-1),
                       np.abs(masks.astype(int) - take.masks))
    # The file holds metres in float32: once in a while a sample on an edge falls to the other side,
    # 1 of a pixel's 4.
    assert (apart > 1).mean() < 1e-4 and apart.max() <= 64
    other = (take.labels["al"] + 1) % 6
    same = take.labels["al"]
    for change in ((identity, expression, other, light, poses),
                   (-identity, expression, same, light, poses),
                   (identity, expression, same, light[:, ::-1] * 0.8, poses)):
        assert np.abs(dataset.render_truth(*change, 48)[0].astype(int) - take.frames).max() > 30


def test_mouth_and_upper_face_are_independent():
    takes = np.concatenate([dataset.recording(0, f"toy{s}", k, 2.0)[0] for s in range(6)
                            for k in range(6)])
    correlation = np.corrcoef(takes.T)[:5, 5:]
    assert np.abs(correlation).max() < 0.15


# ---- the head ------------------------------------------------------------------------------------


def test_landmarks_lie_where_ibug_puts_them():
    p = marks(AVERAGE, pose())[0]
    x, y, z = p.T
    # jaw: image left, chin, image right
    assert (np.diff(x[0:17]) > -0.02).all() and y[8] == y[0:17].min()
    assert (np.diff(x[17:27]) > 0).all() and y[17:27].min() > y[36:48].max()  # brows above the eyes
    assert (
        (np.diff(y[27:31]) < 0).all() and z[30] == z.max() and abs(x[30]) < 1e-6
    )  # nose bridge down to the tip
    assert (np.diff(x[31:36]) > 0).all()
    assert x[36] < x[39] < 0 < x[42] < x[45]
    assert (y[[37, 38, 43, 44]] > y[[41, 40, 47, 46]]).all()
    assert x[48] == x[48:60].min() and x[54] == x[48:60].max() and y[51] > y[62] >= y[66] > y[57]


def test_average_face_is_symmetric():
    p = marks(AVERAGE, pose())[0]
    assert np.allclose(p[MIRROR] * [-1, 1, 1], p, atol=1e-6)


def test_origin_is_between_the_jaw_ends_for_every_person():
    for identity in people(4):
        p = shape.neutral_head(identity)[surface.landmark_indices()]
        assert np.allclose(p[0] + p[16], 0, atol=1e-9)


def test_proportions_are_human():
    """Ranges of adult heads, dm."""
    p = marks(AVERAGE, pose())[0]
    eyes = p[36:48].mean(axis=0)
    assert 0.85 < np.linalg.norm(p[45] - p[36]) < 1.0
    assert 0.26 < np.linalg.norm(p[42] - p[39]) < 0.40
    assert 1.05 < eyes[1] - p[8, 1] < 1.3
    assert 1.35 < p[16, 0] - p[0, 0] < 1.55
    assert 0.85 < p[30, 2] - p[0, 2] < 1.1
    assert 0.2 < p[30, 2] - eyes[2] < 0.45
    assert 0.45 < p[54, 0] - p[48, 0] < 0.6


def test_people_differ_and_share_one_topology():
    shapes = np.stack([shape.neutral_head(identity) for identity in people(6)])
    marks68 = shapes[:, surface.landmark_indices()]
    apart = np.linalg.norm(marks68[:, None] - marks68, axis=-1).mean(axis=-1)
    assert apart[~np.eye(6, dtype=bool)].min() > 0.03  # 3 mm a landmark, on average
    assert 3000 < shapes.shape[1] < 6000


def test_every_edge_of_the_skin_but_mouth_and_eyes_is_closed():
    """Edges used by one triangle only are the openings: 32 around the mouth, 24 around each eye."""
    head = shape.model()
    skin = head.faces[(head.part[head.faces] == "skin").all(axis=1)]
    edges = np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1)
    pairs, uses = np.unique(edges, axis=0, return_counts=True)
    assert uses.max() == 2
    rim = pairs[uses == 1]
    for first, count in ((surface.LIPS, 32), (surface.LIDS_LEFT, 24), (surface.LIDS_RIGHT, 24)):
        inside = ((rim >= first) & (rim < first + count)).all(axis=1)
        assert inside.sum() == count
        rim = rim[~inside]
    assert len(rim) == 0


def test_lips_meet_at_rest_and_part_with_the_jaw():
    for identity in people(4):
        gaps = opening(marks(identity, np.concatenate([pose(), pose(press=1), pose(jaw=0.5),
                                                       pose(jaw=1)])))
        assert gaps[0] < 1e-5 and gaps[1] < 1e-5
        assert 0.07 < gaps[2] < gaps[3] and 0.15 < gaps[3] < 0.4


def test_expressions_move_what_they_name():
    rest = marks(AVERAGE, pose())[0]

    def change(**amounts):
        return marks(AVERAGE, pose(**amounts))[0] - rest

    assert change(width=1.0)[54, 0] > 0.02 > -0.02 > change(width=-1.0)[54, 0]
    assert change(pucker=1.0)[54, 0] < -0.03 and change(pucker=1.0)[[51, 57], 2].min() > 0.04
    assert change(tuck=1.0)[66, 1] > 0.02 and abs(change(tuck=1.0)[62, 1]) < 0.01
    assert change(brow=1.0)[17:27, 1].min() > 0.02 and np.abs(change(brow=1.0)[48:68]).max() < 0.01
    assert change(smile=1.0)[[48, 54], 1].min() > 0.03
    assert np.abs(change(jaw=1.0)[17:48]).max() < 0.01 and change(jaw=1.0)[8, 1] < -0.1


def test_upper_lid_covers_the_top_of_the_iris_at_rest_and_not_the_pupil():
    head = shape.model()
    for eyeball, first in (("left eye", surface.LIDS_LEFT), ("right eye", surface.LIDS_RIGHT)):
        ball = head.mean[head.part == eyeball].reshape(len(surface.IRIS), -1, 3)
        iris, pupil = (ball[surface.IRIS < angle].reshape(-1, 3)[:, 1].max()
                       for angle in (0.40, 0.16))
        upper, lower = head.mean[first + 6, 1], head.mean[first + 18, 1]
        assert pupil + 0.01 < upper < iris - 0.01 and lower < -pupil


def test_the_opened_mouth_is_round_and_no_beak():
    """o against a: narrower, almost as high as wide; the lips stand less than 2.5 cm before their
    corners."""
    wide = marks(AVERAGE, pose(jaw=0.95))
    rounded = marks(AVERAGE, pose(jaw=0.65, pucker=0.7, width=-0.4))
    gaps = [float(opening(p)[0] / (p[0, 64, 0] - p[0, 60, 0])) for p in (wide, rounded)]
    assert 0.35 < gaps[0] < 0.65 and 0.4 < gaps[1] < 0.8
    for p in (wide[0], rounded[0]):
        assert p[[51, 57], 2].max() - p[[48, 54], 2].mean() < 0.25 and p[30, 2] > p[48:68, 2].max()


def hair_of(**style):
    """Vertices of the parts "hair" and "bun" of the average head in a style."""
    identity = AVERAGE.copy()
    for name, amount in style.items():
        identity[shape.SHAPE.index(name.replace("_", " "))] = amount
    vertices, part = shape.neutral_head(identity), shape.model().part
    return vertices[part == "hair"].reshape(hair.RINGS, hair.COLUMNS, 3), vertices[part == "bun"]


def test_hair_styles_do_what_they_are_called():
    short, hidden = hair_of()
    edge, front, side = hair.OUTER - 1, hair.COLUMNS // 2, hair.COLUMNS // 4
    assert hair_of(hair_length=1.0)[0][..., 1].min() < short[..., 1].min() - 0.5
    assert hair_of(receding=1.0)[0][edge, front, 1] > short[edge, front, 1] + 0.15
    assert hair_of(fringe=1.0)[0][edge, front, 1] < short[edge, front, 1] - 0.2
    assert hair_of(curls=1.0)[0][edge // 2, side, 0] < short[edge // 2, side, 0] - 0.05
    assert hidden[:, 1].max() < short[..., 1].max() < hair_of(bun=1.0)[1][:, 1].max() - 0.1


def test_no_style_covers_the_eyes_or_the_mouth():
    for style in hair.STYLES[1:]:
        locks = hair_of(**{style.replace(" ", "_"): 1.0})[0].reshape(-1, 3)
        before = locks[(locks[:, 2] > 0.6) & (np.abs(locks[:, 0]) < 0.45)]
        assert len(before) == 0 or before[:, 1].min() > 0.25, style


def test_six_subjects_in_a_row_wear_six_hair_styles():
    styles = np.stack([dataset.identity(5, s) for s in range(12)])[:, -len(hair.STYLES) + 1 :]
    for block in (styles[:6], styles[6:]):
        assert ((block > 0).sum(axis=1) <= 1).all() and ((block > 0).sum(axis=0) == 1).all()


def test_blink_closes_the_lids_over_the_eyeball():
    head = shape.model()
    for identity in people(4):
        vertices = shape.head_vertices(
            identity, np.concatenate([pose(blink=b) for b in (0.0, 0.25, 0.5, 0.75, 1.0)])
        )
        p = vertices[:, surface.landmark_indices()]
        for upper, lower, outer, inner in LIDS.values():
            gap = np.linalg.norm(p[:, upper] - p[:, lower], axis=-1).mean(axis=1)
            assert gap[4] < 1e-4 and (np.diff(gap) < 0).all() and gap[0] > 0.07
            assert np.allclose(p[0, [outer, inner]], p[4, [outer, inner]], atol=1e-5)
        for first, eyeball in ((surface.LIDS_LEFT, "left eye"), (surface.LIDS_RIGHT, "right eye")):
            ball = vertices[0, head.part == eyeball]
            centre, scale = (
                (ball.min(axis=0) + ball.max(axis=0)) / 2,
                np.ptp(ball, axis=0) / 2,
            )  # maybe a little oval
            lids = (vertices[:, first : first + 72] - centre) / scale
            assert np.linalg.norm(lids, axis=-1).min() > 0.99  # never inside the ball


def frontal(vertices, colors, size=128):
    K, distance = default_camera(size)
    light = np.zeros((9, 3), np.float32)
    light[0] = np.sqrt(4 * np.pi)
    return (
        rasteriser.render_mesh(
            vertices,
            shape.model().faces,
            colors,
            light,
            K,
            frontal_camera(distance),
            size,
            np.array([0.0, 0.0, 1.0]),
        )[0],
        K,
        distance,
    )


def pixel(point, K, distance):
    u, v = (
        K[0, 2] + K[0, 0] * point[0] / (distance - point[2]),
        K[1, 2] - K[1, 1] * point[1] / (distance - point[2]),
    )
    return int(v), int(u)


def test_the_picture_shows_teeth_and_a_dark_mouth_only_when_open_and_no_eye_when_shut():
    colors = colours.albedo(colours.PALETTES[0])
    shut, K, d = frontal(shape.head_vertices(AVERAGE, pose())[0], colors)
    wide = shape.head_vertices(AVERAGE, pose(jaw=1.0))[0]
    opened = frontal(wide, colors)[0]
    p = wide[surface.landmark_indices()]
    top, bottom = pixel(p[62], K, d), pixel(p[66], K, d)
    column = opened[top[0] : bottom[0] + 1, top[1]]
    assert column.max() > 0.8 and column.max(axis=1).min() < 0.2  # ivory, and the dark behind
    rows = slice(top[0] - 6, bottom[0])
    assert shut[rows, top[1]].max(axis=1).min() > 0.3  # no dark gap between closed lips
    iris = pixel(shape.neutral_head(AVERAGE)[surface.landmark_indices()][42:48].mean(axis=0), K, d)
    blink = frontal(shape.head_vertices(AVERAGE, pose(blink=1.0))[0], colors)[0]
    assert shut[iris].max() < 0.35 < blink[iris].max()


def test_persons_left_is_image_right():
    """Paint the person's left ear (x > 0) red: it must appear in the right half of the image."""
    head = shape.model()
    colors = np.full_like(head.mean, 0.2)
    colors[head.part == "left ear"] = [1, 0, 0]
    image, _, _ = frontal(shape.neutral_head(AVERAGE), colors)
    red = (image[..., 0] > 0.9) & (image[..., 1] < 0.1)
    assert red[:, 64:].sum() > 5 and red[:, :64].sum() == 0
    assert head.mean[head.part == "left ear", 0].min() > 0


def test_palettes_hold_colour_only_and_differ():
    colors = np.stack([colours.albedo(palette) for palette in colours.PALETTES])
    means = colors[:, shape.model().part == "skin"].mean(axis=1)
    gap = np.abs(means[:, None] - means).max(axis=-1)
    assert gap[~np.eye(len(means), dtype=bool)].min() > 0.01


# ---- speech --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["_mabapoba_", "_opimobopa_"])
def test_lips_are_closed_at_b_p_m_and_open_at_a_o(text):
    seconds = 2.0
    mouth = speech.mouth_motion(text, seconds)
    gaps = opening(marks(AVERAGE, np.concatenate([mouth, np.zeros((len(mouth), 3))], axis=1)))
    times = speech.phoneme_times(text, seconds)
    clock = np.arange(len(mouth)) / 60
    for phoneme, start, end in zip(text, times, times[1:]):
        if phoneme in "bpm":  # just before and at the sound
            assert gaps[(clock >= start - 0.025) & (clock <= end - 0.025)].max() < 0.005
        elif phoneme in "ao":
            assert gaps[(clock >= start) & (clock < end)].max() > 0.07
        elif phoneme == "i":
            assert gaps[(clock >= start) & (clock < end)].max() > 0.03
    assert gaps[0] < 1e-4 and gaps[-1] < 1e-4  # shut in silence


def test_o_and_u_round_the_lips_and_f_brings_the_lower_lip_to_the_teeth():
    mouth = speech.mouth_motion("_nosifu_", 1.6)
    times = speech.phoneme_times("_nosifu_", 1.6)
    middle = {p: mouth[int((a + b) / 2 * 60)] for p, a, b in zip("_nosifu_", times, times[1:])}
    pucker, tuck = (shape.EXPRESSION.index(name) for name in ("pucker", "tuck"))
    assert min(middle["o"][pucker], middle["u"][pucker]) > 0.5 > 0.1 > middle["i"][pucker]
    assert middle["f"][tuck] > 0.7 and middle["o"][tuck] < 0.1


def test_mouth_moves_smoothly():
    expression, _, _ = dataset.recording(0, "toy01", 0, 2.0)
    assert (
        np.abs(np.diff(expression[:, 0])).max() < 0.35
        and np.abs(np.diff(expression[:, 1:5], axis=0)).max() < 0.3
    )


def test_blinks_come_in_their_own_time():
    upper = speech.upper_face_motion(1800, np.random.default_rng(0))
    starts = np.flatnonzero(np.diff((upper[:, 1] > 0.5).astype(int)) == 1)
    gaps = np.diff(starts) / 60
    assert 10 < len(starts) < 31 and 0.9 < gaps.min() and gaps.max() < 3.1
    assert upper[:, 1].max() > 0.98


@pytest.mark.parametrize("vowel", ["a", "e", "i", "o", "u"])
def test_spectral_peaks_are_the_formants(vowel):
    """Linear prediction (normal equations) of the spoken vowel finds poles near its first two
    formants."""
    wave = speech.speak(f"_{vowel}{vowel}{vowel}{vowel}_", 1.5, 100.0, 1.0,
                        np.random.default_rng(0))
    steady = wave[int(0.6 * 22000) : int(0.9 * 22000) : 2]  # every second sample: 11 kHz
    steady = np.diff(steady) * np.hamming(len(steady) - 1)
    order = 12
    lags = np.correlate(steady, steady, "full")[len(steady) - 1 : len(steady) + order]
    matrix = lags[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
    poles = np.roots(np.r_[1, -np.linalg.solve(matrix, lags[1:])])
    poles = poles[(poles.imag > 0) & (np.abs(poles) > 0.9)]
    found = np.angle(poles) * 11000 / (2 * np.pi)
    for formant in speech.PHONEMES[vowel].formants[:2]:
        assert np.abs(found - formant).min() < 0.12 * formant + 30, (formant, np.sort(found))


def test_voice_has_the_requested_pitch():
    pitch = np.full(22000, 120.0)
    flow = speech.glottis(pitch)
    spectrum = np.abs(np.fft.rfft(flow * np.hanning(len(flow))))
    assert np.argmax(spectrum[50:180]) + 50 == pytest.approx(120, abs=1)


def test_s_hisses_and_m_does_not():
    def above_4_khz(text):
        wave = speech.speak(text, 1.2, 110.0, 1.0, np.random.default_rng(0))
        power = np.abs(np.fft.rfft(wave[int(0.5 * 22000) : int(0.7 * 22000)])) ** 2
        return power[int(len(power) * 4 / 11) :].sum() / power.sum()

    assert above_4_khz("_sss_") > 0.5 > 0.05 > above_4_khz("_mmm_")


def test_speech_is_silent_at_both_ends():
    _, wave, text = dataset.recording(0, "toy01", 1, 2.0)
    assert text.startswith("_") and text.endswith("_")
    quiet = np.abs(np.concatenate([wave[:2200], wave[-2200:]]).astype(float)).max()
    assert quiet < 0.02 * np.abs(wave.astype(float)).max()


# ---- the generic landmark face -------------------------------------------------------------------


def test_landmark_model_has_the_units_that_it_promises():
    generic = tracking.generic_model()
    assert generic.mean.shape == (68, 3)
    assert generic.id_basis.shape[1:] == generic.exp_basis.shape[1:] == (
        68,
        3,
    )
    assert np.allclose(generic.mean[MIRROR] * [-1, 1, 1], generic.mean, atol=1e-6)
    assert np.allclose(generic.mean[0] + generic.mean[16], 0, atol=1e-9)
    assert tracking.generic_model() is generic  # cached


def test_landmark_model_spans_new_people_and_expressions():
    """Heads that it was not made from are reached with ordinary coefficients (unit = one
    deviation)."""
    generic = tracking.generic_model()
    basis = generic.id_basis.reshape(len(generic.id_basis), -1).T
    for seed in range(1000, 1010):
        face = shape.neutral_head(shape.random_identity(np.random.default_rng(seed)))[
            surface.landmark_indices()
        ]
        coefficients, *_ = np.linalg.lstsq(basis, (face - generic.mean).ravel(), rcond=None)
        rest = (face - generic.mean).ravel() - basis @ coefficients
        assert np.abs(coefficients).max() < 4 and np.sqrt((rest**2).mean()) < 0.01
    poses = np.concatenate([pose(jaw=0.8), pose(blink=1.0), pose(smile=0.7)])
    moves = marks(AVERAGE, poses) - marks(AVERAGE, pose())
    basis = generic.exp_basis.reshape(len(generic.exp_basis), -1).T
    for move in moves:
        coefficients, *_ = np.linalg.lstsq(basis, move.ravel(), rcond=None)
        assert np.linalg.norm(move.ravel() - basis @ coefficients) < 0.15 * np.linalg.norm(move)
