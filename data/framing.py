"""framing.py - Sec. 3.1, 3.2: which frames of a clip are used, the square about the head, what is
behind it.

In:  landmarks (T, 68, 2) px, mattes (H, W) of some frames.
Out: frames that can be trusted; one square (left, top, side); K of the square; the background.
Read next: clip.py.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

JUMP = 0.35       # face heights between two neighbouring frames: no head moves so fast
RESIZED = 1.35    # nor changes its size by so much
ABOVE, BESIDE, BELOW = 0.8, 0.5, 0.45  # face heights of room about the landmarks, without a matte
NECK = 0.45       # face heights below the chin that are shown
ROOM = 0.06       # face heights between the hair and the square
FARTHEST_HAIR = 1.3  # face heights from the middle of the face: beyond it is no longer its head


def face_heights(landmarks: Float[np.ndarray, "T 68 2"]) -> Float[np.ndarray, " T"]:
    """Brows to chin, px, along the face's own axis, so that a tilted head is as high."""
    return np.linalg.norm(landmarks[:, 8] - landmarks[:, 19:25].mean(1), axis=-1)


def trusted(landmarks: Float[np.ndarray, "N 68 2"], ids: np.ndarray) -> Bool[np.ndarray, " N"]:
    """Which frames show the one head that the clip is about: a face, and no false detection.

    ids (N,): when each is shown, in frames. Where a face jumps or changes its size from one frame
    to the next, the clip is cut into stretches. The longest counts, and of the others those which
    go on from it, or lie where it has been: what a detector finds in the wallpaper does not.
    """
    seen = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
    good = np.zeros(len(landmarks), bool)
    if len(seen) == 0:
        return good
    marks, height = landmarks[seen], np.maximum(face_heights(landmarks[seen]), 1e-6)
    centre, usual = marks.mean(1), np.median(height)
    apart = np.diff(ids[seen])
    step = np.linalg.norm(np.diff(centre, axis=0), axis=1) / usual
    size = np.exp(np.abs(np.diff(np.log(height))))
    breaks = np.flatnonzero((step > JUMP * np.minimum(apart, 5)) | (size > RESIZED)) + 1
    stretches = np.split(np.arange(len(seen)), breaks)
    first = max(range(len(stretches)), key=lambda i: len(stretches[i]))
    longest = stretches[first]
    low, high = centre[longest].min(0) - usual * JUMP, centre[longest].max(0) + usual * JUMP
    small, large = height[longest].min() / RESIZED, height[longest].max() * RESIZED

    def joins(some: np.ndarray, one: int | np.integer, last: int | np.integer) -> bool:
        """Whether a stretch goes on from face `last` with its face `one`, or is where it was."""
        gap = min(abs(int(ids[seen[one]] - ids[seen[last]])), 5)
        goes_on = np.linalg.norm(centre[one] - centre[last]) <= JUMP * usual * gap
        inside = ((centre[some] >= low) & (centre[some] <= high)).all()
        same_size = height[some].min() >= small and height[some].max() <= large
        return bool((goes_on or inside) and same_size)

    good[seen[longest]] = True
    last = longest[-1]
    for some in stretches[first + 1:]:
        if joins(some, some[0], last):
            good[seen[some]], last = True, some[-1]
    last = longest[0]
    for some in stretches[:first][::-1]:
        if joins(some, some[-1], last):
            good[seen[some]], last = True, some[0]
    return good


def crop_box(landmarks: Float[np.ndarray, "T 68 2"], picture: tuple[int, int],
             outlines: Float[np.ndarray, "T 4"] | None = None) -> tuple[int, int, int]:
    """One square (left, top, side), whole px, around the head with its hair in all frames.

    picture: its (W, H). outlines: left, top, right and bottom of each head, see `head_outline`;
    None: there is no matte, and hair is where heads have it as a rule. Hair is cut off rather than
    that the square reaches beyond the picture; the landmarks of every frame lie inside it, even so.
    """
    face = np.median(face_heights(landmarks))
    inner = landmarks.min((0, 1)) - ROOM * face, landmarks.max((0, 1)) + ROOM * face
    if outlines is None:
        low = landmarks.min((0, 1)) - face * np.array([BESIDE, ABOVE])
        high = landmarks.max((0, 1)) + face * np.array([BESIDE, BELOW])
    else:
        low = np.minimum(outlines[:, :2].min(0), inner[0])
        high = np.maximum(outlines[:, 2:].max(0), inner[1])
    side = int(np.ceil((high - low).max()))
    side = max(min(side, *picture), int(np.ceil((inner[1] - inner[0]).max())) + 1)
    corner = (low + high) / 2 - side / 2
    corner[1] = high[1] - side  # what is left of the height goes above the hair, not to the chest
    corner = np.clip(corner, 0, np.maximum(np.array(picture) - side, 0))
    left, top = np.floor(np.clip(corner, inner[1] - side, inner[0])).astype(int)
    return int(left), int(top), side


def head_outline(matte: UInt8[np.ndarray, "H W"], marks: Float[np.ndarray, "68 2"]
                 ) -> Float[np.ndarray, " 4"]:
    """Left, top, right and bottom, px, of the head with hair and neck, from the person's matte.

    The neck is cut NECK below the chin. Only what hangs together with the face counts.
    """
    face, middle, chin = face_heights(marks[None])[0], marks[27:36].mean(0), marks[:, 1].max()
    person = (matte > 127).astype(np.uint8)
    person[int(max(chin, 0)):] = 0
    labels = cv2.connectedComponents(person)[1]
    at = np.clip(middle[::-1].astype(int), 0, np.array(matte.shape) - 1)
    rows, columns = np.nonzero((labels == labels[tuple(at)]) & (person > 0))
    low, high = marks.min(0), marks.max(0)
    if len(rows):
        reach = FARTHEST_HAIR * face
        own = (np.abs(columns - middle[0]) < reach) & (np.abs(rows - middle[1]) < 1.4 * reach)
        if own.any():
            low = np.minimum(low, [columns[own].min(), rows[own].min()])
            high = np.maximum(high, [columns[own].max() + 1, chin])
    return np.r_[low - ROOM * face, high[0] + ROOM * face, chin + NECK * face]


def shows_face(matte: UInt8[np.ndarray, "H W"], marks: Float[np.ndarray, "68 2"]) -> bool:
    """Whether most landmarks of brows, nose, eyes and mouth lie on the person of the matte."""
    limits = np.array(matte.shape[::-1]) - 1
    x, y = np.clip(marks[17:], 0, limits).astype(int).T
    return bool((matte[y, x] > 127).mean() > 0.5)


def cut(image: np.ndarray, box: tuple[int, int, int], size: int) -> np.ndarray:
    """The square of an image, size x size; beyond the picture its edge is repeated."""
    left, top, side = box
    height, width = image.shape[:2]
    beyond = [max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width)]
    inside = image[max(top, 0):top + side, max(left, 0):left + side]
    if any(beyond):
        inside = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE)
    how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    return cv2.resize(inside, (size, size), interpolation=how)


def move_camera(K: Float[np.ndarray, "3 3"], box: tuple[int, int, int], size: int
                ) -> Float[np.ndarray, "3 3"]:
    """K after cropping to box and scaling: u' = (u - left) size / side, pixel centres at +0.5."""
    left, top, side = box
    scale = size / side
    return np.diag([scale, scale, 1.0]) @ np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]) @ K


# ---- the background ------------------------------------------------------------------------------

def background(frames: UInt8[np.ndarray, "T H W 3"], hidden: Bool[np.ndarray, "T H W"]
               ) -> UInt8[np.ndarray, "H W 3"]:
    """What stands behind the head: the median over the frames that show it, inpainted elsewhere.

    hidden: where the person is in the way.
    """
    stack = np.ma.masked_array(frames, np.broadcast_to(hidden[..., None], (*hidden.shape, 3)))
    median = np.ma.median(stack, axis=0).filled(0).astype(np.uint8)
    return cv2.inpaint(median, hidden.all(0).astype(np.uint8), 3, cv2.INPAINT_TELEA)


def behind_matte(mattes: UInt8[np.ndarray, "T H W"]) -> Bool[np.ndarray, "T H W"]:
    """What a person hides, by the matte: a little more than it says, for its edge is soft."""
    grown = max(1, round(0.015 * mattes.shape[1]))
    return np.stack([cv2.dilate((matte > 12).astype(np.uint8), np.ones((3, 3), np.uint8),
                                iterations=grown) for matte in mattes]).astype(bool)


def behind_face(landmarks: Float[np.ndarray, "T 68 2"], size: int) -> Bool[np.ndarray, "T H W"]:
    """The same without a matte: the landmark hull, grown, and raised over forehead and hair."""
    heads = np.zeros((len(landmarks), size, size), np.uint8)
    for head, points in zip(heads, landmarks):
        face = np.ptp(points[:, 1])
        raised = points[17:27] - [0, 0.75 * face]  # brows, lifted over the hair
        hull = cv2.convexHull(np.concatenate([points, raised]).astype(np.float32))
        cv2.fillConvexPoly(head, hull.astype(int), 1)
        cv2.dilate(head, np.ones((3, 3), np.uint8), head, iterations=max(1, round(0.2 * face)))
    return heads.astype(bool)
