"""losses.py - Sec. 3.3 and 3.4, Eq. 2-9: everything that training minimises.

In: images (B, 3, H, W) in [0, 1], face masks (B, 1, H, W), latent codes (B, d), lip and audio
features (B, d). Out: one scalar per loss. Each equation is a function, to be read beside the paper.

Eq. 4, 5 and 7 are written with norms over whole images. We take means over pixels and channels
instead of sums, so that the weights of Eq. 2 do not depend on the resolution. Next: audio.py.
"""
from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tools.errors import InputError, first_line

VGG_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"  # Simonyan, Zisserman


def total_loss(l_rec: Tensor, l_dis: Tensor, l_v: Tensor, lambda_rec: float = 1.0,
               lambda_dis: float = 5.0, lambda_v: float = 10.0) -> Tensor:
    """Eq. 2: L_total = lambda_rec L_rec + lambda_dis L_dis + lambda_v L_v, all scalars.

    L_lips (Eq. 8) is not a term of it: the sync module is trained before the field, then frozen.
    """
    return lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v


def reconstruction_loss(l_per: Tensor, l_pho: Tensor, lambda_per: float = 1.0) -> Tensor:
    """Eq. 3: L_rec = L_per + L_pho.

    The paper has no `lambda_per`, that is, 1. Our presets take 0.005: see results.md, "What `paper`
    learns".
    """
    return lambda_per * l_per + l_pho


def perceptual_loss(phi: list[Tensor], phi_gt: list[Tensor]) -> Tensor:
    """Eq. 4: L_per = sum_i ||phi_i(I) - phi_i(I_GT)||^2, the sum of each layer's mean square.

    phi, phi_gt: VGG16 activations (B, C_i, H_i, W_i) of the rendered and the true image, per layer.
    Raises ValueError where the lists have unlike lengths.
    """
    return sum((a - b).square().mean() for a, b in zip(phi, phi_gt, strict=True))


def photometric_loss(image: Float[Tensor, "B 3 H W"], image_gt: Float[Tensor, "B 3 H W"],
                     m: Float[Tensor, "B 1 H W"]) -> Tensor:
    """Eq. 5: L_pho = ||m(I) - m(I_GT)||^2, with m(I) = m * I for a soft mask m in [0, 1].

    The mean is over all pixels and channels, masked or not, so a larger face weighs more.
    """
    return (m * image - m * image_gt).square().mean()


def disentangling_loss(codes: dict[str, Tensor], codes_ref: dict[str, Tensor],
                       weights: dict[str, float] | None = None) -> Tensor:
    """Eq. 6: L_dis = sum over id, ex, al, ill of lambda ||C - C_ref||^2, with C_ref the barred C.

    codes, codes_ref: {"id", "ex", "al", "ill"} -> (B, d); weights: name -> lambda, 1 where a name
    is missing. The squared norm is summed over the d entries of a code, as written, and averaged
    over the batch. C_ref has unit length and C starts there, so a value of 1 per code is far off.
    """
    weights = weights or {}
    terms = {name: (codes[name] - codes_ref[name]).square().sum(-1).mean() for name in codes}
    return sum(weights.get(name, 1.0) * term for name, term in terms.items())


def velocity_loss(image: Float[Tensor, "B 3 H W"], previous: Float[Tensor, "B 3 H W"],
                  image_gt: Float[Tensor, "B 3 H W"], previous_gt: Float[Tensor, "B 3 H W"]
                  ) -> Tensor:
    """Eq. 7: L_v = ||(I^j - I^(j-1)) - (I_GT^j - I_GT^(j-1))||_2, a norm that is not squared.

    Root mean square over pixels and channels of a frame pair, then the mean over the B pairs. The
    gradient of a root is infinite at 0, where a perfect render sits; there it is defined as 0.
    """
    error = (image - previous) - (image_gt - previous_gt)  # (B, 3, H, W)
    mean_square = error.flatten(1).square().mean(1)  # (B,)
    is_zero = mean_square == 0
    return torch.where(is_zero, 0.0, mean_square.masked_fill(is_zero, 1.0).sqrt()).mean()


def cosine_similarity(a: Float[Tensor, "*#batch d"], b: Float[Tensor, "*#batch d"]) -> Tensor:
    """Eq. 9: d(a, b) = a.b / (||a|| ||b||), in [-1, 1].

    The paper calls it a distance; larger means closer. Vectors lie along the last axis; the axes
    before it broadcast (the # in jaxtyping's shapes). A zero vector is 0 to everything, and no
    gradient flows to it; a short vector counts as much as a long one.
    """
    norms = (v.norm(dim=-1, keepdim=True) for v in (a, b))
    a, b = (v / norm.masked_fill(norm == 0, math.inf) for v, norm in zip((a, b), norms))
    return (a * b).sum(-1)


def info_nce(anchor: Float[Tensor, "B d"], positive: Float[Tensor, "B d"],
             negatives: Float[Tensor, "B N d"], tau: float = 0.5) -> Tensor:
    """Eq. 8: L = -log( exp(d+/tau) / (exp(d+/tau) + sum_N exp(d-/tau)) ), the mean over B anchors.

    For the lips the anchor is F_lip, the positive F_al of the same time, the N = 10 negatives F_al
    of other times. The latent code extractor (Sec. 3.3) uses the same function. At tau 0.5 and N
    = 10: best 0.168, chance ln 11 = 2.398, worst 6.304.
    """
    d_pos = cosine_similarity(anchor, positive)[:, None]  # (B, 1)
    d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)  # (B, N)
    logits = torch.cat([d_pos, d_neg], dim=1) / tau  # (B, 1 + N)
    return (logits.logsumexp(1) - logits[:, 0]).mean()  # the positive is in the denominator too


def info_nce_range(n_negatives: int = 10, tau: float = 0.5) -> tuple[float, float, float]:
    """Lowest, chance and highest value of Eq. 8: (0.168, 2.398, 6.304) in the paper's setting.

    Cosines lie in [-1, 1], so the loss cannot reach 0: at best d+ = 1 and every d- = -1.
    """
    spread = 2.0 / tau
    low = math.log1p(n_negatives * math.exp(-spread))
    high = math.log1p(n_negatives * math.exp(spread))
    return low, math.log(1 + n_negatives), high


def opacity_loss(opacity: Float[Tensor, "B 1 H W"], m: Float[Tensor, "B 1 H W"],
                 known: Float[Tensor, "B 1 H W"]) -> Tensor:
    """Not in the paper: mean square of accumulated opacity against the mask, where it is known.

    Without it a field can stay transparent, and the background image explains the face. `known` is
    1 where `m` can be trusted: everywhere for rendered meshes; only inside the face for a clip,
    whose mask says nothing about hair.
    """
    return (known * (opacity - m).square()).mean()


# ---- phi of Eq. 4 --------------------------------------------------------------------------------

class VGG16(nn.Module):
    """The 13 convolutions of VGG16; phi_i are the outputs relu1_2, relu2_2, relu3_3 and relu4_3.

    The paper does not name its layers; these four are those of its reference 40 (Johnson et al.).
    The layers keep the published key names (`features.0.weight` ...), so the usual weight file
    loads as it is; its classifier is unused.
    """

    LAYOUT = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M",
              512, 512, 512, "M", 512, 512, 512, "M")
    ENDS = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22}  # index in `features`

    def __init__(self, layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")):
        super().__init__()
        modules, channels = [], 3
        for entry in self.LAYOUT:
            if entry == "M":
                modules.append(nn.MaxPool2d(2))
                continue
            conv = nn.Conv2d(channels, entry, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # for --vgg random
            nn.init.zeros_(conv.bias)
            modules += [conv, nn.ReLU()]
            channels = entry
        self.features = nn.Sequential(*modules)
        self.layers = layers
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])  # of ImageNet
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """image in [0, 1] -> [phi_i (B, C_i, H / 2^i, W / 2^i)], i over `self.layers`."""
        x, phi = (image - self.mean) / self.std, []
        wanted = [self.ENDS[name] for name in self.layers]
        for i, module in enumerate(self.features):
            x = module(x)
            if i in wanted:
                phi.append(x.to(image))  # which autocast may have lowered
            if i == max(wanted):
                return phi


def load_vgg(source: str, layers: tuple[str, ...], seed: int = 0, device="cpu") -> VGG16 | None:
    """`--vgg`: "random" (seeded), "download" (published weights), "none", or a weight file's path.

    Raises InputError when the file is missing or is not VGG16's. Only tensors are unpickled.
    """
    if source == "none":
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vgg = VGG16(layers).to(device)
    if source == "random":
        return vgg
    try:
        if source == "download":
            state = torch.hub.load_state_dict_from_url(VGG_URL, None, "cpu", weights_only=True)
        else:
            state = torch.load(source, map_location="cpu", weights_only=True)
        vgg.load_state_dict({k: v for k, v in state.items() if k.startswith("features.")})
    except Exception as error:  # torch raises a different class for each way a file can be wrong
        why = f"VGG16 weights could not be loaded ({first_line(error, 200)})"
        raise InputError(f"{source}: {why}; give the path of vgg16-397923af.pth "
                         "(published weights) or use --vgg random") from error
    return vgg
