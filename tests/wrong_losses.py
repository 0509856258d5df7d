"""wrong_losses.py - answers to the exercises on Eq. 2 to 9 as students write them, wrong and right.

    WRONG = [(exercise, function, mistake or None), ...]     the mistake whose hint it must get; None: numbers alone
    RIGHT = [(exercise, function), ...]                      must pass, at every seed

They are written from the stubs, not from our source: loops, einsum, other library calls, own derivations.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

WRONG, RIGHT = [], []


def wrong(exercise, mistake=None):
    return lambda f: WRONG.append((exercise, f, mistake)) or f


def right(exercise):
    return lambda f: RIGHT.append((exercise, f)) or f


# ----------------------------------------------------------------------------------------------------- Eq. 2

@right("eq2")
def eq2_stacked(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    losses = torch.stack([l_rec, l_dis, l_v])
    return (losses * torch.tensor([lambda_rec, lambda_dis, lambda_v], dtype=losses.dtype)).sum()


@right("eq2")
def eq2_loop(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    total = torch.zeros(())
    for weight, loss in ((lambda_rec, l_rec), (lambda_dis, l_dis), (lambda_v, l_v)):
        if weight == 0:
            continue
        total = total + weight * loss
    return total + 0 * (l_rec + l_dis + l_v)


@right("eq2")
def eq2_skips_zero_weights(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    total = 0.0
    for weight, loss in zip([lambda_rec, lambda_dis, lambda_v], [l_rec, l_dis, l_v]):
        if weight:
            total = total + weight * loss
    return total


@right("eq2")
def eq2_dot(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return torch.dot(torch.stack((l_v, l_dis, l_rec)), l_v.new_tensor([lambda_v, lambda_dis, lambda_rec]))


@wrong("eq2", "no weights")
def eq2_plain_sum(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return sum([l_rec, l_dis, l_v])


@wrong("eq2", "weights ignored")
def eq2_numbers_of_the_paper(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return 1.0 * l_rec + 5.0 * l_dis + 10.0 * l_v


@wrong("eq2", "L_rec without its weight")
def eq2_rec_is_the_unit(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return l_rec + lambda_dis * l_dis + lambda_v * l_v


@wrong("eq2", "weights in the wrong order")
def eq2_list_mixed_up(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    losses, weights = [l_rec, l_v, l_dis], [lambda_rec, lambda_dis, lambda_v]
    return sum(w * l for w, l in zip(weights, losses))


@wrong("eq2", "zero taken for missing")
def eq2_default_by_or(l_rec, l_dis, l_v, lambda_rec=None, lambda_dis=None, lambda_v=None):
    return (lambda_rec or 1.0) * l_rec + (lambda_dis or 5.0) * l_dis + (lambda_v or 10.0) * l_v


@wrong("eq2", "weighted mean")
def eq2_average(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    w = torch.tensor([lambda_rec, lambda_dis, lambda_v])
    return (torch.stack([l_rec, l_dis, l_v]) * w / w.sum()).sum()


@wrong("eq2", "fixed dtype")
def eq2_float32_weights(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return torch.dot(torch.stack([l_rec, l_dis, l_v]), torch.tensor([lambda_rec, lambda_dis, lambda_v]))


@wrong("eq2", "mean for sum")
def eq2_mean(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return torch.stack([lambda_rec * l_rec, lambda_dis * l_dis, lambda_v * l_v]).mean()


@wrong("eq2", "no gradient")
def eq2_new_tensor(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    losses = torch.tensor([float(l_rec), float(l_dis), float(l_v)])
    return losses @ torch.tensor([lambda_rec, lambda_dis, lambda_v])


@wrong("eq2", "NumPy on the way")
def eq2_numpy(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    losses = np.array([l.numpy() for l in (l_rec, l_dis, l_v)])
    return torch.tensor(np.dot(losses, [lambda_rec, lambda_dis, lambda_v]))


@wrong("eq2", "an input cut off")
def eq2_detached_disentangling(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return lambda_rec * l_rec + lambda_dis * l_dis.detach() + lambda_v * l_v


@wrong("eq2", "velocity left out")
def eq2_two_terms(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return torch.add(lambda_rec * l_rec, l_dis, alpha=lambda_dis)


@wrong("eq2", "disentangling left out")
def eq2_overwritten_term(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    terms = {"rec": lambda_rec * l_rec, "v": lambda_dis * l_dis}
    terms["v"] = lambda_v * l_v
    return sum(terms.values())


@wrong("eq2")
def eq2_clamped(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return (lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v).clamp(max=10.0)


@wrong("eq2")
def eq2_weights_divide(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return l_rec / lambda_rec + l_dis / lambda_dis + l_v / lambda_v


@wrong("eq2")
def eq2_in_place(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    l_rec *= lambda_rec
    l_rec += lambda_dis * l_dis + lambda_v * l_v
    return l_rec


@wrong("eq2")
def eq2_weights_rotated(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return lambda_v * l_rec + lambda_rec * l_dis + lambda_dis * l_v


@wrong("eq2")
def eq2_one_element_vector(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return (lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v).reshape(1)


@wrong("eq2")
def eq2_with_an_epsilon(l_rec, l_dis, l_v, lambda_rec=1.0, lambda_dis=5.0, lambda_v=10.0):
    return lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v + 1e-8


# ----------------------------------------------------------------------------------------------------- Eq. 3

@right("eq3")
def eq3_other_order(l_per, l_pho, lambda_per=1.0):
    return l_pho + l_per * lambda_per


@right("eq3")
def eq3_lerp_free(l_per, l_pho, lambda_per=1.0):
    return torch.add(l_pho, l_per, alpha=lambda_per)


@right("eq3")
def eq3_stacked(l_per, l_pho, lambda_per=1.0):
    return torch.stack([torch.as_tensor(lambda_per) * l_per, l_pho]).sum()


@wrong("eq3", "weight ignored")
def eq3_as_in_the_paper(l_per, l_pho, lambda_per=1.0):
    return torch.stack((l_per, l_pho)).sum()


@wrong("eq3", "weight of our presets")
def eq3_as_in_the_docstring(l_per, l_pho, lambda_per=0.005):
    lambda_per = 0.005
    return lambda_per * l_per + l_pho


@wrong("eq3", "weight of our presets")
def eq3_own_default(l_per, l_pho, *_):
    return l_per.mul(0.005).add(l_pho)


@wrong("eq3", "weight on both")
def eq3_bracket(l_per, l_pho, lambda_per=1.0):
    return torch.mul(l_per + l_pho, lambda_per)


@wrong("eq3", "weight on the other loss")
def eq3_other(l_per, l_pho, lambda_per=1.0):
    return torch.add(l_per, l_pho, alpha=lambda_per)


@wrong("eq3", "weights that add up to 1")
def eq3_convex(l_per, l_pho, lambda_per=1.0):
    return torch.lerp(l_pho, l_per, lambda_per)


@wrong("eq3", "mean for sum")
def eq3_mean(l_per, l_pho, lambda_per=1.0):
    return torch.stack([lambda_per * l_per, l_pho]).mean()


@wrong("eq3", "weighted mean")
def eq3_normalised(l_per, l_pho, lambda_per=1.0):
    return (lambda_per * l_per + 1.0 * l_pho) / sum([lambda_per, 1.0])


@wrong("eq3", "zero taken for missing")
def eq3_if_weight(l_per, l_pho, lambda_per=None):
    if not lambda_per:
        lambda_per = 1.0
    return lambda_per * l_per + l_pho


@wrong("eq3", "photometric left out")
def eq3_per_alone(l_per, l_pho, lambda_per=1.0):
    l_rec = lambda_per * l_per
    l_rec + l_pho
    return l_rec


@wrong("eq3", "perceptual left out")
def eq3_pho_alone(l_per, l_pho, lambda_per=1.0):
    for loss, weight in ((l_per, lambda_per), (l_pho, 1.0)):
        total = weight * loss
    return total


@wrong("eq3", "squared again")
def eq3_squares(l_per, l_pho, lambda_per=1.0):
    return lambda_per * l_per ** 2 + l_pho ** 2


@wrong("eq3", "no gradient")
def eq3_items(l_per, l_pho, lambda_per=1.0):
    return lambda_per * l_per.item() + l_pho.item()


@wrong("eq3", "an input cut off")
def eq3_data(l_per, l_pho, lambda_per=1.0):
    return lambda_per * l_per.data + l_pho


@wrong("eq3", "NumPy on the way")
def eq3_numpy(l_per, l_pho, lambda_per=1.0):
    return lambda_per * torch.from_numpy(np.array(l_per.numpy())) + l_pho


@wrong("eq3")
def eq3_max(l_per, l_pho, lambda_per=1.0):
    return torch.maximum(lambda_per * l_per, l_pho)


@wrong("eq3")
def eq3_length(l_per, l_pho, lambda_per=1.0):
    return torch.sqrt((lambda_per * l_per) ** 2 + l_pho ** 2)


@wrong("eq3")
def eq3_in_place(l_per, l_pho, lambda_per=1.0):
    l_pho += lambda_per * l_per
    return l_pho


@wrong("eq3")
def eq3_weight_at_most_1(l_per, l_pho, lambda_per=1.0):
    return min(lambda_per, 1.0) * l_per + l_pho


# ----------------------------------------------------------------------------------------------------- Eq. 4

@right("eq4")
def eq4_loop(phi, phi_gt):
    if len(phi) != len(phi_gt):
        raise ValueError("unlike numbers of layers")
    loss = 0
    for i in range(len(phi)):
        loss = loss + F.mse_loss(phi[i], phi_gt[i])
    return loss


@right("eq4")
def eq4_sums_and_sizes(phi, phi_gt):
    terms = [((a - b) ** 2).sum() / a.numel() for a, b in zip(phi, phi_gt, strict=True)]
    return torch.stack(terms).sum()


@right("eq4")
def eq4_norms(phi, phi_gt):
    total = torch.zeros(())
    for a, b in list(zip(phi, phi_gt, strict=True)):
        n, c, h, w = a.shape
        total = total + torch.linalg.vector_norm(a - b).pow(2) / (n * c * h * w)
    return total


@right("eq4")
def eq4_einsum(phi, phi_gt):
    assert_same = len(phi) == len(phi_gt)
    if not assert_same:
        raise ValueError(f"{len(phi)} layers against {len(phi_gt)}")
    differences = [p.reshape(-1) - g.reshape(-1) for p, g in zip(phi, phi_gt)]
    return sum(torch.einsum("i,i->", d, d) / len(d) for d in differences)


@wrong("eq4", "no square")
def eq4_l1(phi, phi_gt):
    return sum(F.l1_loss(a, b) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "root of the mean square")
def eq4_rms(phi, phi_gt):
    return sum(torch.norm(a - b) / a.numel() ** 0.5 for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "mean over the layers")
def eq4_mean_of_layers(phi, phi_gt):
    return torch.stack([F.mse_loss(a, b) for a, b in zip(phi, phi_gt, strict=True)]).mean()


@wrong("eq4", "sum for mean")
def eq4_squared_norm(phi, phi_gt):
    loss = 0.0
    for a, b in zip(phi, phi_gt, strict=True):
        loss = loss + torch.linalg.vector_norm(a - b) ** 2
    return loss


@wrong("eq4", "one mean over all entries")
def eq4_concatenated(phi, phi_gt):
    flat, flat_gt = (torch.cat([x.reshape(-1) for x in p]) for p in (phi, phi_gt))
    return F.mse_loss(flat, flat_gt)


@wrong("eq4", "sum over a sample")
def eq4_norm_of_a_sample(phi, phi_gt):
    return sum(((a - b) ** 2).sum((1, 2, 3)).mean() for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "channels summed")
def eq4_channels_summed(phi, phi_gt):
    total = 0
    for a, b in zip(phi, phi_gt, strict=True):
        n, _, h, w = a.shape
        total = total + (a - b).pow(2).sum() / (n * h * w)
    return total


@wrong("eq4", "first layer only")
def eq4_return_in_the_loop(phi, phi_gt):
    total = 0
    for a, b in zip(phi, phi_gt):
        total = total + F.mse_loss(a, b)
        return total


@wrong("eq4", "last layer only")
def eq4_overwritten(phi, phi_gt):
    for a, b in zip(phi, phi_gt, strict=True):
        loss = F.mse_loss(a, b)
    return loss


@wrong("eq4", "sum over the batch")
def eq4_loop_over_the_batch(phi, phi_gt):
    loss = 0
    for a, b in zip(phi, phi_gt, strict=True):
        for x, y in zip(a, b):
            loss = loss + F.mse_loss(x, y)
    return loss


@wrong("eq4", "last layer left out")
def eq4_off_by_one(phi, phi_gt):
    return sum(F.mse_loss(phi[i], phi_gt[i]) for i in range(len(phi) - 1))


@wrong("eq4", "first layer left out")
def eq4_counted_from_one(phi, phi_gt):
    return sum(F.mse_loss(phi[i], phi_gt[i]) for i in range(1, len(phi)))


@wrong("eq4", "first sample only")
def eq4_first_sample(phi, phi_gt):
    return sum(((a[0] - b[0]) ** 2).mean() for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "half of the square")
def eq4_half(phi, phi_gt):
    return sum(0.5 * F.mse_loss(a, b) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "mean before the square")
def eq4_square_of_the_mean(phi, phi_gt):
    return sum((a.mean() - b.mean()) ** 2 for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "Gram matrices")
def eq4_style(phi, phi_gt):
    def gram(x):
        b, c, h, w = x.shape
        x = x.view(b, c, h * w)
        return torch.bmm(x, x.transpose(1, 2)) / (c * h * w)

    return sum(F.mse_loss(gram(a), gram(b)) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "channels of length 1")
def eq4_lpips(phi, phi_gt):
    return sum(F.mse_loss(F.normalize(a, dim=1), F.normalize(b, dim=1)) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "layers left out in silence")
def eq4_zip(phi, phi_gt):
    return sum(F.mse_loss(a, b) for a, b in zip(phi, phi_gt))


@wrong("eq4", "layers left out in silence")
def eq4_by_index(phi, phi_gt):
    return sum(((phi[i] - phi_gt[i]) ** 2).mean() for i in range(len(phi)))


@wrong("eq4", "layers left out in silence")
def eq4_shorter_of_the_two(phi, phi_gt):
    return sum(((phi[i] - phi_gt[i]) ** 2).mean() for i in range(min(len(phi), len(phi_gt))))


@wrong("eq4", "an input cut off")
def eq4_target_detached(phi, phi_gt):
    return sum(F.mse_loss(a.detach(), b) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "no gradient")
def eq4_items(phi, phi_gt):
    return torch.tensor([F.mse_loss(a, b).item() for a, b in zip(phi, phi_gt, strict=True)], dtype=torch.float64).sum()


@wrong("eq4", "NumPy on the way")
def eq4_numpy(phi, phi_gt):
    return sum(np.mean((a.numpy() - b.numpy()) ** 2) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4", "one number per layer")
def eq4_one_number_per_layer(phi, phi_gt):
    return torch.stack([F.mse_loss(a, b) for a, b in zip(phi, phi_gt, strict=True)])


@wrong("eq4")
def eq4_hands_it_back(phi, phi_gt):
    return phi


@wrong("eq4")
def eq4_smooth(phi, phi_gt):
    return sum(2 * F.smooth_l1_loss(a, b) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4")
def eq4_stacked(phi, phi_gt):
    return ((torch.stack(phi) - torch.stack(phi_gt)) ** 2).mean((1, 2, 3, 4)).sum()


@wrong("eq4")
def eq4_in_place(phi, phi_gt):
    for a, b in zip(phi, phi_gt, strict=True):
        a -= b
    return sum(a.pow(2).mean() for a in phi)


@wrong("eq4")
def eq4_rectified(phi, phi_gt):
    return sum(F.mse_loss(F.relu(a), F.relu(b)) for a, b in zip(phi, phi_gt, strict=True))


@wrong("eq4")
def eq4_larger_layers_weigh_less(phi, phi_gt):
    return sum(F.mse_loss(a, b) / 2**i for i, (a, b) in enumerate(zip(phi, phi_gt, strict=True)))


# ----------------------------------------------------------------------------------------------------- Eq. 5

@right("eq5")
def eq5_mse(image, image_gt, m):
    return F.mse_loss(image * m, image_gt * m)


@right("eq5")
def eq5_squared_mask(image, image_gt, m):
    return (m**2 * (image - image_gt) ** 2).mean()


@right("eq5")
def eq5_loops(image, image_gt, m):
    total = torch.zeros(())
    for b in range(len(image)):
        for c in range(3):
            total = total + ((m[b, 0] * (image[b, c] - image_gt[b, c])) ** 2).sum()
    return total / image.numel()


@right("eq5")
def eq5_einsum(image, image_gt, m):
    difference = (image - image_gt) * m.expand(-1, 3, -1, -1)
    return torch.einsum("bchw,bchw->", difference, difference) / (3 * m.numel())


@wrong("eq5", "mask not squared")
def eq5_weighted_mse(image, image_gt, m):
    return (F.mse_loss(image, image_gt, reduction="none") * m).mean()


@wrong("eq5", "mask squared twice")
def eq5_masked_twice(image, image_gt, m):
    difference = m * image - m * image_gt
    return torch.mean((m * difference) ** 2)


@wrong("eq5", "divided by the mask's area")
def eq5_masked_mean(image, image_gt, m):
    squares = (m * image - m * image_gt) ** 2
    return squares.sum() / m.expand_as(image).sum()


@wrong("eq5", "divided by the sum of m")
def eq5_over_the_mask(image, image_gt, m):
    return ((m * (image - image_gt)) ** 2).sum() / m.sum()


@wrong("eq5", "sum for mean")
def eq5_norm(image, image_gt, m):
    return torch.linalg.vector_norm(m * image - m * image_gt) ** 2


@wrong("eq5", "channels summed")
def eq5_per_pixel(image, image_gt, m):
    return (m * image - m * image_gt).norm(dim=1).pow(2).mean()


@wrong("eq5", "mean over the batch alone")
def eq5_per_image(image, image_gt, m):
    per_image = (m * image - m * image_gt).flatten(1).norm(dim=1) ** 2
    return per_image.mean()


@wrong("eq5", "sum over the batch")
def eq5_loop_over_the_batch(image, image_gt, m):
    return sum(F.mse_loss(k * i, k * g) for i, g, k in zip(image, image_gt, m))


@wrong("eq5", "not averaged")
def eq5_map(image, image_gt, m):
    return F.mse_loss(image * m, image_gt * m, reduction="none")


@wrong("eq5", "no square")
def eq5_l1(image, image_gt, m):
    return F.l1_loss(m * image, m * image_gt)


@wrong("eq5", "root")
def eq5_rms(image, image_gt, m):
    return F.mse_loss(m * image, m * image_gt) ** 0.5


@wrong("eq5", "mask on one image only")
def eq5_render_masked(image, image_gt, m):
    return F.mse_loss(m * image, image_gt)


@wrong("eq5", "mask on the true image only")
def eq5_truth_masked(image, image_gt, m):
    return F.mse_loss(image, m * image_gt)


@wrong("eq5", "mask not used")
def eq5_whole_image(image, image_gt, m):
    return F.mse_loss(image, image_gt)


@wrong("eq5", "mask inverted")
def eq5_background(image, image_gt, m):
    return F.mse_loss(image.mul(1 - m), image_gt.mul(1 - m))


@wrong("eq5", "hard mask")
def eq5_where(image, image_gt, m):
    face = m > 0.5
    return F.mse_loss(torch.where(face, image, 0.0), torch.where(face, image_gt, 0.0))


@wrong("eq5", "images clamped")
def eq5_clamped(image, image_gt, m):
    image = torch.clamp(image, 0.0, 1.0)
    return ((m * image - m * image_gt) ** 2).mean()


@wrong("eq5", "first image only")
def eq5_first_image(image, image_gt, m):
    return ((m[0] * image[0] - m[0] * image_gt[0]) ** 2).mean()


@wrong("eq5", "first mask for all")
def eq5_first_mask(image, image_gt, m):
    mask = m[0, 0]
    return ((mask * image - mask * image_gt) ** 2).mean()


@wrong("eq5", "half of the square")
def eq5_half(image, image_gt, m):
    return 0.5 * torch.square(m * (image - image_gt)).mean()


@wrong("eq5", "mean before the square")
def eq5_square_of_the_mean(image, image_gt, m):
    return ((m * image).mean() - (m * image_gt).mean()) ** 2


@wrong("eq5", "an input cut off")
def eq5_target_without_gradient(image, image_gt, m):
    with torch.no_grad():
        target = m * image_gt
    return F.mse_loss(m * image, target)


@wrong("eq5", "no gradient")
def eq5_no_grad(image, image_gt, m):
    with torch.no_grad():
        return F.mse_loss(m * image, m * image_gt)


@wrong("eq5", "NumPy on the way")
def eq5_numpy(image, image_gt, m):
    a, b, mask = (x.numpy() for x in (image, image_gt, m))
    return torch.tensor(np.mean(np.square(mask * a - mask * b)))


@wrong("eq5", "an input cut off")
def eq5_mask_constant(image, image_gt, m):
    m = m.detach()
    return ((m * image - m * image_gt) ** 2).mean()


@wrong("eq5")
def eq5_mean_of_booleans(image, image_gt, m):
    return ((m * image - m * image_gt) ** 2).mean() / (m > 0.5).mean()


@wrong("eq5")
def eq5_in_place(image, image_gt, m):
    image *= m
    image_gt *= m
    return F.mse_loss(image, image_gt)


@wrong("eq5")
def eq5_first_channel(image, image_gt, m):
    return ((m * image - m * image_gt)[:, 0] ** 2).mean()


@wrong("eq5")
def eq5_mask_of_the_next_image(image, image_gt, m):
    return F.mse_loss(m * image, m.flip(0) * image_gt)


@wrong("eq5")
def eq5_chosen_pixels(image, image_gt, m):
    chosen = (m > 0).expand_as(image)
    return ((m * image - m * image_gt)[chosen] ** 2).mean()


@wrong("eq5")
def eq5_one_number_per_image(image, image_gt, m):
    return ((m * image - m * image_gt) ** 2).mean((1, 2, 3))


@wrong("eq5")
def eq5_mask_partly_detached(image, image_gt, m):
    return ((m * image - m.detach() * image_gt) ** 2).mean()


# ----------------------------------------------------------------------------------------------------- Eq. 6

NAMES = ("id", "ex", "al", "ill")


@right("eq6")
def eq6_four_names(codes, codes_ref, weights=None):
    if weights is None:
        weights = {}
    total = 0.0
    for name in NAMES:
        squared = torch.sum((codes[name] - codes_ref[name]) ** 2, dim=1)
        total = total + weights.get(name, 1.0) * squared.mean()
    return total


@right("eq6")
def eq6_norms(codes, codes_ref, weights=None):
    weights = {**dict.fromkeys(codes, 1.0), **(weights or {})}
    terms = [weights[k] * torch.linalg.norm(c - codes_ref[k], dim=-1).pow(2).mean() for k, c in codes.items()]
    return torch.stack(terms).sum()


@right("eq6")
def eq6_batch_loop(codes, codes_ref, weights=None):
    batch = len(codes["id"])
    total = torch.zeros(())
    for b in range(batch):
        for k in codes:
            d = codes[k][b] - codes_ref[k][b]
            weight = 1.0 if weights is None or k not in weights else weights[k]
            total = total + weight * (d @ d)
    return total / batch


@right("eq6")
def eq6_mse_times_d(codes, codes_ref, weights=None):
    return sum((1.0 if not weights or weights.get(k) is None else weights[k]) * c.shape[1] * F.mse_loss(c, codes_ref[k])
               for k, c in codes.items())


@wrong("eq6", "mean over the entries")
def eq6_mse(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1) * F.mse_loss(codes[k], codes_ref[k]) for k in NAMES)


@wrong("eq6", "sum over the batch")
def eq6_sum(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1) * F.mse_loss(codes[k], codes_ref[k], reduction="sum") for k in NAMES)


@wrong("eq6", "norm not squared")
def eq6_norm(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1) * (codes[k] - codes_ref[k]).norm(dim=1).mean() for k in NAMES)


@wrong("eq6", "no square")
def eq6_l1(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1) * (codes[k] - codes_ref[k]).abs().sum(1).mean() for k in NAMES)


@wrong("eq6", "one root over the batch")
def eq6_frobenius(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1) * torch.norm(codes[k] - codes_ref[k]) for k in NAMES)


@wrong("eq6", "weights ignored")
def eq6_unweighted(codes, codes_ref, weights=None):
    return sum(((codes[k] - codes_ref[k]) ** 2).sum(1).mean() for k in NAMES)


@wrong("eq6", "zero taken for missing")
def eq6_or(codes, codes_ref, weights=None):
    total = 0
    for k in NAMES:
        lam = (weights or {}).get(k, 0) or 1.0
        total = total + lam * (codes[k] - codes_ref[k]).pow(2).sum(1).mean()
    return total


@wrong("eq6", "missing taken for zero")
def eq6_only_given(codes, codes_ref, weights=None):
    if weights is None:
        weights = {k: 1.0 for k in codes}
    return sum(lam * (codes[k] - codes_ref[k]).pow(2).sum(1).mean() for k, lam in weights.items())


@wrong("eq6", "missing taken for zero")
def eq6_get_zero(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 0.0) * ((c - codes_ref[k]) ** 2).sum(1).mean() for k, c in codes.items())


@wrong("eq6", "missing key")
def eq6_brackets(codes, codes_ref, weights=None):
    if weights is None:
        weights = {k: 1.0 for k in codes}
    return sum(weights[k] * (codes[k] - codes_ref[k]).pow(2).sum(1).mean() for k in codes)


@wrong("eq6", "missing key")
def eq6_get_without_default(codes, codes_ref, weights=None):
    if weights is None:
        weights = {k: 1.0 for k in codes}
    return sum(weights.get(k) * (codes[k] - codes_ref[k]).pow(2).sum(1).mean() for k in codes)


@wrong("eq6", "no weights at all")
def eq6_none(codes, codes_ref, weights=None):
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).pow(2).sum(1).mean() for k in codes)


@wrong("eq6", "no weights at all")
def eq6_none_in(codes, codes_ref, weights=None):
    return sum((weights[k] if k in weights else 1.0) * (codes[k] - codes_ref[k]).pow(2).sum(1).mean() for k in codes)


@wrong("eq6", "references paired by position")
def eq6_zipped_references(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (c - r).pow(2).sum(1).mean()
               for (k, c), r in zip(codes.items(), codes_ref.values()))


@wrong("eq6", "lambdas paired by position")
def eq6_zipped_lambdas(codes, codes_ref, weights=None):
    lambdas = list((weights or {}).values())
    lambdas += [1.0] * (len(codes) - len(lambdas))
    return sum(lam * (codes[k] - codes_ref[k]).pow(2).sum(1).mean() for k, lam in zip(codes, lambdas))


@wrong("eq6", "all paired by position")
def eq6_zipped(codes, codes_ref, weights=None):
    lambdas = [1.0] * 4 if weights is None else weights.values()
    return sum(lam * (c - r).pow(2).sum(1).mean() for c, r, lam in zip(codes.values(), codes_ref.values(), lambdas))


@wrong("eq6", "weights inside the norm")
def eq6_weights_squared(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum((weights.get(k, 1.0) * (codes[k] - codes_ref[k])).square().sum(1).mean() for k in codes)


@wrong("eq6", "mean over the four codes")
def eq6_mean_of_four(codes, codes_ref, weights=None):
    weights = weights or {}
    return torch.stack([weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in codes]).mean()


@wrong("eq6", "weighted mean")
def eq6_weighted_mean(codes, codes_ref, weights=None):
    lam = {k: (weights or {}).get(k, 1.0) for k in codes}
    return sum(lam[k] * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in codes) / sum(lam.values())


@wrong("eq6", "id left out")
def eq6_three(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in ("ex", "al", "ill"))


@wrong("eq6", "last code only")
def eq6_overwritten(codes, codes_ref, weights=None):
    for k in codes:
        lam = weights[k] if weights and k in weights else 1.0
        loss = lam * (codes[k] - codes_ref[k]).square().sum(1).mean()
    return loss


@wrong("eq6", "first sample only")
def eq6_first_sample(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (codes[k][0] - codes_ref[k][0]).square().sum() for k in codes)


@wrong("eq6", "half of the square")
def eq6_half(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) / 2 * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in codes)


@wrong("eq6", "1 - cos")
def eq6_cosine(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (1 - F.cosine_similarity(codes[k], codes_ref[k])).mean() for k in codes)


@wrong("eq6", "codes normalised first")
def eq6_unit(codes, codes_ref, weights=None):
    weights = weights or {}
    unit = lambda x: x / x.norm(dim=-1, keepdim=True)
    return sum(weights.get(k, 1.0) * (unit(codes[k]) - unit(codes_ref[k])).square().sum(1).mean() for k in codes)


@wrong("eq6", "lengths compared")
def eq6_lengths(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (codes[k].norm(dim=1) - codes_ref[k].norm(dim=1)).square().mean() for k in codes)


@wrong("eq6", "codes cut off")
def eq6_codes_detached(codes, codes_ref, weights=None):
    weights, codes = weights or {}, {k: c.detach() for k, c in codes.items()}
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in codes)


@wrong("eq6", "references cut off")
def eq6_references_detached(codes, codes_ref, weights=None):
    weights, refs = weights or {}, {k: r.detach() for k, r in codes_ref.items()}
    return sum(weights.get(k, 1.0) * (codes[k] - refs[k]).square().sum(1).mean() for k in codes)


@wrong("eq6", "codes cut off")
def eq6_one_code_detached(codes, codes_ref, weights=None):
    weights, codes = weights or {}, {**codes, "ill": codes["ill"].detach()}
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in codes)


@wrong("eq6", "NumPy on the way")
def eq6_numpy(codes, codes_ref, weights=None):
    weights = weights or {}
    squares = {k: np.square(codes[k].numpy() - codes_ref[k].numpy()).sum(1).mean() for k in codes}
    return sum(weights.get(k, 1.0) * v for k, v in squares.items())


@wrong("eq6", "no gradient")
def eq6_item(codes, codes_ref, weights=None):
    weights, total = weights or {}, 0.0
    for k in codes:
        total += weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1).mean().item()
    return total


@wrong("eq6")
def eq6_in_place(codes, codes_ref, weights=None):
    for k in codes:
        codes[k] -= codes_ref[k]
    return sum((weights or {}).get(k, 1.0) * codes[k].square().sum(1).mean() for k in codes)


@wrong("eq6", "ill left out")
def eq6_light_forgotten(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1).mean() for k in ("id", "ex", "al"))


@wrong("eq6", "one number per sample")
def eq6_one_number_per_sample(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(1) for k in codes)


@wrong("eq6")
def eq6_dictionary(codes, codes_ref, weights=None):
    return {k: (codes[k] - codes_ref[k]).square().sum(1).mean() for k in codes}


@wrong("eq6")
def eq6_summed_down_the_batch(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * (codes[k] - codes_ref[k]).square().sum(0).mean() for k in codes)


@wrong("eq6")
def eq6_no_code_at_all(codes, codes_ref, weights=None):
    weights = weights or {}
    return sum(weights.get(k, 1.0) * codes[k].square().sum(1).mean() for k in codes)


# ----------------------------------------------------------------------------------------------------- Eq. 7

@right("eq7")
def eq7_pair_by_pair(image, previous, image_gt, previous_gt):
    total = 0 * image.sum() + 0 * previous.sum() + 0 * image_gt.sum() + 0 * previous_gt.sum()
    for i, p, g, q in zip(image, previous, image_gt, previous_gt):
        d = i - p - g + q
        if (d != 0).any():
            total = total + torch.sqrt((d**2).mean())
    return total / len(image)


@right("eq7")
def eq7_library_norm(image, previous, image_gt, previous_gt):
    """torch's norm has the gradient 0 at 0."""
    d = (image - image_gt) - (previous - previous_gt)
    return (d.flatten(1).norm(dim=1) / math.sqrt(d[0].numel())).mean()


@right("eq7")
def eq7_safe_where(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    squared = d.pow(2).mean(dim=(1, 2, 3))
    moved = squared > 0
    safe = torch.where(moved, squared, torch.ones_like(squared))
    return torch.where(moved, safe.sqrt(), torch.zeros_like(squared)).sum() / squared.shape[0]


@right("eq7")
def eq7_frobenius(image, previous, image_gt, previous_gt):
    velocity, velocity_gt = image - previous, image_gt - previous_gt
    return torch.stack([torch.linalg.vector_norm(v - w) / v.numel() ** 0.5
                        for v, w in zip(velocity, velocity_gt)]).mean()


def safe_root(x):
    return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)


@wrong("eq7", "squared")
def eq7_mse(image, previous, image_gt, previous_gt):
    return F.mse_loss(image - previous, image_gt - previous_gt)


@wrong("eq7", "no square")
def eq7_l1(image, previous, image_gt, previous_gt):
    return F.l1_loss(image - previous, image_gt - previous_gt)


@wrong("eq7", "velocities added")
def eq7_sign(image, previous, image_gt, previous_gt):
    d = image - previous + image_gt - previous_gt
    return safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7", "speeds compared")
def eq7_speeds(image, previous, image_gt, previous_gt):
    d = (image - previous).abs() - (image_gt - previous_gt).abs()
    return safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7", "norms subtracted")
def eq7_difference_of_norms(image, previous, image_gt, previous_gt):
    rms = lambda v: safe_root(v.square().mean((1, 2, 3)))
    return (rms(image - previous) - rms(image_gt - previous_gt)).abs().mean()


@wrong("eq7", "one root over the batch")
def eq7_one_root(image, previous, image_gt, previous_gt):
    return safe_root(F.mse_loss(image - previous, image_gt - previous_gt))


@wrong("eq7", "sum under the root")
def eq7_plain_norm(image, previous, image_gt, previous_gt):
    return torch.linalg.vector_norm((image - previous) - (image_gt - previous_gt), dim=(1, 2, 3)).mean()


@wrong("eq7", "divided outside the root")
def eq7_norm_over_entries(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return (d.flatten(1).norm(dim=1) / d[0].numel()).mean()


@wrong("eq7", "channels summed")
def eq7_channels_summed(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return safe_root(d.square().sum(1).mean((1, 2))).mean()


@wrong("eq7", "a norm for each pixel")
def eq7_pixels(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return safe_root(d.square().mean(1)).mean()


@wrong("eq7", "a norm for each channel")
def eq7_channels(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return safe_root(d.square().mean((2, 3))).mean()


@wrong("eq7", "sum over the pairs")
def eq7_sum(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return safe_root(d.square().mean((1, 2, 3))).sum()


@wrong("eq7", "first pair only")
def eq7_first(image, previous, image_gt, previous_gt):
    d = (image[0] - previous[0]) - (image_gt[0] - previous_gt[0])
    return safe_root(d.square().mean())


@wrong("eq7", "frames for velocities")
def eq7_frames(image, previous, image_gt, previous_gt):
    return safe_root((image - image_gt).square().mean((1, 2, 3))).mean()


@wrong("eq7", "true velocity left out")
def eq7_still(image, previous, image_gt, previous_gt):
    return safe_root((image - previous).square().mean((1, 2, 3))).mean()


@wrong("eq7", "no gradient at 0")
def eq7_root(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return d.square().mean((1, 2, 3)).sqrt().mean()


@wrong("eq7", "no gradient at 0")
def eq7_where_outside(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    squared = d.square().mean((1, 2, 3))
    return torch.where(squared > 0, squared.sqrt(), 0.0).mean()


@wrong("eq7", "no gradient at 0")
def eq7_power(image, previous, image_gt, previous_gt):
    return sum(((i - p - (g - q)) ** 2).mean() ** 0.5
               for i, p, g, q in zip(image, previous, image_gt, previous_gt)) / len(image)


@wrong("eq7", "no gradient beside a perfect pair")
def eq7_early_return(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    if torch.all(d == 0):
        return 0 * d.sum()
    return d.square().mean((1, 2, 3)).sqrt().mean()


@wrong("eq7")
def eq7_early_return_of_the_sum(image, previous, image_gt, previous_gt):
    """The sum is 0, its gradient is 1."""
    d = (image - previous) - (image_gt - previous_gt)
    return d.sum() if torch.all(d == 0) else safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7", "gradient of all pairs 0")
def eq7_zero_if_any(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    squared = d.square().mean((1, 2, 3))
    if (squared == 0).any():
        return squared.detach().sqrt().mean() + 0 * d.sum()
    return squared.sqrt().mean()


@wrong("eq7", "loss above 0")
def eq7_epsilon(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return torch.sqrt(d.square().mean((1, 2, 3)) + 1e-12).mean()


@wrong("eq7", "loss above 0")
def eq7_large_epsilon(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return torch.sqrt(d.square().mean((1, 2, 3)) + 1e-3).mean()


@wrong("eq7", "loss above 0")
def eq7_clamp(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return d.square().mean((1, 2, 3)).clamp_min(1e-10).sqrt().mean()


@wrong("eq7", "small errors suppressed")
def eq7_charbonnier(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return ((d.square().mean((1, 2, 3)) + 1e-12).sqrt() - 1e-6).mean()


@wrong("eq7", "small errors suppressed")
def eq7_threshold(image, previous, image_gt, previous_gt):
    losses = []
    for i, p, g, q in zip(image, previous, image_gt, previous_gt):
        squared = ((i - p) - (g - q)).square().mean()
        losses.append(squared.sqrt() if squared > 1e-8 else 0 * squared)
    return torch.stack(losses).mean()


@wrong("eq7", "perfect pairs left out")
def eq7_moved_only(image, previous, image_gt, previous_gt):
    d = ((image - previous) - (image_gt - previous_gt)).flatten(1)
    moved = d[(d != 0).any(1)]
    return moved.square().mean(1).sqrt().mean() if len(moved) else 0 * d.sum()


@wrong("eq7", "differences clamped")
def eq7_clamped(image, previous, image_gt, previous_gt):
    d = torch.clamp((image - previous) - (image_gt - previous_gt), -1.0, 1.0)
    return safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7", "previous frame cut off")
def eq7_previous_detached(image, previous, image_gt, previous_gt):
    with torch.no_grad():
        before = previous.clone()
    d = (image - before) - (image_gt - previous_gt)
    return safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7", "an input cut off")
def eq7_current_detached(image, previous, image_gt, previous_gt):
    d = (image.detach() - previous) - (image_gt - previous_gt)
    return safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7", "an input cut off")
def eq7_truth_detached(image, previous, image_gt, previous_gt):
    target = (image_gt - previous_gt).detach()
    return safe_root((image - previous - target).square().mean((1, 2, 3))).mean()


@wrong("eq7", "NumPy on the way")
def eq7_numpy(image, previous, image_gt, previous_gt):
    d = (image - previous).numpy() - (image_gt - previous_gt).numpy()
    return torch.tensor(np.sqrt((d**2).mean((1, 2, 3))).mean())


@wrong("eq7", "no gradient")
def eq7_float(image, previous, image_gt, previous_gt):
    d = (image - previous) - (image_gt - previous_gt)
    return torch.tensor([math.sqrt(x) for x in d.square().mean((1, 2, 3)).tolist()]).mean()


@wrong("eq7", "frames added")
def eq7_frames_of_the_wrong_clip(image, previous, image_gt, previous_gt):
    return safe_root(((image - previous_gt) - (image_gt - previous)).square().mean((1, 2, 3))).mean()


@wrong("eq7")
def eq7_all_pairs(image, previous, image_gt, previous_gt):
    d = (image[:, None] - previous[None]) - (image_gt[:, None] - previous_gt[None])
    return safe_root(d.square().mean((2, 3, 4))).mean()


@wrong("eq7", "one number per pair")
def eq7_one_number_per_pair(image, previous, image_gt, previous_gt):
    return safe_root(((image - previous) - (image_gt - previous_gt)).square().mean((1, 2, 3)))


@wrong("eq7")
def eq7_in_place(image, previous, image_gt, previous_gt):
    image -= previous
    image -= image_gt - previous_gt
    return safe_root(image.square().mean((1, 2, 3))).mean()


@wrong("eq7")
def eq7_hook(image, previous, image_gt, previous_gt):
    """The hook that is to remove NaN removes all gradients."""
    d = (image - previous) - (image_gt - previous_gt)
    if d.requires_grad:
        d.register_hook(lambda g: torch.zeros_like(g))
    return safe_root(d.square().mean((1, 2, 3))).mean()


@wrong("eq7")
def eq7_largest_difference(image, previous, image_gt, previous_gt):
    return ((image - previous) - (image_gt - previous_gt)).abs().amax((1, 2, 3)).mean()


# ----------------------------------------------------------------------------------------------------- Eq. 9

@right("eq9")
def eq9_masked(a, b):
    length_a, length_b = a.norm(dim=-1), b.norm(dim=-1)
    known = (length_a > 0) & (length_b > 0)
    safe = lambda n: torch.where(n > 0, n, torch.ones_like(n))
    cosine = (a / safe(length_a)[..., None] * (b / safe(length_b)[..., None])).sum(-1)
    return torch.where(known, cosine, torch.zeros_like(cosine))


@right("eq9")
def eq9_roots(a, b):
    squared = lambda v: (v * v).sum(-1)
    is_zero = (squared(a) == 0) | (squared(b) == 0)
    root = lambda v: torch.sqrt(torch.where(squared(v) == 0, 1.0, squared(v)))
    cosine = (a * b).sum(-1) / root(a) / root(b)
    return cosine.masked_fill(is_zero, 0.0)


@right("eq9")
def eq9_einsum(a, b):
    a, b = torch.broadcast_tensors(a, b)
    inverse = lambda v: 1 / torch.linalg.vector_norm(v, dim=-1).masked_fill((v == 0).all(-1), math.inf)
    return torch.einsum("...d,...d->...", a * inverse(a)[..., None], b * inverse(b)[..., None])


@right("eq9")
def eq9_loop(a, b):
    a, b = torch.broadcast_tensors(a, b)
    shape, rows = a.shape[:-1], []
    for x, y in zip(a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])):
        if not x.any() or not y.any():
            rows.append(0 * (x.sum() + y.sum()))
        else:
            rows.append(torch.dot(x / torch.sqrt(x @ x), y / torch.sqrt(y @ y)))
    return torch.stack(rows).reshape(shape)


@right("eq9")
def eq9_scaled_first(a, b):
    """Divided by the largest entry first, so that the squares cannot underflow."""
    def unit(v):
        largest = v.detach().abs().amax(-1, keepdim=True)
        v = v / torch.where(largest == 0, math.inf, largest)
        n = v.norm(dim=-1, keepdim=True)
        return v / torch.where(n == 0, math.inf, n)

    return torch.linalg.vecdot(*torch.broadcast_tensors(unit(a), unit(b)))


@wrong("eq9", "no norms")
def eq9_dot(a, b):
    return torch.einsum("...i,...i->...", *torch.broadcast_tensors(a, b))


@wrong("eq9", "one norm")
def eq9_half_normalised(a, b):
    return (F.normalize(a, dim=-1) * b).sum(-1)


@wrong("eq9", "norm of b alone")
def eq9_projection(a, b):
    return (a * F.normalize(b, dim=-1)).sum(-1)


@wrong("eq9", "squared norms")
def eq9_no_root(a, b):
    return (a * b).sum(-1) / ((a**2).sum(-1) * (b**2).sum(-1))


@wrong("eq9", "lengths added")
def eq9_sum_of_lengths(a, b):
    return (a * b).sum(-1) / (a.norm(dim=-1) + b.norm(dim=-1))


@wrong("eq9", "sums of absolute values")
def eq9_l1(a, b):
    return (F.normalize(a, p=1, dim=-1) * F.normalize(b, p=1, dim=-1)).sum(-1)


@wrong("eq9", "one sum over all vectors")
def eq9_whole_sum(a, b):
    return torch.sum(a * b) / (a.norm(dim=-1) * b.norm(dim=-1))


@wrong("eq9", "one length for all vectors")
def eq9_norm_of_everything(a, b):
    return (a * b).sum(-1) / (torch.norm(a) * torch.norm(b))


@wrong("eq9", "along another axis")
def eq9_first_axis(a, b):
    return (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0))


@wrong("eq9", "all as one vector")
def eq9_everything_as_one(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


@wrong("eq9", "mean of all pairs")
def eq9_mean(a, b):
    return F.cosine_similarity(a, b, dim=-1).mean()


@wrong("eq9", "one number for all pairs")
def eq9_sum_of_units(a, b):
    return (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum()


@wrong("eq9", "not summed")
def eq9_products(a, b):
    return a / a.norm(dim=-1, keepdim=True) * b / b.norm(dim=-1, keepdim=True)


@wrong("eq9", "axis kept")
def eq9_keepdim(a, b):
    return (a * b).sum(-1, keepdim=True) / (a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True))


@wrong("eq9", "all pairs")
def eq9_matrix(a, b):
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(-1, -2)


@wrong("eq9", "one minus")
def eq9_distance(a, b):
    return 1 - F.cosine_similarity(a, b, dim=-1)


@wrong("eq9", "angle")
def eq9_angle(a, b):
    return torch.arccos(F.cosine_similarity(a, b, dim=-1).clamp(-1, 1))


@wrong("eq9", "absolute value")
def eq9_absolute(a, b):
    return F.cosine_similarity(a, b, dim=-1).abs()


@wrong("eq9", "negative values cut off")
def eq9_relu(a, b):
    return F.relu(F.cosine_similarity(a, b, dim=-1))


@wrong("eq9", "moved to [0, 1]")
def eq9_zero_to_one(a, b):
    return 0.5 + 0.5 * F.cosine_similarity(a, b, dim=-1)


@wrong("eq9", "correlation")
def eq9_pearson(a, b):
    return F.cosine_similarity(a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True), dim=-1)


@wrong("eq9", "zero vector")
def eq9_unguarded(a, b):
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


@wrong("eq9", "no gradient at a zero vector")
def eq9_nan_to_num(a, b):
    length = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    return torch.nan_to_num((a / length[0] * (b / length[1])).sum(-1))


@wrong("eq9", "no gradient at a zero vector")
def eq9_where_outside(a, b):
    cosine = (a / a.norm(dim=-1, keepdim=True) * (b / b.norm(dim=-1, keepdim=True))).sum(-1)
    return torch.where(cosine.isnan(), 0.0, cosine)


@wrong("eq9", "gradient at a zero vector")
def eq9_divided_by_one(a, b):
    unit = lambda v: v / torch.where(v.norm(dim=-1, keepdim=True) > 0, v.norm(dim=-1, keepdim=True), 1.0)
    return (unit(a) * unit(b)).sum(-1)


@wrong("eq9", "gradient at a zero vector")
def eq9_tiny_bound(a, b):
    unit = lambda v: v / v.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    return (unit(a) * unit(b)).sum(-1)


@wrong("eq9", "short vectors")
def eq9_library(a, b):
    return F.cosine_similarity(a, b, dim=-1)


@wrong("eq9", "short vectors")
def eq9_epsilon_added(a, b):
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + 1e-8)


@wrong("eq9", "short vectors")
def eq9_product_bounded(a, b):
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)).clamp_min(1e-12)


@wrong("eq9", "short vectors")
def eq9_normalize(a, b):
    return (F.normalize(a, dim=-1) * F.normalize(b, dim=-1)).sum(-1)


@wrong("eq9", "lengths detached")
def eq9_constant_lengths(a, b):
    with torch.no_grad():
        scale = a.norm(dim=-1) * b.norm(dim=-1)
        scale[scale == 0] = math.inf
    return (a * b).sum(-1) / scale


@wrong("eq9", "clamped")
def eq9_clamped_inside(a, b):
    return eq9_masked(a, b).clamp(-1 + 1e-6, 1 - 1e-6)


@wrong("eq9", "an input cut off")
def eq9_a_detached(a, b):
    return eq9_masked(a.detach(), b)


@wrong("eq9", "an input cut off")
def eq9_b_detached(a, b):
    return eq9_masked(a, b.detach())


@wrong("eq9", "NumPy on the way")
def eq9_numpy(a, b):
    x, y = a.numpy(), b.numpy()
    n = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return torch.from_numpy(np.asarray(np.where(n == 0, 0, (x * y).sum(-1) / np.where(n == 0, 1, n))))


@wrong("eq9", "no gradient")
def eq9_no_grad(a, b):
    with torch.no_grad():
        return eq9_masked(a, b)


@wrong("eq9", "axis counted from the front")
def eq9_batch_of_vectors_only(a, b):
    n = a.norm(dim=1) * b.norm(dim=1)
    return (a * b).sum(1) / n


@wrong("eq9")
def eq9_in_place(a, b):
    a /= a.norm(dim=-1, keepdim=True)
    b /= b.norm(dim=-1, keepdim=True)
    return (a * b).sum(-1)


@wrong("eq9")
def eq9_largest_length(a, b):
    return (a * b).sum(-1) / torch.maximum(a.norm(dim=-1), b.norm(dim=-1)) ** 2


@wrong("eq9")
def eq9_squared_cosine(a, b):
    return eq9_masked(a, b) ** 2


@wrong("eq9")
def eq9_one_length_detached(a, b):
    n = a.norm(dim=-1, keepdim=True).detach()
    return eq9_masked(a / n.masked_fill(n == 0, math.inf), b) * 1.0 + (a * 0).sum(-1) + 0.001 * (a - a.detach()).sum(-1)


# ----------------------------------------------------------------------------------------------------- Eq. 8

def cosine(a, b):
    return F.cosine_similarity(a, b, dim=-1)


def both_cosines(anchor, positive, negatives):
    return cosine(anchor, positive), cosine(anchor[:, None], negatives)


@right("eq8")
def eq8_cross_entropy(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    logits = cosine(anchor[:, None], candidates) / tau
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long))


@right("eq8")
def eq8_loop(anchor, positive, negatives, tau=0.5):
    losses = []
    for a, p, others in zip(anchor, positive, negatives):
        logits = torch.stack([cosine(a, p)] + [cosine(a, n) for n in others]) / tau
        losses.append(-torch.log_softmax(logits, 0)[0])
    return sum(losses) / len(losses)


@right("eq8")
def eq8_softplus(anchor, positive, negatives, tau=0.5):
    """log(1 + sum exp((d- - d+) / tau))"""
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return F.softplus(torch.logsumexp((d_neg - d_pos[:, None]) / tau, 1)).mean()


@right("eq8")
def eq8_own_maximum(anchor, positive, negatives, tau=0.5):
    unit = lambda v: v / v.norm(dim=-1, keepdim=True)
    d_pos = torch.einsum("bd,bd->b", unit(anchor), unit(positive)) / tau
    d_neg = torch.einsum("bd,bnd->bn", unit(anchor), unit(negatives)) / tau
    logits = torch.cat([d_neg, d_pos[:, None]], 1)
    top = logits.max(1, keepdim=True).values.detach()
    total = (logits - top).exp().sum(1).log() + top[:, 0]
    return torch.mean(total - d_pos)


@wrong("eq8", "positive not in the denominator")
def eq8_negatives_only(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return (torch.logsumexp(d_neg / tau, 1) - d_pos / tau).mean()


@wrong("eq8", "mean over the negatives")
def eq8_mean_of_negatives(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    p, n = torch.exp(d_pos / tau), torch.exp(d_neg / tau).mean(1)
    return -torch.log(p / (p + n)).mean()


@wrong("eq8", "mean over the candidates")
def eq8_mean_of_candidates(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    e = torch.exp(torch.cat([d_pos[:, None], d_neg], 1) / tau)
    return -torch.log(e[:, 0] / e.mean(1)).mean()


@wrong("eq8", "positive twice")
def eq8_positive_twice(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    e = torch.exp(torch.cat([d_pos[:, None], d_neg], 1) / tau)
    return -torch.log(e[:, 0] / (e[:, 0] + e.sum(1))).mean()


@wrong("eq8", "batch rows besides the negatives")
def eq8_in_batch_too(anchor, positive, negatives, tau=0.5):
    across = cosine(anchor[:, None], positive[None])
    logits = torch.cat([across, cosine(anchor[:, None], negatives)], 1) / tau
    return F.cross_entropy(logits, torch.arange(len(anchor)))


@wrong("eq8", "batch rows for negatives")
def eq8_clip(anchor, positive, negatives, tau=0.5):
    unit_a, unit_p = F.normalize(anchor, dim=-1), F.normalize(positive, dim=-1)
    return F.cross_entropy(unit_a @ unit_p.T / tau, torch.arange(len(anchor)))


@wrong("eq8", "negatives of all anchors")
def eq8_all_negatives(anchor, positive, negatives, tau=0.5):
    pool = F.normalize(negatives.reshape(-1, negatives.shape[-1]), dim=-1)
    d_neg = F.normalize(anchor, dim=-1) @ pool.T
    logits = torch.cat([cosine(anchor, positive)[:, None], d_neg], 1) / tau
    return -logits.log_softmax(1)[:, 0].mean()


@wrong("eq8", "negatives of the first anchor")
def eq8_first_negatives(anchor, positive, negatives, tau=0.5):
    d_neg = cosine(anchor[:, None], negatives[0][None])
    logits = torch.cat([cosine(anchor, positive)[:, None], d_neg], 1) / tau
    return -logits.log_softmax(1)[:, 0].mean()


@wrong("eq8", "first negative only")
def eq8_one_negative(anchor, positive, negatives, tau=0.5):
    d_neg = cosine(anchor, negatives[:, 0])
    logits = torch.stack([cosine(anchor, positive), d_neg], 1) / tau
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long))


@wrong("eq8", "closest negative only")
def eq8_hardest(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return F.softplus((d_neg.max(1).values - d_pos) / tau).mean()


@wrong("eq8", "negatives averaged first")
def eq8_mean_negative(anchor, positive, negatives, tau=0.5):
    d_neg = cosine(anchor, negatives.mean(1))
    return F.softplus((d_neg - cosine(anchor, positive)) / tau).mean()


@wrong("eq8", "each negative by itself")
def eq8_sum_of_losses(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    total = 0
    for i in range(negatives.shape[1]):
        pair = torch.stack([d_pos, d_neg[:, i]], 1) / tau
        total = total - pair.log_softmax(1)[:, 0]
    return total.mean()


@wrong("eq8", "sigmoids")
def eq8_binary(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return -(F.logsigmoid(d_pos / tau) + F.logsigmoid(-d_neg / tau).sum(1)).mean()


@wrong("eq8", "negatives against the positive")
def eq8_wrong_partner(anchor, positive, negatives, tau=0.5):
    logits = torch.cat([cosine(anchor, positive)[:, None], cosine(positive[:, None], negatives)], 1) / tau
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long))


@wrong("eq8", "a negative taken for the positive")
def eq8_wrong_class(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    logits = torch.cat([d_pos[:, None], d_neg], 1) / tau
    return F.cross_entropy(logits, torch.full((len(anchor),), negatives.shape[1]))


@wrong("eq8", "dot product")
def eq8_dot(anchor, positive, negatives, tau=0.5):
    d_pos = torch.einsum("bd,bd->b", anchor, positive)
    d_neg = torch.einsum("bd,bnd->bn", anchor, negatives)
    return F.cross_entropy(torch.cat([d_pos[:, None], d_neg], 1) / tau, torch.zeros(len(anchor), dtype=torch.long))


@wrong("eq8", "cosine taken as a distance")
def eq8_one_minus(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    d_pos, d_neg = 1 - d_pos, 1 - d_neg
    logits = torch.cat([d_pos[:, None], d_neg], 1) / tau
    return (logits.logsumexp(1) - logits[:, 0]).mean()


@wrong("eq8", "cosine taken as a distance")
def eq8_minus(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return -torch.log_softmax(-cosine(anchor[:, None], candidates) / tau, 1)[:, 0].mean()


@wrong("eq8", "cosine moved to [0, 1]")
def eq8_similarity_from_0_to_1(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = (0.5 * (1 + d) for d in both_cosines(anchor, positive, negatives))
    return -torch.log_softmax(torch.cat([d_pos[:, None], d_neg], 1) / tau, 1)[:, 0].mean()


@wrong("eq8", "squared distances")
def eq8_euclidean(anchor, positive, negatives, tau=0.5):
    a, p, n = (F.normalize(x, dim=-1) for x in (anchor, positive, negatives))
    distances = torch.cat([(a - p).pow(2).sum(-1)[:, None], (a[:, None] - n).pow(2).sum(-1)], 1)
    return F.cross_entropy(-distances / tau, torch.zeros(len(a), dtype=torch.long))


@wrong("eq8", "tau forgotten")
def eq8_no_tau(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return -torch.log_softmax(cosine(anchor[:, None], candidates), 1)[:, 0].mean()


@wrong("eq8", "tau ignored")
def eq8_default_tau(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return -torch.log_softmax(2 * cosine(anchor[:, None], candidates), 1)[:, 0].mean()


@wrong("eq8", "tau on the wrong side")
def eq8_times_tau(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return -torch.log_softmax(tau * cosine(anchor[:, None], candidates), 1)[:, 0].mean()


@wrong("eq8", "tau outside")
def eq8_tau_last(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return (torch.logsumexp(torch.cat([d_pos[:, None], d_neg], 1), 1) - d_pos).mean() / tau


@wrong("eq8", "softmax over the anchors")
def eq8_dim_0(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return -torch.log_softmax(torch.cat([d_pos[:, None], d_neg], 1) / tau, 0)[:, 0].mean()


@wrong("eq8", "sum over the anchors")
def eq8_sum(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    logits = torch.cat([d_pos[:, None], d_neg], 1) / tau
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long), reduction="sum")


@wrong("eq8", "mean inside the logarithm")
def eq8_log_of_mean(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    p = torch.softmax(torch.cat([d_pos[:, None], d_neg], 1) / tau, 1)[:, 0]
    return -torch.log(p.mean())


@wrong("eq8", "first anchor only")
def eq8_returns_in_the_loop(anchor, positive, negatives, tau=0.5):
    for a, p, others in zip(anchor, positive, negatives):
        logits = torch.cat([cosine(a, p)[None], cosine(a, others)]) / tau
        return logits.logsumexp(0) - logits[0]


@wrong("eq8", "no minus")
def eq8_likelihood(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return torch.log_softmax(cosine(anchor[:, None], candidates) / tau, 1)[:, 0].mean()


@wrong("eq8", "no exponential")
def eq8_no_exp(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return -torch.log(d_pos / (d_pos + d_neg.sum(1))).mean()


@wrong("eq8", "no logarithm")
def eq8_no_log(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return -torch.softmax(cosine(anchor[:, None], candidates) / tau, 1)[:, 0].mean()


@wrong("eq8", "logarithm to base 2")
def eq8_log2(anchor, positive, negatives, tau=0.5):
    candidates = torch.cat([positive[:, None], negatives], 1)
    return -torch.log2(torch.softmax(cosine(anchor[:, None], candidates) / tau, 1)[:, 0]).mean()


@wrong("eq8", "overflow")
def eq8_as_written(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    p, n = torch.exp(d_pos / tau), torch.exp(d_neg / tau).sum(1)
    return -torch.log(p / (p + n)).mean()


@wrong("eq8", "overflow")
def eq8_log_of_softmax(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return -torch.softmax(torch.cat([d_pos[:, None], d_neg], 1) / tau, 1)[:, 0].log().mean()


@wrong("eq8", "overflow")
def eq8_one_over_p(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return torch.log(1 + torch.exp((d_neg - d_pos[:, None]) / tau).sum(1)).mean()


@wrong("eq8", "epsilon in the logarithm")
def eq8_epsilon(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    p = torch.softmax(torch.cat([d_pos[:, None], d_neg], 1) / tau, 1)[:, 0]
    return -torch.log(p + 1e-4).mean()


@wrong("eq8", "epsilon in the logarithm")
def eq8_bounded_fraction(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    p = torch.softmax(torch.cat([d_pos[:, None], d_neg], 1) / tau, 1)[:, 0]
    return -p.clamp_min(1e-10).log().mean()


@wrong("eq8", "one maximum for the batch")
def eq8_global_maximum(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    logits = torch.cat([d_pos[:, None], d_neg], 1) / tau
    logits = logits - logits.max()
    return (logits.exp().sum(1).log() - logits[:, 0]).mean()


@wrong("eq8", "anchor cut off")
def eq8_anchor_detached(anchor, positive, negatives, tau=0.5):
    return eq8_cross_entropy(anchor.detach(), positive, negatives, tau)


@wrong("eq8", "positive cut off")
def eq8_positive_detached(anchor, positive, negatives, tau=0.5):
    return eq8_cross_entropy(anchor, positive.detach(), negatives, tau)


@wrong("eq8", "negatives cut off")
def eq8_negatives_detached(anchor, positive, negatives, tau=0.5):
    with torch.no_grad():
        d_neg = cosine(anchor[:, None], negatives)
    logits = torch.cat([cosine(anchor, positive)[:, None], d_neg], 1) / tau
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long))


@wrong("eq8", "NumPy on the way")
def eq8_numpy(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = (d.numpy() / tau for d in both_cosines(anchor, positive, negatives))
    return torch.tensor(np.logaddexp.reduce(np.c_[d_pos, d_neg], axis=1) - d_pos).mean()


@wrong("eq8", "no gradient")
def eq8_items(anchor, positive, negatives, tau=0.5):
    return sum(eq8_cross_entropy(a[None], p[None], n[None], tau).item()
               for a, p, n in zip(anchor, positive, negatives)) / len(anchor)


@wrong("eq8")
def eq8_denominator_detached(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    logits = torch.cat([d_pos[:, None], d_neg], 1) / tau
    return (logits.logsumexp(1).detach() - logits[:, 0] + 0 * d_neg.sum(1)).mean()


@wrong("eq8", "logits clamped")
def eq8_logits_clamped(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    logits = (torch.cat([d_pos[:, None], d_neg], 1) / tau).clamp(-80, 80)
    return -torch.log(logits.exp()[:, 0] / logits.exp().sum(1)).mean()


@wrong("eq8", "one number per anchor")
def eq8_one_number_per_anchor(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    logits = torch.cat([d_pos[:, None], d_neg], 1) / tau
    return logits.logsumexp(1) - logits[:, 0]


@wrong("eq8")
def eq8_divided_by_candidates(anchor, positive, negatives, tau=0.5):
    return eq8_cross_entropy(anchor, positive, negatives, tau) / (1 + negatives.shape[1])


@wrong("eq8", "tau on the positive alone")
def eq8_tau_on_the_positive(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return (torch.logsumexp(torch.cat([d_pos[:, None] / tau, d_neg], 1), 1) - d_pos / tau).mean()


@wrong("eq8")
def eq8_margin(anchor, positive, negatives, tau=0.5):
    d_pos, d_neg = both_cosines(anchor, positive, negatives)
    return F.relu(tau + d_neg - d_pos[:, None]).sum(1).mean()
