"""mutants.py - what students do wrong in each exercise, as a change to our own source.

    MUTANTS[exercise][mistake] = (old text, new text)

The old text stands exactly once in the source of the exercise's function. test_exercises.py makes
each change, runs the check on what comes out, and wants it caught with the hint for that very
mistake and no other. The names of the mistakes are those of the exercise's hints, so no hint is
without proof.
"""

MUTANTS = {
    "eq1_encoding": {
        "without pi": ("math.pi * 2.0 **", "2.0 **"),
        "frequencies k, not 2^k": ("2.0 ** torch.arange", "torch.arange"),
        "begins at k = 1": ("2.0 ** torch", "2.0 * 2.0 ** torch"),
        "without x": ("[x, angles.sin()", "[angles.sin()"),
        "coordinates first": ("x[..., None, :] * scale[:, None]", "x[..., None] * scale"),
        "sines twice": ("angles.cos()", "angles.sin()")},
    "eq1_conditioning": {
        "codes not scaled": ("code * math.sqrt(code.shape[-1])", "code"),
        "scaled by d": ("math.sqrt(code.shape[-1])", "code.shape[-1]"),
        "one scale for all": ("math.sqrt(code.shape[-1])", "math.sqrt(layer.in_features)"),
        "codes in another order": ("for code in codes]", "for code in codes[::-1]]"),
        "batch taken for rays": ("layer(c)[:, None, None]", "layer(c)[None, :, None]")},
    "eq1_rays": {
        "pixel corners": ("+ 0.5) * stride", "+ 0.0) * stride"),
        "half an image pixel": ("+ 0.5) * stride", "* stride + 0.5)"),
        "rotation transposed": ("cam_to_head[:, :3, :3].transpose(1, 2)", "cam_to_head[:, :3, :3]"),
        "rows and columns swapped": ("v, u = torch.meshgrid", "u, v = torch.meshgrid"),
        "directions not of unit length": (
            "directions / directions.norm(dim=-1, keepdim=True)", "directions")},
    "eq1_weights": {
        "a sample shades itself": ("torch.cumsum(depth, -1) - depth", "torch.cumsum(depth, -1)"),
        "shifted, first from last": (
            "torch.cumsum(depth, -1) - depth", "torch.cumsum(depth, -1).roll(1, -1)"),
        "without transmittance": ("torch.exp(-before) * ", ""),
        "sigma delta for alpha": ("-torch.expm1(-depth)", "depth"),
        "interval forgotten": ("sigma * delta  #", "sigma  #"),
        "sum over the rays": ("torch.cumsum(depth, -1)", "torch.cumsum(depth, -2)")},
    "eq1_sampling": {
        "starts of the strata": ("0.5 if jitter is None", "0.0 if jitter is None"),
        "u from 0 to 1": ("(torch.arange(n, device=edges.device, dtype=edges.dtype) + offset) / n",
                          "torch.linspace(0, 1, n, dtype=edges.dtype)"),
        "jitter ignored": ("0.5 if jitter is None else jitter", "0.5"),
        "jitter and 1/2": ("is None else jitter", "is None else 0.5 + jitter"),
        "edges for positions": ("fraction.clamp(0, 1) * (edge_high - edge_low)", "0 * fraction"),
        "middles for positions": ("fraction.clamp(0, 1) * (edge_high", "0.5 * (edge_high"),
        "no leading 0": ("torch.cat([torch.zeros_like(cdf[..., :1]), cdf], -1)", "cdf"),
        "no -1 after searchsorted": ("right=True).clamp(", "right=True).add(1).clamp("),
        "no -1, beyond the bin": (
            "right=True).clamp(1, weights.shape[-1])\n"
            "    cdf_low, cdf_high = cdf.gather(-1, upper - 1), cdf.gather(-1, upper)\n"
            "    edge_low, edge_high = edges.gather(-1, upper - 1), edges.gather(-1, upper)\n"
            "    fraction = (u - cdf_low) / (cdf_high - cdf_low).clamp_min(1e-8)\n"
            "    return edge_low + fraction.clamp(0, 1)",
            "right=True).clamp(0, weights.shape[-1] - 1)\n"
            "    cdf_low, cdf_high = cdf.gather(-1, upper), cdf.gather(-1, upper + 1)\n"
            "    edge_low, edge_high = edges.gather(-1, upper), edges.gather(-1, upper + 1)\n"
            "    fraction = (u - cdf_low) / (cdf_high - cdf_low)\n"
            "    return edge_low + fraction"),
        "weights not normalised": ("pdf / pdf.sum(-1, keepdim=True)", "pdf"),
        "weights as densities": ("weights.detach()", "weights.detach() * edges.diff(dim=-1)"),
        "empty ray": ("weights.detach() + 1e-4", "weights.detach()"),
        "gradient": ("weights.detach() + 1e-4", "weights + 1e-4")},
    "eq2": {
        "weights in the wrong order": (
            "lambda_dis * l_dis + lambda_v * l_v", "lambda_v * l_dis + lambda_dis * l_v"),
        "weights ignored": (
            "lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v",
            "l_rec + 5 * l_dis + 10 * l_v"),
        "no weights": (
            "lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v", "l_rec + l_dis + l_v"),
        "velocity left out": (" + lambda_v * l_v", "")},
    "eq3": {
        "weight on the other loss": ("lambda_per * l_per + l_pho", "l_per + lambda_per * l_pho"),
        "weight on both": ("lambda_per * l_per + l_pho", "lambda_per * (l_per + l_pho)"),
        "weight ignored": ("lambda_per * l_per + l_pho", "l_per + l_pho"),
        "mean for sum": ("lambda_per * l_per + l_pho", "(lambda_per * l_per + l_pho) / 2")},
    "eq4": {
        "no square": ("(a - b).square().mean()", "(a - b).abs().mean()"),
        "root of the mean square": ("(a - b).square().mean()", "(a - b).square().mean().sqrt()"),
        "mean over the layers": ("strict=True))", "strict=True)) / len(phi)"),
        "sum for mean": ("(a - b).square().mean()", "(a - b).square().sum()"),
        "one mean over all entries": (
            "sum((a - b).square().mean() for a, b in zip(phi, phi_gt, strict=True))",
            "torch.cat([(a - b).flatten() for a, b in zip(phi, phi_gt)]).square().mean()")},
    "eq5": {
        "mask not squared": (
            "(m * image - m * image_gt).square()", "(m * (image - image_gt).square())"),
        "divided by the mask's area": ("(m * image - m * image_gt).square().mean()",
                                       "(m * image - m * image_gt).square().sum() / (3 * m.sum())"),
        "sum for mean": (".square().mean()", ".square().sum()"),
        "no square": (".square().mean()", ".abs().mean()"),
        "mask on one image only": ("m * image - m * image_gt", "m * image - image_gt")},
    "eq6": {
        "mean over the entries": (".square().sum(-1)", ".square().mean(-1)"),
        "sum over the batch": (".sum(-1).mean()", ".sum()"),
        "norm not squared": (".square().sum(-1).mean()", ".square().sum(-1).sqrt().mean()"),
        "weights ignored": ("weights.get(name, 1.0) * ", ""),
        "a code left out": ("for name in codes}", "for name in ('ex', 'al', 'ill')}")},
    "eq7": {
        "squared": (".masked_fill(is_zero, 1.0).sqrt()", ""),
        "velocities added": ("(image - previous) - (", "(image - previous) + ("),
        "one root over the batch": ("error.flatten(1).square().mean(1)", "error.square().mean()"),
        "sum under the root": (".square().mean(1)", ".square().sum(1)"),
        "frames for velocities": (
            "(image - previous) - (image_gt - previous_gt)", "image - image_gt"),
        "no gradient at 0": ("mean_square.masked_fill(is_zero, 1.0).sqrt()", "mean_square.sqrt()"),
        "previous frame cut off": ("(image - previous) - (", "(image - previous.detach()) - ("),
        "loss above 0": ("torch.where(is_zero, 0.0, mean_square.masked_fill(is_zero, 1.0).sqrt())",
                         "(mean_square + 1e-8).sqrt()")},
    "eq8": {
        "positive not in the denominator": ("logits.logsumexp(1)", "logits[:, 1:].logsumexp(1)"),
        "mean over the negatives": ("(logits.logsumexp(1) - logits[:, 0])",
                                    "(torch.logaddexp(logits[:, 0], logits[:, 1:].logsumexp(1)"
                                    " - math.log(negatives.shape[1])) - logits[:, 0])"),
        "batch rows for negatives": (
            "d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "d_neg = cosine_similarity(anchor[:, None], positive)"
            "[~torch.eye(len(anchor), dtype=torch.bool)].view(len(anchor), -1)"),
        "negatives of all anchors": (
            "d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "d_neg = cosine_similarity(anchor[:, None], negatives.flatten(0, 1))"),
        "dot product": (
            "cosine_similarity(anchor, positive)[:, None]  # (B, 1)\n"
            "    d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "(anchor * positive).sum(-1)[:, None]\n"
            "    d_neg = (anchor[:, None] * negatives).sum(-1)"),
        "tau forgotten": ("dim=1) / tau", "dim=1)"),
        "tau on the wrong side": ("dim=1) / tau", "dim=1) * tau"),
        "softmax over the wrong axis": ("logits.logsumexp(1)", "logits.logsumexp(0)"),
        "sum over the anchors": (".mean()", ".sum()"),
        "no minus": ("logits.logsumexp(1) - logits[:, 0]", "logits[:, 0] - logits.logsumexp(1)"),
        "overflow": ("logits.logsumexp(1)", "logits.exp().sum(1).log()")},
    "eq9": {
        "no norms": (" / norms.clamp_min(1e-8)", ""),
        "one norm": ("a.norm(dim=-1) * b.norm(dim=-1)", "a.norm(dim=-1)"),
        "squared norms": ("norms.clamp_min(1e-8)", "norms.square().clamp_min(1e-8)"),
        "one sum over all vectors": ("(a * b).sum(-1)", "(a * b).sum()"),
        "one minus": ("return (a * b).sum(-1)", "return 1 - (a * b).sum(-1)"),
        "zero vector": ("norms.clamp_min(1e-8)", "norms")},
    "camera": {
        "rotation not inverted": (".transpose(0, 2, 1)", ""),
        "position not turned": ("-(R_inverse @ pose[:, 3:, None])[..., 0]", "-pose[:, 3:]"),
        "position with the wrong sign": ("= -(R_inverse", "= (R_inverse"),
        "axes not flipped": ("R_inverse @ FLIP", "R_inverse"),
        "flip on the wrong side": ("R_inverse @ FLIP", "FLIP @ R_inverse")},
    "pose": {
        "rotation transposed": ("from_matrix(U @ Vt)", "from_matrix((U @ Vt).transpose(0, 2, 1))"),
        "y down": ("-K[1, 1]", "K[1, 1]"),
        "position not divided by the scale": ("affine[:, :, 3] / scale[:, None]", "affine[:, :, 3]"),
        "scale for depth": ("-1 / scale]", "-scale]"),
        "head behind the camera": ("-1 / scale]", "1 / scale]"),
        "cross product in the other order": ("np.cross(x, y)", "np.cross(y, x)"),
        "principal point forgotten": (" - K[:2, 2]", ""),
        "all points used": ("np.r_[0, 16, 27:36, 36, 39, 42, 45]", "np.arange(68)"),
        "landmark 35 left out": ("27:36", "27:35")},
    "light": {
        "order x, y, z": ("y, z, x, x * y", "x, y, z, x * y"),
        "without the constants": (" * SH_CONSTANTS.astype(normals.dtype)", ""),
        "3z^2 without -1": ("3 * z * z - 1", "3 * z * z"),
        "y^2 - x^2": ("x * x - y * y", "y * y - x * x")},
    "light_turned": {
        "rotation transposed": ("directions @ rotation.T", "directions @ rotation"),
        "not turned": ("directions @ rotation.T.astype(np.float64)", "directions"),
        "degree 2 left as it was": (
            "return turned.astype", "return np.r_[turned[:4], sh[4:]].astype"),
        "degree 1 taken as x, y, z": (
            "return turned.astype",
            "return np.r_[sh[:1], rotation.T @ sh[1:4], turned[4:]].astype")},
    "alignment": {
        "paired by index": (
            "frame_times[:, None] + offsets", "times[:len(frame_times), None] + offsets"),
        "window starts at the frame": (" - (window - 1) / 2", ""),
        "half a step off": ("(window - 1) / 2", "window // 2"),
        "window backwards": ("* STEP", "* -STEP"),
        "step in ms": ("* STEP", "* 20"),
        "nearest vector": ("((at - times[left]) / gap)", "np.round((at - times[left]) / gap)"),
        "neighbours swapped": ("(1 - weight) * features[left] + weight * features[right]",
                               "weight * features[left] + (1 - weight) * features[right]"),
        "first vector at 0 s": ("offsets = (", "times, offsets = times - times[0], ("),
        "beyond the ends": ("np.clip(frame_times[:, None] + offsets, times[0], times[-1])",
                            "frame_times[:, None] + offsets"),
        "zeros beyond the ends": (
            "return (",
            "return np.where(at == frame_times[:, None] + offsets, 1, 0)[..., None] * ("),
        "no array": (".astype(np.float32)", ".tolist()"),
        "not float32": (".astype(np.float32)", ".astype(np.float64)")},
    "sync": {
        "a confidence for each frame": (
            "np.median(mean) - mean.min()",
            "(np.nanmedian(distances, 1) - np.nanmin(distances, 1)).mean()"),
        "mean for median": ("np.median(mean)", "np.mean(mean)"),
        "largest for median": ("np.median(mean)", "np.max(mean)"),
        "offset with the other sign": ("distances.shape[1] // 2 - mean.argmin()",
                                       "mean.argmin() - distances.shape[1] // 2"),
        "index for offset": ("distances.shape[1] // 2 - mean.argmin()", "mean.argmin()"),
        "missing pairs counted": (".sum(0) / count", ".sum(0) / len(distances)")},
}
