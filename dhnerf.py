"""dhnerf.py - Sec. 3.2, Eq. 1: the disentangling head NeRF and its latent codes.

    D(x, v, P_cam, C, F_lip) = (sigma(x), M(x)),   C = {C_id, C_ex, C_al, C_ill}

In: rays (from render.py, where P_cam enters), the four codes (B, d), the lip feature F_lip (B,
d_lip). Out: feature map M (B, 256, h, w) and, after the 2D neural renderer, image I (B, 3, H, W).

The wiring already disentangles, as in HeadNeRF: geometry sees C_id, C_ex and F_lip; only appearance
sees the view direction v, C_al and C_ill. So light and albedo cannot move the density; the opacity
that the 2D renderer makes of it they can, a little (classroom/ledger.md). Next: render.py.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from config import Config
from render import patches, pixel_rays, render_rays
from speed import sparse
from speed.chunks import in_chunks
from speed.precision import exact
from synthetic import bust

CODES = ("id", "ex", "al", "ill")  # the order of C in the paper
PIXEL_CHANNELS = 16  # of the 2D renderer at full resolution


def positional_encoding(x: Float[Tensor, "*batch 3"], n_freq: int) -> Float[Tensor, "*batch C"]:
    """NeRF Eq. 4 (the paper names none): x, then sin and cos of pi 2^k x for k < n_freq.

    C = 3 + 6 n_freq. x should lie in [-1, 1], one period of the slowest: -1 and 1 differ in x alone.
    """
    scale = math.pi * 2.0 ** torch.arange(n_freq, device=x.device, dtype=x.dtype)
    angles = (x[..., None, :] * scale[:, None]).flatten(-2)  # (..., 3 n_freq)
    return torch.cat([x, angles.sin(), angles.cos()], -1)


def keep_variance(layers: list[nn.Module], slope: float) -> None:
    """He initialisation for layers before a (leaky) ReLU.

    PyTorch's default shrinks the signal at each of them, by about 2.4 times: after five layers all
    points of space look alike, and for a long time only the mean colour is learnt.
    """
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, a=slope)
        nn.init.zeros_(layer.bias)


def code_bias(layer: nn.Linear, codes: list[Float[Tensor, "B _"]]) -> Float[Tensor, "B 1 1 W"]:
    """Eq. 1: what codes add to a layer on [x, c], W_c c, the same at all samples of a frame.

    layer: W_c, on the codes laid end to end. Codes have unit length; times sqrt(d) the d entries of
    each have unit variance, as a layer expects.
    """
    c = torch.cat([code * math.sqrt(code.shape[-1]) for code in codes], -1)  # (B, d)
    return layer(c)[:, None, None]


@dataclass(frozen=True)
class Conditions:
    """What C and F_lip of Eq. 1 become in the field: constants of a frame, computed once for it.

    geometry_bias: number of a layer of the geometry -> what is added to it, (B, 1, 1, W);
    appearance_bias: the same for the appearance's layer; planes (B, 3, C, s, s): learnt features of
    space, or None.
    """
    geometry_bias: dict[int, Tensor]
    appearance_bias: Tensor
    planes: Tensor | None

    def learnt(self, x: Float[Tensor, "B R S 3"]) -> Float[Tensor, "B R S C"]:
        """The features of the three planes (xy, xz, yz) at x in [-1, 1]^3, read bilinearly."""
        flat = x.flatten(1, 2)[:, None, :, None]  # (B, 1, N, 1, 3)
        at = torch.cat([flat[..., axes] for axes in ([0, 1], [0, 2], [1, 2])], 1)  # (B, 3, N, 1, 2)
        planes = self.planes.flatten(0, 1)  # (3 B, C, s, s)
        learnt = F.grid_sample(planes, at.flatten(0, 1), "bilinear", "border", False)
        learnt = learnt[..., 0].unflatten(0, (-1, 3)).flatten(1, 2).transpose(1, 2)  # (B, N, 3 C)
        return learnt.unflatten(1, x.shape[1:3])


AnyConditions = Conditions | sparse.OfSamples


class Field(nn.Module):
    """Eq. 1, `forward`: a conditional MLP, split where the paper's conditions split.

    Codes, F_lip and v are constants of a frame or of a ray. A layer on [x, c] is W_x x + W_c c, so
    W_c c is computed once for the frame or ray and added as a bias: the same numbers as
    concatenation, without a copy for every sample. Geometry comes first, then appearance.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        width, self.n_freq, self.box = cfg.width, cfg.n_freq_x, cfg.box
        self.n_freq_view, self.use_lip, self.solid = cfg.n_freq_v, cfg.sync, cfg.solid
        d_x, d_v = 3 + 6 * cfg.n_freq_x + 3 * cfg.plane_channels, 3 + 6 * cfg.n_freq_v
        d_geometry = cfg.d_id + cfg.d_ex + (cfg.d_lip if cfg.sync else 0)
        self.planes = None
        if cfg.plane_channels:  # see `encode`
            shape = 3, cfg.plane_channels, cfg.plane_size, cfg.plane_size
            self.planes = nn.Parameter(0.3 * torch.randn(shape))
            self.plane_basis = nn.Parameter(0.1 * torch.randn(cfg.plane_rank, *shape))
            self.plane_coefficients = nn.Linear(d_geometry, cfg.plane_rank)
        self.skip = cfg.depth // 2  # where the codes, and in a deep network x, enter again
        self.hidden = nn.ModuleList(nn.Linear(width if i else d_x, width) for i in range(cfg.depth))
        self.x_again = nn.Linear(d_x, width, bias=False) if cfg.depth > 4 else None
        codes_in = {str(i): nn.Linear(d_geometry, width, bias=False) for i in (0, self.skip)}
        self.codes_in = nn.ModuleDict(codes_in)
        self.density = nn.Linear(width, 1)
        self.appearance_x = nn.Linear(width, cfg.width_appearance)
        self.appearance_codes = nn.Linear(cfg.d_al + cfg.d_ill, cfg.width_appearance, bias=False)
        self.appearance_view = nn.Linear(d_v, cfg.width_appearance, bias=False)
        self.to_feature = nn.Linear(cfg.width_appearance, cfg.d_feature)  # after compositing
        keep_variance([*self.hidden, self.appearance_x], 0.0)
        if cfg.body:  # see `joined`; at the start the neck is 1.5 dm below the ears
            self.body_weight = nn.Linear(3, 1)
            self.body_weight.weight.data = torch.tensor([[0.0, -6.0, 0.0]])
            nn.init.constant_(self.body_weight.bias, -9.0)

    @exact
    def joined(self, x_head: Float[Tensor, "B R S 3"], x_body: Float[Tensor, "B R S 3"]
               ) -> Float[Tensor, "B R S 3"]:
        """Where the field is asked, of one point in the head's frame and in the body's.

        Sec. 4.5 wants no seam at the neck: one field has head and shoulders, and a learnt weight,
        which rises smoothly down the neck, says whose motion a point follows.
        """
        return x_head + torch.sigmoid(self.body_weight(x_body)) * (x_body - x_head)

    def forward(self, x: Float[Tensor, "B R S 3"], v: Float[Tensor, "B R 3"],
                conditions: Conditions
                ) -> tuple[Float[Tensor, "B R S"], Float[Tensor, "B R S C"]]:
        """Eq. 1 as it is written: D(x, v, C, F_lip) = (sigma(x), M(x)) at x (dm) seen along v.

        P_cam is in x and v, which render.py gives; C and F_lip are in `conditions`. Rendering asks
        for the parts: `geometry` and `appearance` per sample, then `feature_of_ray` once per ray.
        """
        sigma, h = self.geometry(x, conditions)
        return sigma, self.to_feature(self.appearance(h, v, conditions))

    def feature_of_ray(self, hidden: Float[Tensor, "B R A"], opacity: Float[Tensor, "B R"]
                       ) -> Float[Tensor, "B R C"]:
        """The shortcut beside `forward`: M of a ray from its composited hidden feature and opacity.

        Compositing is linear, sum_i w_i (W h_i + b) = W sum_i w_i h_i + b sum_i w_i, so the last
        linear layer is applied once per ray; its bias counts as often as there is head.
        """
        return F.linear(hidden, self.to_feature.weight) + opacity[..., None] * self.to_feature.bias

    def condition(self, codes: dict[str, Tensor], f_lip: Tensor | None) -> Conditions:
        """What the codes {"id": (B, d_id), ...} and F_lip (B, d_lip) add, once per frame."""
        of_geometry = [codes["id"], codes["ex"]] + ([f_lip] if self.use_lip else [])
        biases = {int(i): code_bias(layer, of_geometry) for i, layer in self.codes_in.items()}
        planes = None
        if self.planes is not None:
            entries = code_bias(self.plane_coefficients, of_geometry)[:, 0, 0]  # (B, rank)
            mixed = exact(torch.tensordot)(entries, self.plane_basis, 1)
            planes = self.planes + mixed  # (B, 3, C, s, s)
        appearance = code_bias(self.appearance_codes, [codes["al"], codes["ill"]])
        return Conditions(biases, appearance, planes)

    def encode(self, x: Float[Tensor, "B R S 3"], conditions: AnyConditions
               ) -> Float[Tensor, "B R S C"]:
        """What the MLP sees of x in [-1, 1]^3: sines and cosines, in `small` also learnt features.

        The learnt ones are three planes (xy, xz, yz) of feature vectors, read bilinearly, as in
        EG3D. Like the face of a morphable model they are a mean plus a basis times the codes. They
        are not in the paper: a laptop's few thousand iterations are too few for sines alone;
        `results.md` has the measured difference.
        """
        sines = positional_encoding(x, self.n_freq)
        return sines if self.planes is None else torch.cat([sines, conditions.learnt(x)], -1)

    def geometry(self, points: Float[Tensor, "B R S 3"], conditions: AnyConditions
                 ) -> tuple[Float[Tensor, "B R S"], Float[Tensor, "B R S W"]]:
        """sigma (1/dm) and the hidden layer before it, which see x, C_id, C_ex and F_lip only."""
        low, high = points.new_tensor(self.box[:3]), points.new_tensor(self.box[3:])
        h = encoded = self.encode((2 * points - low - high) / (high - low), conditions)
        for i, layer in enumerate(self.hidden):
            h = layer(h)
            if i in conditions.geometry_bias:
                h = h + conditions.geometry_bias[i]
            if i == self.skip and self.x_again is not None:
                h = h + self.x_again(encoded)
            h = F.relu(h, inplace=True)
        # At the start sigma = exp(-1.2) = 0.3: an optical depth near 1 through the head. Far above
        # 1 every ray is opaque at its first sample, and no gradient reaches the others. Skin needs
        # 20 and more, which exp reaches in few steps; softplus stays a fog for long, and a fog that
        # is seen from several sides blurs.
        logit = self.density(h).squeeze(-1).to(points) - 1.2
        if self.solid:
            logit = logit + self.solid * bust.inside(points)
        return torch.exp(logit.clamp(max=6.0)), h

    def appearance(self, h: Float[Tensor, "B R S W"], directions: Float[Tensor, "B R 3"],
                   conditions: Conditions) -> Float[Tensor, "B R S A"]:
        """The hidden appearance feature of each sample, from h of `geometry`, v, C_al and C_ill."""
        return self.appearance_of(h, self.ray_bias(directions, conditions)[..., None, :])

    def ray_bias(self, directions: Float[Tensor, "B R 3"], conditions: Conditions
                 ) -> Float[Tensor, "B R A"]:
        """What v, C_al and C_ill add to the appearance's layer, once per ray."""
        view = self.appearance_view(positional_encoding(directions, self.n_freq_view))
        return view + conditions.appearance_bias[:, :, 0]

    def appearance_of(self, h: Float[Tensor, "*batch W"], bias: Float[Tensor, "*#batch A"]
                      ) -> Float[Tensor, "*batch A"]:
        """The hidden appearance feature, from h and the `ray_bias` of each sample's ray."""
        return F.relu(self.appearance_x(h) + bias)


class NeuralRenderer(nn.Module):
    """Sec. 3.2: feature map M -> image, by Conv2d and leaky ReLU, at `upsample` times its size.

    A feature vector knows its whole block of upsample x upsample pixels: 1 x 1 convolutions write
    PIXEL_CHANNELS values for each of them, pixel_shuffle lays the blocks out, and two 3 x 3
    convolutions at full resolution join them. Most of the work is done where there are few pixels.
    Doubling bilinearly, with a convolution at each resolution, costs the same and blurs: 22.7
    against 28.1 dB on one take after 600 iterations. A fourth output channel refines the
    accumulated opacity, so that the outline can be sharper than the feature map's pixels. Colours
    are linear outputs around mid grey: a sigmoid would saturate on white and stop learning.
    """

    def __init__(self, d_feature: int, upsample: int, channels: int):
        super().__init__()
        self.upsample = upsample
        self.first = nn.Conv2d(d_feature, channels, 1)
        self.to_pixels = nn.Conv2d(channels, PIXEL_CHANNELS * upsample**2, 1)
        self.smooth = nn.Conv2d(PIXEL_CHANNELS, PIXEL_CHANNELS, 3, padding=1)
        self.to_rgba = nn.Conv2d(PIXEL_CHANNELS, 4, 3, padding=1)
        keep_variance([self.first, self.smooth], 0.2)

    def forward(self, M: Float[Tensor, "B C h w"], opacity: Float[Tensor, "B 1 h w"]
                ) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 1 H W"]]:
        """RGB (before the background, may leave [0, 1]) and opacity, both at full resolution."""
        x = F.leaky_relu(self.first(M), 0.2)
        x = F.leaky_relu(F.pixel_shuffle(self.to_pixels(x), self.upsample), 0.2)  # (B, 16, H, W)
        x = x + F.leaky_relu(self.smooth(x), 0.2)
        rgba = exact(self.to_rgba)(x)
        # Bilinear, pixel centres at +0.5: the convention of render.pixel_rays.
        opacity = F.interpolate(opacity, scale_factor=self.upsample, mode="bilinear",
                                align_corners=False)
        logit = torch.logit(opacity.clamp(1e-4, 1 - 1e-4))
        return 0.5 + rgba[:, :3], torch.sigmoid(logit + rgba[:, 3:])


class DHNeRF(nn.Module):
    """Eq. 1 and the 2D neural renderer: codes, F_lip and a camera in, an image out."""

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        self.rays_at_once: int | None = None  # all; else so many, for want of memory
        self.field = Field(cfg)
        self.neural_renderer = NeuralRenderer(cfg.d_feature, cfg.upsample, cfg.channels_2d)
        if cfg.body:
            self.body_share = nn.Parameter(torch.full((3,), 0.4))

    @exact
    def cam_to_body(self, cam_to_head: Float[Tensor, "B 4 4"], rest: Float[Tensor, "B 4 4"]
                    ) -> Float[Tensor, "B 4 4"]:
        """P_cam of the body, a frame that equals the head's where the head is at `rest`.

        The body does not turn with the head; of its shifts it takes a learnt share along each axis.
        """
        position = [-(P[:, :3, :3].transpose(1, 2) @ P[:, :3, 3:]) for P in (cam_to_head, rest)]
        shift = self.body_share[:, None] * (position[0] - position[1])  # (B, 3, 1) in the camera
        offset = rest[:, :3, 3:] - rest[:, :3, :3] @ shift
        return torch.cat([torch.cat([rest[:, :3, :3], offset], 2), rest[:, 3:]], 1)

    @exact
    def rays(self, K: Float[Tensor, "B 3 3"], P_cam: Float[Tensor, "B 4 4"],
             corner: Int[Tensor, "B 2"] | None) -> tuple[Tensor, Tensor]:
        """Origins and directions (B, R, 3) of all feature pixels, or of the patch at `corner`."""
        cfg, grid = self.cfg, self.cfg.size // self.cfg.upsample
        origins, directions = pixel_rays(K, P_cam, cfg.size, cfg.upsample)
        if corner is None:
            return origins, directions
        both = torch.cat([origins, directions], -1).transpose(1, 2)  # (B, 6, R)
        both = patches(both.unflatten(2, (grid, grid)), corner, cfg.patch)
        return both.flatten(2).transpose(1, 2).chunk(2, -1)

    def forward(self, codes: dict[str, Tensor], f_lip: Float[Tensor, "B d"] | None,
                K: Float[Tensor, "B 3 3"], cam_to_head: Float[Tensor, "B 4 4"],
                background: Float[Tensor, "B 3 H W"],
                generator: torch.Generator | Callable | None = None,
                corner: Int[Tensor, "B 2"] | None = None,
                rest: Float[Tensor, "B 4 4"] | None = None) -> dict[str, Tensor]:
        """Render B frames, or of each the patch of cfg.patch^2 feature pixels from `corner` on.

        codes: {"id", "ex", "al", "ill"} -> (B, d), unit length. f_lip: None where the sync module
        is off. corner: row and column in the feature map; the background is then that of the patch.
        rest: the mean of the clip's cam_to_head, where there is a body (`cfg.body`).
        Returns "image" (B, 3, H, W) over the background, "opacity" (B, 1, H, W), "M" (B, d_feature,
        h, w), and "opacity_field" (B, 1, h, w), the field's own before the 2D renderer refines it.
        """
        cfg = self.cfg
        grid = cfg.size // cfg.upsample if corner is None else cfg.patch
        body = self.rays(K, self.cam_to_body(cam_to_head, rest), corner) if cfg.body else None
        conditions = self.field.condition(codes, f_lip)
        render = render_rays
        if cfg.least and cfg.n_coarse >= sparse.MANY:  # the same from fewer samples
            least = cfg.least if torch.is_grad_enabled() else sparse.SEEN
            render = partial(sparse.render_rays, side=grid, least=least)
        rays = self.rays(K, cam_to_head, corner)
        hidden, opacity = in_chunks(self.rays_at_once, grid, render, self.field, conditions, *rays,
                                    cfg.box, cfg.n_coarse, cfg.n_fine, generator, body)
        M = self.field.feature_of_ray(hidden, opacity)
        M = M.transpose(1, 2).unflatten(2, (grid, grid))  # (B, d_feature, h, w)
        opacity = opacity.unflatten(1, (grid, grid))[:, None]
        rgb, full_opacity = self.neural_renderer(M, opacity)
        image = full_opacity * rgb + (1 - full_opacity) * background
        return {"image": image, "opacity": full_opacity, "opacity_field": opacity, "M": M}


class LatentCodes(nn.Module):
    """The learnable codes C of Sec. 3.1. They start at the reference codes (the paper's barred C).

    C_ex is free in every frame. What is known to be one thing is one parameter: one C_id per
    person, C_al per albedo, C_ill per light (HeadNeRF shares its codes so too). Gradients are
    sparse, so a step moves only the codes that it used.
    """

    def __init__(self, references: dict[str, Tensor], random: bool = False):
        """random: the codes start at random unit vectors, not at the references (ablation.py)."""
        super().__init__()
        self.tables = nn.ModuleDict()
        for name in CODES:
            start = references[name].clone()
            self.tables[name] = nn.Embedding.from_pretrained(start, freeze=False, sparse=True)
            self.register_buffer(f"ref_{name}", references[name].clone())
        if random:
            for table in self.tables.values():
                table.weight.data = F.normalize(torch.randn_like(table.weight), dim=-1)

    def forward(self, index: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Entries (B,) of each table -> codes C and references, each {"id": (B, d_id), ...}."""
        return ({name: self.tables[name](index[name]) for name in CODES},
                {name: getattr(self, f"ref_{name}")[index[name]] for name in CODES})

    def of_frames(self, frame: dict[str, Int[Tensor, "_"]]) -> "LatentCodes":
        """Of codes per frame, C_ex as it is, and one C_id, C_al and C_ill per label: of `frame`."""
        pick = lambda name, codes: codes[frame[name]] if name in frame else codes
        out = LatentCodes({name: pick(name, getattr(self, f"ref_{name}")) for name in CODES})
        for name, table in self.tables.items():
            out.tables[name].weight.data = pick(name, table.weight.data)
        return out


class LatentExtractor(nn.Module):
    """Sec. 3.3: the encoders of the reference codes (barred C), one small CNN with four heads.

    HeadNeRF, which the paper points to, has no image encoder. Input: the head, aligned by its
    stable landmarks, with the mouth region blanked (data/crops.py), so that no code can carry what
    the lips do. Outputs have unit length, because Eq. 8 compares directions only.
    """

    def __init__(self, cfg: Config):
        super().__init__()
        layers, channels = [], 3
        for width in (16, 32, 48, 64):
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.BatchNorm2d(width),
                       nn.LeakyReLU(0.2)]
            channels = width
        size = channels * (cfg.crop // 16) ** 2
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 192), nn.LeakyReLU(0.2))
        # Centred before they are brought to unit length: faces are so alike that all codes would
        # start almost parallel, where Eq. 8 has hardly a gradient. Without it the code of the
        # expression never learnt to see a blink.
        self.heads = nn.ModuleDict()
        for name in CODES:
            d = cfg.code_size(name)
            self.heads[name] = nn.Sequential(nn.Linear(192, d), nn.BatchNorm1d(d, affine=False))

    def forward(self, crops: Float[Tensor, "B 3 s s"]) -> dict[str, Tensor]:
        """Aligned head crops in [0, 1] -> codes {"id": (B, d_id), "ex": ..., ...}, unit length."""
        h = self.trunk(crops - 0.5)
        return {name: F.normalize(head(h), dim=-1) for name, head in self.heads.items()}
