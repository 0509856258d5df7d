"""cameras.py - Sec. 3.2: P_cam where it is known, because a head is rendered and not tracked.

The camera stands still and the head moves. World = the room; head frame: x image right, y up, z out
of the face, dm; camera axes are OpenCV's. A P_cam known only by landmarks is tracking.py's matter.

In:  angles, or head_to_world (T, 4, 4).
Out: K (3, 3), cam_to_head (T, 4, 4), the paper's P_cam; pixels of points.
Read next: rasteriser.py.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

HEAD_HEIGHT = 2.55  # dm, chin to crown, hair included
CAMERA_DISTANCE = 12.0  # dm, five head heights: weak perspective, as in a portrait


def _sway(frames, fps, rng):
    """A smooth curve (T,) in [-1, 1]: three slow sines of random phase, the slower the stronger."""
    seconds = np.arange(frames) / fps
    weights = np.array([0.5, 0.3, 0.2])
    hertz = np.array([0.12, 0.3, 0.6]) * rng.uniform(0.75, 1.25, 3)
    return np.sin(2 * np.pi * (seconds[:, None] * hertz + rng.uniform(0, 1, 3))) @ weights


def head_motion(frames: int, fps: float, rng: np.random.Generator,
                degrees: tuple[float, float, float] = (18.0, 9.0, 5.0), shift: float = 0.08
                ) -> Float[np.ndarray, "{frames} 4 4"]:
    """head_to_world (T, 4, 4): smooth sway within degrees = (yaw, pitch, roll) and `shift` dm.

    Positive yaw turns the nose to image right, positive pitch turns it down, and positive roll
    tilts the crown to image left.
    """
    yaw, pitch, roll = (np.radians(limit) * _sway(frames, fps, rng) for limit in degrees)
    motion = np.tile(np.eye(4), (frames, 1, 1))
    motion[:, :3, :3] = turn(yaw, pitch, roll)
    motion[:, :3, 3] = np.stack([shift * _sway(frames, fps, rng) for _ in range(3)], axis=1)
    return motion


def turn(yaw: Float[np.ndarray, "*t"], pitch: Float[np.ndarray, "*t"], roll: Float[np.ndarray, "*t"]
         ) -> Float[np.ndarray, "*t 3 3"]:
    """Rotation (..., 3, 3) = R_y(yaw) R_x(pitch) R_z(roll), radians, head frame to world."""
    angles = np.stack([yaw, pitch, roll], axis=-1)
    rotations = Rotation.from_euler("YXZ", angles.reshape(-1, 3)).as_matrix()  # Y X Z: turned axes
    return rotations.reshape(*angles.shape, 3)


def default_camera(size: int) -> tuple[Float[np.ndarray, "3 3"], float]:
    """K (3, 3) for a square image and the camera's distance in dm; the head fills 85 % of it."""
    focal = 0.85 * size * CAMERA_DISTANCE / HEAD_HEIGHT
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return K, CAMERA_DISTANCE


def frontal_camera(distance: float) -> Float[np.ndarray, "4 4"]:
    """cam_to_head (4, 4) of a camera on the z axis, looking into the face: R = diag(1, -1, -1)."""
    camera = np.diag([1.0, -1.0, -1.0, 1.0])
    camera[2, 3] = distance
    return camera


def mean_pose(poses: Float[np.ndarray, "T 4 4"]) -> Float[np.ndarray, "4 4"]:
    """The mean of camera poses cam_to_head: of their rotations, and of the head's place in view."""
    turns = Rotation.from_matrix(poses[:, :3, :3])
    place = turns.inv().apply(-poses[:, :3, 3]).mean(0)  # the head's origin in the camera's axes
    mean = np.eye(4)
    mean[:3, :3] = turns.mean().as_matrix()
    mean[:3, 3] = -mean[:3, :3] @ place
    return mean


def camera_of_motion(head_to_world: Float[np.ndarray, "*t 4 4"], distance: float
                     ) -> Float[np.ndarray, "*t 4 4"]:
    """P_cam (..., 4, 4) of a fixed camera and a moving head: head_to_world^-1 cam_to_world."""
    return np.linalg.inv(head_to_world) @ frontal_camera(distance)


def project(points: Float[np.ndarray, "*T P 3"], K: Float[np.ndarray, "3 3"],
            cam_to_head: Float[np.ndarray, "*T 4 4"]) -> Float[np.ndarray, "*T P 2"]:
    """Head-frame points (..., P, 3) to pixels (..., P, 2) of the cameras (..., 4, 4)."""
    uvw = in_camera(points, cam_to_head) @ K.T
    return uvw[..., :2] / uvw[..., 2:]


def in_camera(points: Float[np.ndarray, "*T P 3"], cam_to_head: Float[np.ndarray, "*T 4 4"]
              ) -> Float[np.ndarray, "*T P 3"]:
    """Head-frame points in the camera's axes: X_cam = R^T (X_head - t), whose z is the depth."""
    return (points - cam_to_head[..., None, :3, 3]) @ cam_to_head[..., :3, :3]
