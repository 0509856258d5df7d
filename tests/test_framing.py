"""test_framing.py - which frames of a clip are used, the square about the head, what is behind it."""
import cv2
import numpy as np
import pytest

from data import framing
from synthetic.cameras import frontal_camera, project
from tracking import generic_model

FACE = project(generic_model().mean, np.array([[1000.0, 0, 0], [0, 1000, 0], [0, 0, 1]]),
               frontal_camera(10.0))  # (68, 2) px about 0; brows to chin about 110 px


def faces(*places, scale=1.0):
    return np.array([FACE * scale + place for place in places])


def trusted(landmarks, ids=None):
    return framing.trusted(landmarks, np.arange(len(landmarks)) if ids is None else np.array(ids))


# ---- frames that can be trusted ------------------------------------------------------------------

def test_a_detection_elsewhere_for_a_moment_is_not_this_face():
    marks = faces(*[(300, 200)] * 100)
    marks[50] += [340, 0]
    assert np.flatnonzero(~trusted(marks)).tolist() == [50]
    marks[10:25] += [0, -150]  # longer than any filter's window
    assert np.flatnonzero(~trusted(marks)).tolist() == [*range(10, 25), 50]


def test_a_face_of_another_size_is_not_this_face_and_one_that_walks_is():
    marks = faces(*[(100 + 4 * t, 200) for t in range(100)])
    assert trusted(marks).all(), "4 px a frame, over 400 px"
    marks[70] = FACE * 0.4 + marks[70].mean(0)
    assert np.flatnonzero(~trusted(marks)).tolist() == [70]


def test_no_face_and_gaps():
    marks = faces(*[(300, 200)] * 40)
    marks[5:20] = np.nan
    assert np.flatnonzero(~trusted(marks)).tolist() == list(range(5, 20))
    assert not trusted(np.full((4, 68, 2), np.nan)).any()
    away = faces(*[(300 + 5 * t, 200) for t in (0, 1, 2, 14, 15)])
    assert trusted(away, [0, 1, 2, 14, 15]).all(), "who is not seen for a while may have moved"


# ---- the square ----------------------------------------------------------------------------------

@pytest.mark.parametrize("step", [0, 4, 12])
@pytest.mark.parametrize("with_hair", [False, True])
def test_every_landmark_lies_inside_the_square(step, with_hair):
    marks = faces(*[(60 + step * t, 120) for t in range(90)])
    outlines = None
    if with_hair:
        outlines = np.concatenate([marks.min(1) - [20, 80], marks.max(1) + [20, 40]], 1)
    left, top, side = framing.crop_box(marks, (1280, 240), outlines)
    assert (marks >= [left, top]).all() and (marks <= [left + side, top + side]).all()
    assert side <= max(240, np.ptp(marks[..., 0]) * 1.1), "no larger than it must be"


def test_hair_is_cut_off_before_the_square_leaves_the_picture():
    marks = faces((256, 150), scale=2.4)
    outlines = np.array([[-80.0, -100, 600, 560]])
    assert framing.crop_box(marks, (512, 512), outlines) == (0, 0, 512)
    assert framing.crop_box(faces((256, 200)), (512, 512))[2] < 400, "a small head, a small square"


def test_the_head_with_hair_is_found_in_the_matte():
    matte, marks = np.zeros((400, 500), np.uint8), FACE + [250, 200]
    face, chin = framing.face_heights(marks[None])[0], marks[:, 1].max()
    cv2.ellipse(matte, (250, 170), (90, 130), 0, 0, 360, 255, -1)       # head with hair
    cv2.rectangle(matte, (100, int(chin) + 30), (400, 399), 255, -1)    # shoulders
    cv2.circle(matte, (450, 60), 25, 255, -1)                           # somebody else
    left, top, right, bottom = framing.head_outline(matte, marks)
    room = framing.ROOM * face
    assert left == pytest.approx(160 - room, abs=2) and right == pytest.approx(341 + room, abs=2)
    assert top == pytest.approx(40 - room, abs=2)
    assert bottom == pytest.approx(chin + framing.NECK * face, abs=2), "the chest is not wanted"


def test_beyond_the_picture_its_edge_is_repeated():
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    out = framing.cut(image, (-10, -5, 70), 70)
    np.testing.assert_array_equal(out[5:45, 10:70], image)
    np.testing.assert_array_equal(out[:5, 10:70], np.repeat(image[:1], 5, 0))
    np.testing.assert_array_equal(out[50, 10:70], image[-1])
    np.testing.assert_array_equal(framing.cut(image, (3, 4, 20), 20), image[4:24, 3:23])


@pytest.mark.parametrize("box,size", [((30, 10, 400), 64), ((0, 0, 100), 256), ((77, 3, 251), 128),
                                      ((-40, -20, 480), 96)])
def test_a_crop_moves_camera_and_pixels_alike(box, size):
    K = np.array([[900.0, 0, 250], [0, 900, 260], [0, 0, 1]])
    camera = frontal_camera(10.0)
    points = np.random.default_rng(0).normal(size=(20, 3))
    before = project(points, K, camera)
    after = project(points, framing.move_camera(K, box, size), camera)
    np.testing.assert_allclose(after, (before - box[:2]) * size / box[2], atol=1e-9)
    # the pixels too: the centre of mass of a blurred dot, coordinates at +0.5
    y, x = np.mgrid[:512, :512] + 0.5
    centre = np.array([box[0] + 0.4 * box[2], box[1] + 0.7 * box[2]])
    dot = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (box[2] / 20) ** 2))
    small = framing.cut(np.repeat(dot[..., None], 3, 2).astype(np.float32), box, size)[..., 0]
    v, u = np.mgrid[:size, :size] + 0.5
    got = np.array([(small * u).sum(), (small * v).sum()]) / small.sum()
    np.testing.assert_allclose(got, (centre - box[:2]) * size / box[2], atol=0.02 * size / 64)


# ---- the background ------------------------------------------------------------------------------

def test_the_background_is_what_the_frames_show_of_it():
    rng = np.random.default_rng(1)
    wall = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (64, 64))
    frames, mattes = [], []
    for t in range(12):
        matte = np.zeros((64, 64), np.uint8)
        cv2.circle(matte, (15 + 3 * t, 34), 10, 255, -1)
        cv2.rectangle(matte, (28, 44), (34, 63), 255, -1)  # a body that never moves
        frames.append(np.where(matte[..., None] > 0, np.uint8(0), wall))
        mattes.append(matte)
    behind = framing.background(np.stack(frames), framing.behind_matte(np.stack(mattes)))
    seen = np.ones((64, 64), bool)
    seen[40:, 24:40] = False
    np.testing.assert_array_equal(behind[seen], wall[seen])
    assert behind[55, 31].sum() > 0, "where it is never seen it is filled from around"
