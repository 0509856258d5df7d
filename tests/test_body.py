"""test_body.py - Sec. 4.5, no seam at the neck: one field, of which a part does not follow the head."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.nn.functional import normalize

from config import CLIP, SMALL
from dhnerf import DHNeRF
from inference.rendering import turn_head
from synthetic import bust, cameras
from tracking import FLIP, generic_model

CFG = replace(SMALL, size=32, patch=0, n_coarse=6, n_fine=2, body=True, box=CLIP["box"])


def camera(yaw, place):
    """P_cam of a head turned by yaw degrees at `place` in the camera's axes, dm."""
    R = Rotation.from_euler("y", yaw, degrees=True).as_matrix().T @ FLIP
    P = np.eye(4)
    P[:3, :3], P[:3, 3] = R, -R @ np.array(place)
    return P


def batch(*poses):
    return torch.tensor(np.stack(poses), dtype=torch.float32)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DHNeRF(CFG).eval()


def test_the_mean_pose_is_the_mean_rotation_and_the_mean_place():
    poses = np.stack([camera(yaw, place) for yaw, place in ((-20, (1, 0, 9)), (20, (-1, 2, 11)))])
    np.testing.assert_allclose(cameras.mean_pose(poses), camera(0, (0, 1, 10)), atol=1e-12)


def test_a_point_follows_the_head_above_the_neck_and_the_body_below(model):
    head = torch.rand(1, 4, 3, 3)
    body = head + 1.0
    body[..., 1] = torch.tensor([1.0, -0.5, -1.5, -2.4]).view(1, 4, 1)
    share = ((model.field.joined(head, body) - head) / (body - head))[..., 0].detach().numpy()
    want = 1 / (1 + np.exp(6 * body[..., 1].numpy() + 9))
    np.testing.assert_allclose(share, want, atol=1e-4)
    assert (share[0, 0] < 1e-5).all() and share[0, 2] == pytest.approx(0.5) and (share[0, 3] > 0.99).all()


def test_the_body_does_not_turn_and_takes_a_share_of_the_heads_shifts(model):
    rest = batch(camera(3, (0.2, -0.1, 10)))
    turned = batch(camera(25, (0.2, -0.1, 10)))
    torch.testing.assert_close(model.cam_to_body(turned, rest), rest, atol=1e-5, rtol=0)
    moved = batch(camera(25, (1.2, 0.4, 8)))
    got = model.cam_to_body(moved, rest)[0].detach().numpy().astype(float)
    want = camera(3, np.array([0.2, -0.1, 10]) + model.body_share.detach().numpy() * [1, 0.5, -2])
    np.testing.assert_allclose(got, want, atol=1e-5)


def rendered(model, pose, rest):
    codes = {name: normalize(torch.ones(1, getattr(CFG, f"d_{name}")), dim=-1)
             for name in ("id", "ex", "al", "ill")}
    K = torch.tensor([[[100.0, 0, 16], [0, 100, 10], [0, 0, 1]]])  # the picture reaches from 1 to -2.2 dm
    with torch.no_grad():
        out = model(codes, torch.ones(1, CFG.d_lip) / CFG.d_lip**0.5, K, pose, torch.zeros(1, 3, 32, 32),
                    rest=rest)
    return out["opacity_field"][0]  # (1, 16, 16)


def test_the_shoulders_stand_while_the_head_turns(model):
    """The top of the picture (y about 1 dm) changes with the head, its foot (-2.1 dm) does not."""
    pose = camera(0, (0, 0, 10))
    rest = batch(pose)
    turned = batch(turn_head(pose[None], np.array([20.0]), np.array([0.0]))[0])
    change = (rendered(model, turned, rest) - rendered(model, rest, rest)).abs().mean((0, 2))
    assert change[-1] < 0.45 * change[:8].mean(), change


def test_without_a_turn_head_and_body_are_one(model):
    """At rest the body's frame is the head's: the same picture as a field without a body."""
    rest = batch(camera(8, (0.1, 0.2, 10)))
    single = DHNeRF(replace(CFG, body=False)).eval()
    single.load_state_dict({k: v for k, v in model.state_dict().items() if "body" not in k})
    torch.testing.assert_close(rendered(model, rest, rest), rendered(single, rest, None), atol=1e-4, rtol=1e-4)


def test_weight_and_share_learn(model):
    codes = {name: normalize(torch.ones(1, getattr(CFG, f"d_{name}")), dim=-1)
             for name in ("id", "ex", "al", "ill")}
    K = torch.tensor([[[100.0, 0, 16], [0, 100, 16], [0, 0, 1]]])
    out = model(codes, torch.ones(1, CFG.d_lip), K, batch(camera(15, (0.5, 0, 10))), torch.zeros(1, 3, 32, 32),
                rest=batch(camera(0, (0, 0, 10))))
    model.zero_grad()
    out["image"].square().mean().backward()
    for parameter in (model.body_share, *model.field.body_weight.parameters()):
        assert parameter.grad.abs().max() > 0


# ---- a rough bust

def test_the_bust_is_solid_where_a_head_is():
    """At the skull's middle, under the landmarks, in neck and chest; not before the face or beside the neck."""
    face = torch.tensor(generic_model().mean, dtype=torch.float32)
    within = bust.inside(torch.tensor([[0, 0.2, -0.15], [0, -1.3, -0.2], [0, -2.2, -0.4], [1.5, -2.2, -0.4]]))
    assert (within > 0.4).all() and within[0] == pytest.approx(1)
    outside = bust.inside(torch.tensor([[0, 0, 1.3], [1.3, 0, 0], [0.9, -1.1, 0], [0, 1.7, 0], [-1, -1.2, 0.2]]))
    assert (outside < 0).all() and bust.inside(torch.full((1, 3), 9.0)) == -1
    upper = face[np.r_[17:28, 36:48]] * 0.85  # brows, bridge of the nose and eyes, below the skin
    assert (bust.inside(upper) > 0).all()


def test_the_field_starts_denser_inside_the_bust_by_what_is_asked():
    torch.manual_seed(0)
    cfg = replace(CFG, solid=4.0)
    field = DHNeRF(cfg).field
    codes = {name: normalize(torch.ones(1, getattr(cfg, f"d_{name}")), dim=-1) for name in ("id", "ex", "al", "ill")}
    conditions = field.condition(codes, torch.ones(1, cfg.d_lip))
    points = torch.tensor([[[[0, 0.2, -0.15], [0.85, 0.2, -0.15], [0, 0.2, 3.0]]]])  # middle, surface, far away
    with torch.no_grad():
        dense, _ = field.geometry(points, conditions)
        field.solid = 0.0
        plain, _ = field.geometry(points, conditions)
    np.testing.assert_allclose((dense / plain).log()[0, 0].numpy(), [4, 0, -4], atol=1e-4)
