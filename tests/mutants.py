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
        "axes not inverted": ("R_inverse @ FLIP", "R_inverse.transpose(0, 2, 1) @ FLIP"),
        "position turned forwards": ("-(R_inverse @", "-(R_inverse.transpose(0, 2, 1) @"),
        "position not turned": ("-(R_inverse @ pose[:, 3:, None])[..., 0]", "-pose[:, 3:]"),
        "position as it is": ("-(R_inverse @ pose[:, 3:, None])[..., 0]", "pose[:, 3:]"),
        "position left out": ("-(R_inverse @ pose[:, 3:, None])[..., 0]", "0"),
        "position with the wrong sign": ("= -(R_inverse", "= (R_inverse"),
        "axes not flipped": ("R_inverse @ FLIP", "R_inverse"),
        "flip on the wrong side": ("R_inverse @ FLIP", "FLIP @ R_inverse"),
        "flip on the position": ("pose[:, 3:, None]", "(pose[:, 3:] @ FLIP)[..., None]"),
        "flip of the whole inverse": (
            "return P_cam", "both = np.diag([1.0, -1, -1, 1])\n    return both @ P_cam @ both"),
        "only y flipped": ("R_inverse @ FLIP", "R_inverse @ np.diag([1.0, -1, 1])"),
        "head to camera": ("return P_cam", "return np.linalg.inv(P_cam)"),
        "pose for camera": (
            "return P_cam", "return np.diag([1.0, -1, -1, 1]) @ np.linalg.inv(P_cam)"),
        "position first": ("P_cam = np.tile", "pose = np.roll(pose, 3, 1)\n    P_cam = np.tile"),
        "Euler angles": ("from_rotvec(pose[:, :3])", "from_euler('xyz', pose[:, :3])"),
        "degrees": ("from_rotvec(pose[:, :3])", "from_rotvec(pose[:, :3], degrees=True)"),
        "first rotation for all": (".transpose(0, 2, 1)", ".transpose(0, 2, 1)[[0] * len(pose)]"),
        "first pose for all": ("return P_cam", "return P_cam[[0] * len(pose)]"),
        "no rotation, no axis": (
            "return P_cam", "P_cam[~pose[:, :3].any(1), :3] = np.nan\n    return P_cam"),
        "position in the last row": ("return P_cam", "return P_cam.transpose(0, 2, 1)"),
        "last row of zeros": ("return P_cam", "P_cam[:, 3] = 0\n    return P_cam"),
        "no last row": ("return P_cam", "return P_cam[:, :3]"),
        "all three axes reversed": (".transpose(0, 2, 1)", ".T")},
    "pose": {
        "rotation transposed": ("from_matrix(U @ Vt)", "from_matrix((U @ Vt).transpose(0, 2, 1))"),
        "y down": ("-K[1, 1]", "K[1, 1]"),
        "position not divided by the scale": ("affine[:, :, 3] / scale[:, None]", "affine[:, :, 3]"),
        "scale for depth": ("-1 / scale]", "-scale]"),
        "head behind the camera": ("-1 / scale]", "1 / scale]"),
        "principal point forgotten": (" - K[:2, 2]", ""),
        "principal point swapped": (" - K[:2, 2]", " - K[[1, 0], 2]"),
        "fx for both": ("-K[1, 1]", "-K[0, 0]"),
        "fy for both": ("[K[0, 0],", "[K[1, 1],"),
        "focal lengths swapped": ("[K[0, 0], -K[1, 1]]", "[K[1, 1], -K[0, 0]]"),
        "focal length forgotten": ("[K[0, 0], -K[1, 1]]", "[1, -1]"),
        "length of one row": (
            "(np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1)) / 2",
            "np.linalg.norm(x, axis=1)"),
        "length of the other row": (
            "(np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1)) / 2",
            "np.linalg.norm(y, axis=1)"),
        "sum of the lengths": ("np.linalg.norm(y, axis=1)) / 2", "np.linalg.norm(y, axis=1))"),
        "product of the lengths": (
            "(np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1)) / 2",
            "np.sqrt(np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))"),
        "unit rows": (
            "np.stack([x, y, np.cross(x, y) / scale[:, None]], 1)",
            "(lambda x, y: np.stack([x, y, np.cross(x, y)], 1))("
            "x / np.linalg.norm(x, axis=1)[:, None], y / np.linalg.norm(y, axis=1)[:, None])"),
        "Gram-Schmidt": (
            "np.stack([x, y, np.cross(x, y) / scale[:, None]], 1)",
            "(lambda x, y: np.stack([x, y, np.cross(x, y)], 1))("
            "x / np.linalg.norm(x, axis=1)[:, None], (lambda y: y / np.linalg.norm(y, axis=1)"
            "[:, None])(y - x * ((x * y).sum(1) / (x * x).sum(1))[:, None]))"),
        "position of the points' middle": ("np.c_[mean[rigid]", "np.c_[mean[rigid] - mean[rigid].mean(0)"),
        "Euler angles for the rotation vector": (".as_rotvec()", ".as_euler('xyz')"),
        "quaternion for the rotation vector": (".as_rotvec()", ".as_quat()"),
        "w in degrees": (".as_rotvec()", ".as_rotvec(degrees=True)"),
        "w after p": ("np.c_[w, affine[:, :, 3] / scale[:, None], -1 / scale]",
                      "np.c_[affine[:, :, 3] / scale[:, None], -1 / scale, w]"),
        "first frame for all frames": ("-1 / scale]", "-1 / scale][[0] * len(w)]"),
        "all points used": ("np.r_[0, 16, 27:36, 36, 39, 42, 45]", "np.arange(68)"),
        "landmark 35 left out": ("27:36", "27:35"),
        "landmarks counted from 1": ("39, 42, 45]", "39, 42, 45] - 1"),
        "points and landmarks not paired": ("np.c_[mean[rigid]", "np.c_[mean[:len(rigid)]"),
        "cross product in the other order": ("np.cross(x, y)", "np.cross(y, x)")},
    "light": {
        "order x, y, z": ("y, z, x, x * y", "x, y, z, x * y"),
        "xz before 3z^2 - 1": ("3 * z * z - 1, x * z", "x * z, 3 * z * z - 1"),
        "3z^2 - 1 last": ("3 * z * z - 1, x * z, x * x - y * y", "x * z, x * x - y * y, 3 * z * z - 1"),
        "without the constants": (" * SH_CONSTANTS.astype(normals.dtype)", ""),
        "divided by the constants": (" * SH_CONSTANTS", " / SH_CONSTANTS"),
        "one constant for each degree": ("* SH_CONSTANTS", "* SH_CONSTANTS[[0, 1, 1, 1, 4, 4, 4, 4, 4]]"),
        "3z^2 without -1": ("3 * z * z - 1", "3 * z * z"),
        "z^2 - 1": ("3 * z * z - 1", "z * z - 1"),
        "y^2 - x^2": ("x * x - y * y", "y * y - x * x"),
        "signs of physics": ("y, z, x, x * y, y * z, 3 * z * z - 1, x * z",
                             "-y, z, -x, x * y, -y * z, 3 * z * z - 1, -x * z"),
        "y and z swapped": ("x, y, z = np", "x, z, y = np"),
        "negative values cut off": ("np.stack(polynomials, axis=-1)",
                                    "np.stack(polynomials, axis=-1).clip(0)"),
        "without the constant light": (
            "np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)",
            "np.stack(polynomials[1:], axis=-1) * SH_CONSTANTS.astype(normals.dtype)[1:]"),
        "degree 2 left out": (
            "np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)",
            "np.stack(polynomials[:4], axis=-1) * SH_CONSTANTS.astype(normals.dtype)[:4]"),
        "harmonics along the first axis": (
            "np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)",
            "np.moveaxis(np.stack(polynomials, axis=-1) * SH_CONSTANTS, -1, 0)"),
        "coordinates from the first axis": ("np.moveaxis(normals, -1, 0)", "normals"),
        "1 without a shape": ("np.ones_like(x)", "1.0"),
        "not float32": (".astype(normals.dtype)", ""),
        "always float32": (
            "np.stack(polynomials, axis=-1) * SH_CONSTANTS.astype(normals.dtype)",
            "(np.stack(polynomials, axis=-1) * SH_CONSTANTS).astype(np.float32)")},
    "light_turned": {
        "rotation transposed": ("directions @ rotation.T", "directions @ rotation"),
        "not turned": ("directions @ rotation.T.astype(np.float64)", "directions"),
        "turned twice": ("rotation.T.astype", "(rotation @ rotation).T.astype"),
        "degree 1 left as it was": (
            "return turned.astype", "return np.r_[turned[:1], sh[1:4], turned[4:]].astype"),
        "degree 2 left as it was": (
            "return turned.astype", "return np.r_[turned[:4], sh[4:]].astype"),
        "degree 1 taken as x, y, z": (
            "return turned.astype",
            "return np.r_[sh[:1], rotation.T @ sh[1:4], turned[4:]].astype"),
        "only degree 1, as x, y, z": (
            "return turned.astype",
            "return np.r_[sh[:1], rotation.T @ sh[1:4], sh[4:]].astype"),
        "constant light lost": ("return turned.astype", "return np.r_[0 * sh[:1], turned[1:]].astype"),
        "degree 2 lost": ("return turned.astype", "return np.r_[turned[:4], 0 * sh[4:]].astype"),
        "one colour for all": ("return turned.astype", "return turned[:, [0, 0, 0]].astype"),
        "mean colour for all": (
            "return turned.astype", "return turned.mean(1, keepdims=True).repeat(3, 1).astype"),
        "constants twice": ("return turned", "return (turned * SH_CONSTANTS[:, None])"),
        "constants divided out": ("return turned", "return (turned / SH_CONSTANTS[:, None])"),
        "transposed result": ("return turned", "return turned.T")},
    "alignment": {
        "paired by index": (
            "frame_times[:, None] + offsets", "times[:len(frame_times), None] + offsets"),
        "window starts at the frame": (" - (window - 1) / 2", ""),
        "window ends at the frame": ("(window - 1) / 2", "(window - 1)"),
        "half a step off": ("(window - 1) / 2", "window / 2"),
        "half a step off where w is even": ("(window - 1) / 2", "window // 2"),
        "half a step late where w is even": ("(window - 1) / 2", "(window - 1) // 2"),
        "-w // 2": ("- (window - 1) / 2", "+ -window // 2"),
        "window too wide": (
            "(np.arange(window) - (window - 1) / 2)", "np.linspace(-window / 2, window / 2, window)"),
        "window backwards": ("* STEP", "* -STEP"),
        "no window": ("* STEP", "* 0"),
        "step in ms": ("* STEP", "* 20"),
        "frames' own step": ("* STEP", "* np.diff(frame_times).mean()"),
        "vectors' own step": ("* STEP", "* (times[-1] - times[0]) / max(len(times) - 1, 1)"),
        "20 ms between the vectors": (
            "offsets = (", "times, offsets = times[0] + STEP * np.arange(len(times)), ("),
        "window of vectors about the nearest": (
            "return (",
            "left = np.abs(times - frame_times[:, None]).argmin(1)[:, None] + np.arange(window)\n"
            "    right, weight = np.clip(left - window // 2, 0, len(times) - 1), 1\n"
            "    return (features[0] * 0 + "),
        "nearest vector": ("((at - times[left]) / gap)", "np.round((at - times[left]) / gap)"),
        "vector before": ("((at - times[left]) / gap)", "np.floor((at - times[left]) / gap)"),
        "neighbours swapped": ("(1 - weight) * features[left] + weight * features[right]",
                               "weight * features[left] + (1 - weight) * features[right]"),
        "first vector at 0 s": ("offsets = (", "times, offsets = times - times[0], ("),
        "beyond the ends": ("np.clip(frame_times[:, None] + offsets, times[0], times[-1])",
                            "frame_times[:, None] + offsets"),
        "zeros beyond the ends": (
            "return (",
            "return np.where(at == frame_times[:, None] + offsets, 1, 0)[..., None] * ("),
        "NaN beyond the ends": (
            "return (",
            "return np.where(at == frame_times[:, None] + offsets, 1, np.nan)[..., None] * ("),
        "frames clipped, not the window": (
            "frame_times[:, None] + offsets",
            "np.clip(frame_times, times[0], times[-1])[:, None] + offsets"),
        "vectors before windows": (".astype(np.float32)", ".astype(np.float32).transpose(0, 2, 1)"),
        "windows before frames": (".astype(np.float32)", ".astype(np.float32).transpose(1, 0, 2)"),
        "one row per window": (
            ".astype(np.float32)", ".astype(np.float32).reshape(len(frame_times), -1)"),
        "mean of the window": (".astype(np.float32)", ".astype(np.float32).mean(1)"),
        "no array": (".astype(np.float32)", ".tolist()"),
        "not float32": (".astype(np.float32)", ".astype(np.float64)")},
    "sync": {
        "a confidence for each frame": (
            "np.median(mean) - mean.min()",
            "(np.nanmedian(distances, 1) - np.nanmin(distances, 1)).mean()"),
        "median of the frames' confidences": (
            "np.median(mean) - mean.min()",
            "np.median(np.nanmedian(distances, 1) - np.nanmin(distances, 1))"),
        "vote of the frames": (
            "mean.argmin()",
            "np.bincount(np.nanargmin(distances, 1), minlength=distances.shape[1]).argmax()"),
        "medians down the columns": (
            "np.where(valid, distances, 0).sum(0) / count", "np.nanmedian(distances, 0)"),
        "sums down the columns": (".sum(0) / count", ".sum(0)"),
        "least down the columns": (
            "np.where(valid, distances, 0).sum(0) / count", "np.nanmin(distances, 0)"),
        "median of the whole table": ("np.median(mean)", "np.median(distances[valid])"),
        "least of the whole table": ("mean.min()", "distances[valid].min()"),
        "mean for median": ("np.median(mean)", "np.mean(mean)"),
        "largest for median": ("np.median(mean)", "np.max(mean)"),
        "second best for median": ("np.median(mean)", "np.sort(mean)[1]"),
        "middle column for median": ("np.median(mean)", "mean[len(mean) // 2]"),
        "least minus median": ("np.median(mean) - mean.min()", "mean.min() - np.median(mean)"),
        "median alone": ("np.median(mean) - mean.min()", "np.median(mean)"),
        "ratio for difference": ("np.median(mean) - mean.min()", "np.median(mean) / mean.min()"),
        "offset with the other sign": ("distances.shape[1] // 2 - mean.argmin()",
                                       "mean.argmin() - distances.shape[1] // 2"),
        "index for offset": ("distances.shape[1] // 2 - mean.argmin()", "mean.argmin()"),
        "offset of the largest": ("mean.argmin()", "mean.argmax()"),
        "missing pairs counted": (".sum(0) / count", ".sum(0) / len(distances)"),
        "NaN spreads": ("np.where(valid, distances, 0).sum(0) / count", "distances.mean(0)"),
        "only frames with all pairs": (
            "np.where(valid, distances, 0).sum(0) / count", "distances[valid.all(1)].mean(0)"),
        "first frame alone": ("np.where(valid, distances, 0).sum(0) / count", "distances[0]"),
        "mean of all distances": ("mean.argmin()), mean", "mean.argmin()), distances[valid].mean()"),
        "means of the frames": ("mean.argmin()), mean", "mean.argmin()), np.nanmean(distances, 1)"),
        "offset first": (
            "float(np.median(mean) - mean.min()), int(distances.shape[1] // 2 - mean.argmin())",
            "int(distances.shape[1] // 2 - mean.argmin()), float(np.median(mean) - mean.min())"),
        "even number of columns": ("distances.shape[1] % 2 == 0 or ", ""),
        "column without a pair": (" or (count == 0).any()", "")},
    "contrast": {
        "anchor its own positive": (
            'np.where(alone, own, ~alike["id"])', 'np.where(alone, alike["id"], ~alike["id"])'),
        "anchor its own negative": ("np.where(own, away", 'np.where(alike["id"], away'),
        "anchor both": (" & (frames != anchors[:, None])", ""),
        "anchor left out of the labels": (
            "np.where(alike[name], -shared",
            "np.where(alike[name] & (frames != anchors[:, None]), -shared"),
        "positive of the same person": ('np.where(alone, own, ~alike["id"])', "own"),
        "positive of anybody": (
            'np.where(alone, own, ~alike["id"])', "frames != anchors[:, None]"),
        "negatives of other people": ("np.where(own, away", 'np.where(~alike["id"], away'),
        "negatives of anybody": ("np.where(own, away", "np.where(frames != anchors[:, None], away"),
        "alone, no positive": ('np.where(alone, own, ~alike["id"])', '~alike["id"]'),
        "alone in all rows": (".all(1, keepdims=True)", ".all()"),
        "negatives share the factor": (
            "np.where(alike[name], -np.inf, shared)", "np.where(alike[name], shared, -np.inf)"),
        "positive of another label": (
            "np.where(alike[name], -shared, -np.inf)", "np.where(alike[name], -np.inf, -shared)"),
        "labels swapped": (
            "np.where(alike[name], -shared, -np.inf), np.where(alike[name], -np.inf, shared)",
            "np.where(alike[name], -np.inf, -shared), np.where(alike[name], shared, -np.inf)"),
        "every frame": (
            "np.where(alike[name], -shared, -np.inf), np.where(alike[name], -np.inf, shared)",
            "-shared, shared"),
        "person for the factor": (
            "np.where(alike[name], -shared, -np.inf), np.where(alike[name], -np.inf, shared)",
            'np.where(alike["id"], -shared, -np.inf), np.where(alike["id"], -np.inf, shared)'),
        "the factor counted too": ("if other != name:", "if True:"),
        "albedo and light not counted": ("if other != name:", 'if other == "id" != name:'),
        "labels not counted": ("shared += alike[other]", "pass"),
        "easiest negatives": ("-np.inf, shared)", "-np.inf, -shared)"),
        "positive that shares much": ("alike[name], -shared", "alike[name], shared"),
        "signs of the labels": (
            "    return np.where(alike", "    shared = -shared\n    return np.where(alike"),
        "farthest positive": ("positive, -away", "positive, away"),
        "nearest negatives": ("own, away", "own, -away"),
        "signs of the expression": ("        return np.where(positive",
                                    "        away = -away\n        return np.where(positive"),
        "expression not counted": ("shared = np.exp(", "shared = 0 * np.exp("),
        "distance not divided": (" / (away.mean(1, keepdims=True) + 1e-9)", ""),
        "distance for nearness": ("np.exp(-away / (away.mean(1, keepdims=True) + 1e-9))",
                                  "away / (away.mean(1, keepdims=True) + 1e-9)"),
        "raw distance": ("np.exp(-away / (away.mean(1, keepdims=True) + 1e-9))", "-away"),
        "one mean for all rows": ("away.mean(1, keepdims=True)", "away.mean()"),
        "mean of those that may be": (
            "    return np.where(alike[name], -shared, -np.inf), np.where(alike[name], -np.inf, shared)",
            "    shared -= np.exp(-away / (away.mean(1, keepdims=True) + 1e-9))\n"
            "    near = lambda may: np.exp(-away / (away.mean(1, keepdims=True, where=may) + 1e-9))\n"
            "    same = alike[name]\n"
            "    return (np.where(same, -shared - near(same), -np.inf),\n"
            "            np.where(same, -np.inf, shared + near(~same)))"),
        "largest for mean": ("away.mean(1", "away.max(1"),
        "squared distance": ("axis=-1)  # (A, m)", "axis=-1) ** 2"),
        "sum of differences": ("axis=-1)  # (A, m)", "axis=-1, ord=1)"),
        "mean under the root": (
            "axis=-1)  # (A, m)", "axis=-1) / np.sqrt(corpus.upper.shape[1])"),
        "cosine distance": (
            "    alike = {",
            "    a, b = corpus.upper[frames], corpus.upper[anchors, None]\n"
            "    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)\n"
            "    away = 1 - (a * b).sum(-1) / (lengths + 1e-9)\n"
            "    alike = {"),
        "whole face": (
            "    alike = {",
            "    mouth = np.linalg.norm(corpus.lips[frames] - corpus.lips[anchors, None], axis=-1)\n"
            "    away = np.hypot(away, mouth)\n"
            "    alike = {"),
        "lips for the upper face": (
            "corpus.upper[frames] - corpus.upper[anchors", "corpus.lips[frames] - corpus.lips[anchors"),
        "place for number": (
            "    away = np.linalg",
            "    frames = np.broadcast_to(np.arange(frames.shape[1]), frames.shape)\n"
            "    away = np.linalg"),
        "row for anchor": (
            "    away = np.linalg", "    anchors = np.arange(len(anchors))\n    away = np.linalg"),
        "first anchor for all": (
            "    away = np.linalg", "    anchors = anchors[[0] * len(anchors)]\n    away = np.linalg"),
        "0 for -inf": (
            "def suitability(",
            "def suitability(*given):\n"
            "    return [np.where(np.isneginf(table), 0, table) for table in ours(*given)]\n\n\n"
            "def ours("),
        "NaN for -inf": (
            "def suitability(",
            "def suitability(*given):\n"
            "    return [np.where(np.isneginf(table), np.nan, table) for table in ours(*given)]\n\n\n"
            "def ours("),
        "+inf for -inf": (
            "def suitability(",
            "def suitability(*given):\n"
            "    return [np.where(np.isneginf(table), np.inf, table) for table in ours(*given)]\n\n\n"
            "def ours("),
        "tables swapped": (
            "def suitability(", "def suitability(*given):\n    return ours(*given)[::-1]\n\n\ndef ours("),
        "0 / 0": (" + 1e-9", "")},
}
