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
        "frequencies k, not 2^k": ("2.0 ** torch.arange(n_freq,", "torch.arange(n_freq,"),
        "frequencies k + 1": ("2.0 ** torch.arange(n_freq,", "torch.arange(1, n_freq + 1,"),
        "begins at k = 1": ("2.0 ** torch", "2.0 * 2.0 ** torch"),
        "frequencies k squared": ("2.0 ** torch.arange(n_freq, device=x.device, dtype=x.dtype)",
                                  "torch.arange(n_freq, dtype=x.dtype) ** 2"),
        "frequencies spread evenly": ("2.0 ** torch.arange(n_freq, device=x.device, dtype=x.dtype)",
                                      "torch.linspace(1, 2 ** (n_freq - 1), n_freq, dtype=x.dtype)"),
        "half the frequencies": ("math.pi * 2.0", "math.pi / 2 * 2.0"),
        "highest first": ("dtype=x.dtype)", "dtype=x.dtype).flip(0)"),
        "sine and cosine in turn": ("torch.cat([x, angles.sin(), angles.cos()], -1)",
                                    "torch.cat([x] + [f for row in angles.unflatten(-1, (-1, 3)).unbind(-2) "
                                    "for f in (row.sin(), row.cos())], -1)"),
        "cosines first": ("angles.sin(), angles.cos()", "angles.cos(), angles.sin()"),
        "sines twice": ("angles.cos()", "angles.sin()"),
        "cosines left out": (", angles.cos()", ""),
        "coordinates first": ("x[..., None, :] * scale[:, None]", "x[..., None] * scale"),
        "each coordinate's waves together": (
            "torch.cat([x, angles.sin(), angles.cos()], -1)",
            "torch.cat([x, torch.cat([f(angles).unflatten(-1, (-1, 3)) for f in (torch.sin, torch.cos)], -2)"
            ".transpose(-1, -2).flatten(-2)], -1)"),
        "without x": ("[x, angles.sin()", "[angles.sin()"),
        "x at the end": ("[x, angles.sin(), angles.cos()]", "[angles.sin(), angles.cos(), x]"),
        "axes flattened": ("angles.cos()], -1)", "angles.cos()], -1).view(-1, 3 + 6 * n_freq)"),
        "x clamped": ("    scale =", "    x = x.clamp(-1, 1)\n    scale ="),
        "waves without gradient": ("(x[..., None, :] *", "(x.detach()[..., None, :] *"),
        "double precision": ("dtype=x.dtype", "dtype=torch.float64")},
    "eq1_conditioning": {
        "codes not scaled": ("code * math.sqrt(code.shape[-1])", "code"),
        "scaled by d": ("math.sqrt(code.shape[-1])", "code.shape[-1]"),
        "divided by sqrt(d)": ("code * math", "code / math"),
        "one scale for all": ("math.sqrt(code.shape[-1])", "math.sqrt(layer.in_features)"),
        "scale of the first code": ("code.shape[-1]", "codes[0].shape[-1]"),
        "scale of the last code": ("code.shape[-1]", "codes[-1].shape[-1]"),
        "root of the batch": ("code.shape[-1]", "len(code)"),
        "root of the number of codes": ("code.shape[-1]", "len(codes)"),
        "codes in another order": ("for code in codes]", "for code in codes[::-1]]"),
        "first frame for all": ("layer(c)[:, None, None]", "layer(c[:1].expand_as(c))[:, None, None]"),
        "layer's own bias": ("layer(c)", "(c @ layer.weight.T)"),
        "batch taken for rays": ("layer(c)[:, None, None]", "layer(c)[None, :, None]"),
        "without the axes": ("layer(c)[:, None, None]", "layer(c)"),
        "one axis short": ("layer(c)[:, None, None]", "layer(c)[:, None]"),
        "made unit length again": ("[code * math", "[F.normalize(code, dim=-1) * math"),
        "a code without gradient": ("for code in codes]", "for code in [codes[0].detach(), *codes[1:]]]")},
    "eq1_rays": {
        "pixel corners": ("+ 0.5) * stride", "+ 0.0) * stride"),
        "half an image pixel": ("+ 0.5) * stride", "* stride + 0.5)"),
        "stride forgotten": ("+ 0.5) * stride", "+ 0.5)"),
        "from border to border": ("(torch.arange(size // stride, device=K.device, dtype=K.dtype) + 0.5) * stride",
                                  "torch.linspace(0, size, size // stride)"),
        "from first to last pixel": (
            "(torch.arange(size // stride, device=K.device, dtype=K.dtype) + 0.5) * stride",
            "torch.linspace(0, size - 1, size // stride)"),
        "rotation transposed": ("cam_to_head[:, :3, :3].transpose(1, 2)", "cam_to_head[:, :3, :3]"),
        "not turned": ("in_camera @ cam_to_head[:, :3, :3].transpose(1, 2)",
                       "in_camera + 0 * cam_to_head[:, :1, :3]"),
        "rows and columns swapped": ("v, u = torch.meshgrid", "u, v = torch.meshgrid"),
        "fx for fy": ("in_camera = pixels", "K = K.clone()\n    K[:, 1, 1] = K[:, 0, 0]\n    in_camera = pixels"),
        "one principal point": (
            "in_camera = pixels", "K = K.clone()\n    K[:, 1, 2] = K[:, 0, 2]\n    in_camera = pixels"),
        "principal point forgotten": (
            "in_camera = pixels", "K = K.clone()\n    K[:, :2, 2] = 0\n    in_camera = pixels"),
        "principal point in the middle": (
            "in_camera = pixels", "K = K.clone()\n    K[:, :2, 2] = size / 2\n    in_camera = pixels"),
        "axes of OpenGL": ("    directions = in_camera @",
                           "    in_camera = in_camera * K.new_tensor([1, -1, -1])\n    directions = in_camera @"),
        "K not inverted": ("torch.linalg.inv(K)", "K"),
        "inverse of K transposed": ("torch.linalg.inv(K).transpose(1, 2)", "torch.linalg.inv(K)"),
        "position added": ("cam_to_head[:, :3, :3].transpose(1, 2)",
                           "cam_to_head[:, :3, :3].transpose(1, 2) + cam_to_head[:, None, :3, 3]"),
        "directions not of unit length": (
            "directions / directions.norm(dim=-1, keepdim=True)", "directions"),
        "first camera for all": ("    pixels = ", "    K, cam_to_head = K[:1].expand_as(K), "
                                 "cam_to_head[:1].expand_as(cam_to_head)\n    pixels = "),
        "first K for all": ("torch.linalg.inv(K)", "torch.linalg.inv(K[:1])"),
        "first pose for all": ("    pixels = ",
                               "    cam_to_head = cam_to_head[:1].expand_as(cam_to_head)\n    pixels = "),
        "pose inverted": ("cam_to_head[:, None, :3, 3].expand_as",
                          "-(cam_to_head[:, None, :3, 3] @ cam_to_head[:, :3, :3]).expand_as"),
        "one origin per camera": (".expand_as(directions)", ""),
        "rays as a picture": (
            "return origins, directions / directions.norm(dim=-1, keepdim=True)",
            "directions = directions / directions.norm(dim=-1, keepdim=True)\n"
            "    return tuple(r.unflatten(1, (size // stride, -1)) for r in (origins, directions))"),
        "cam_to_head without gradient": ("in_camera @ cam_to_head", "in_camera @ cam_to_head.detach()"),
        "double precision": ("directions.norm(dim=-1, keepdim=True)",
                             "directions.norm(dim=-1, keepdim=True).double()")},
    "eq1_weights": {
        "a sample shades itself": ("torch.cumsum(depth, -1) - depth", "torch.cumsum(depth, -1)"),
        "shifted, first from last": (
            "torch.cumsum(depth, -1) - depth", "torch.cumsum(depth, -1).roll(1, -1)"),
        "from the far end": ("torch.cumsum(depth, -1) - depth", "depth.flip(-1).cumsum(-1).flip(-1) - depth"),
        "T of the whole ray": ("torch.cumsum(depth, -1) - depth", "depth.sum(-1, keepdim=True)"),
        "only the sample before": ("torch.cumsum(depth, -1) - depth",
                                   "torch.cat([torch.zeros_like(depth[..., :1]), depth[..., :-1]], -1)"),
        "without transmittance": ("torch.exp(-before) * ", ""),
        "sigma delta for alpha": ("-torch.expm1(-depth)", "depth"),
        "what passes": ("-torch.expm1(-depth)", "torch.exp(-depth)"),
        "interval forgotten": ("sigma * delta  #", "sigma + 0 * delta  #"),
        "interval only in T": ("-torch.expm1(-depth)", "-torch.expm1(-sigma)"),
        "interval only in alpha": ("torch.cumsum(depth, -1) - depth", "torch.cumsum(sigma, -1) - sigma"),
        "rest of the light to the last sample": (
            "return torch.exp(-before) * -torch.expm1(-depth)",
            "alpha = -torch.expm1(-depth)\n"
            "    return torch.exp(-before) * torch.cat([alpha[..., :-1], torch.ones_like(alpha[..., :1])], -1)"),
        "divided by their sum": (
            "return torch.exp(-before) * -torch.expm1(-depth)",
            "w = torch.exp(-before) * -torch.expm1(-depth)\n    return w / w.sum(-1, keepdim=True)"),
        "sum over the rays": ("torch.cumsum(depth, -1)", "torch.cumsum(depth, -2)"),
        "first ray's T for all": ("torch.exp(-before) *", "torch.exp(-before[:1, :1]) *"),
        "no light, no logarithm": (
            "before = torch.cumsum(depth, -1) - depth",
            "logs = torch.log(torch.exp(-depth))\n    before = logs - torch.cumsum(logs, -1)"),
        "transmittance detached": ("torch.exp(-before)", "torch.exp(-before).detach()"),
        "sigma without gradient": ("= sigma * delta", "= sigma.detach() * delta"),
        "delta without gradient": ("= sigma * delta", "= sigma * delta.detach()"),
        "double precision": ("= sigma * delta", "= sigma.double() * delta")},
    "eq1_sampling": {
        "starts of the strata": ("0.5 if jitter is None", "0.0 if jitter is None"),
        "u from 0 to 1": ("(torch.arange(n, device=edges.device, dtype=edges.dtype) + offset) / n",
                          "torch.linspace(0, 1, n, dtype=edges.dtype) + (0 if jitter is None else jitter / n)"),
        "u without its ends": ("(torch.arange(n, device=edges.device, dtype=edges.dtype) + offset) / n",
                               "torch.linspace(0, 1, n + 2, dtype=edges.dtype)[1:-1]"),
        "jitter ignored": ("0.5 if jitter is None else jitter", "0.5"),
        "jitter and 1/2": ("is None else jitter", "is None else 0.5 + jitter"),
        "jitter for u": ("dtype=edges.dtype) + offset) / n",
                         "dtype=edges.dtype) + offset) / n if jitter is None else jitter"),
        "jitter both ways": ("dtype=edges.dtype) + offset) / n",
                             "dtype=edges.dtype) + (0.5 if jitter is None else 2 * jitter - 0.5)) / n"),
        "jitter not divided by n": ("dtype=edges.dtype) + offset) / n",
                                    "dtype=edges.dtype) / n + (offset / n if jitter is None else jitter))"),
        "edges for positions": ("fraction.clamp(0, 1) * (edge_high - edge_low)", "0 * fraction"),
        "ends of the bins": ("fraction.clamp(0, 1) * (edge_high - edge_low)", "(edge_high - edge_low)"),
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
        "bins of equal width": (
            "    pdf = weights",
            "    even = torch.linspace(0, 1, edges.shape[-1], dtype=edges.dtype)\n"
            "    edges = edges[..., :1] + even * (edges[..., -1:] - edges[..., :1])\n    pdf = weights"),
        "weights not normalised": ("pdf / pdf.sum(-1, keepdim=True)", "pdf"),
        "divided by the largest": ("pdf.sum(-1, keepdim=True)", "pdf.amax(-1, keepdim=True)"),
        "softmax of the weights": ("pdf / pdf.sum(-1, keepdim=True)", "torch.softmax(pdf, -1)"),
        "weights as densities": ("weights.detach()", "weights.detach() * edges.diff(dim=-1)"),
        "divided by the widths": ("weights.detach()", "weights.detach() / edges.diff(dim=-1)"),
        "1e-4 on the sum only": ("weights.detach() + 1e-4  # a ray without any weight is sampled evenly\n"
                                 "    cdf = torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1)",
                                 "weights.detach()\n"
                                 "    cdf = torch.cumsum(pdf / (pdf.sum(-1, keepdim=True) + 1e-4), -1)"),
        "1e-5": ("1e-4", "1e-5"),
        "first ray's edges for all": ("    pdf = weights",
                                      "    edges = edges[:1, :1].expand_as(edges)\n    pdf = weights"),
        "first ray's weights for all": ("weights.detach()", "weights.detach()[:1, :1].expand_as(weights)"),
        "first ray's jitter for all": ("None else jitter", "None else jitter[:1, :1]"),
        "empty ray": ("weights.detach() + 1e-4", "weights.detach()"),
        "gradient": ("weights.detach() + 1e-4", "weights + 1e-4"),
        "double precision": ("return edge_low", "return edge_low.double()")},
    "eq1_render": {
        "union not sorted": ("t.argsort(-1)", "torch.arange(t.shape[-1]).expand(t.shape)"),
        "features not sorted along": ("torch.empty_like(w_sorted).scatter(-1, order, w_sorted)", "w_sorted"),
        "only distances sorted": (
            "compositing_weights(sigma.gather(-1, order), delta)\n"
            "    w = torch.empty_like(w_sorted).scatter(-1, order, w_sorted)",
            "compositing_weights(sigma, delta)\n    w = w_sorted"),
        "densities not sorted along": ("sigma.gather(-1, order), delta", "sigma, delta"),
        "equal intervals": (
            "    def asked_at(t):",
            "    intervals = lambda t, near, far: ((far - near) / t.shape[-1])[..., None].expand_as(t)\n\n"
            "    def asked_at(t):"),
        "fine samples left out": ("if n_fine:", "if False:"),
        "coarse samples thrown away": (
            "t, sigma = torch.cat([t, t_fine], -1), torch.cat([sigma, sigma_fine], -1)\n"
            "        h = torch.cat([h, h_fine], -2)", "t, sigma, h = t_fine, sigma_fine, h_fine"),
        "intervals of each pass": (
            "intervals(t.gather(-1, order), near, far)",
            "torch.cat([intervals(one, near, far) for one in t.split([n_coarse, n_fine], -1) if one.shape[-1]], -1)"
            ".gather(-1, order)"),
        "each pass composited alone": (
            "torch.empty_like(w_sorted).scatter(-1, order, w_sorted)",
            "torch.cat([compositing_weights(s, intervals(one, near, far)) for s, one in "
            "zip(sigma.split([n_coarse, n_fine], -1), t.split([n_coarse, n_fine], -1)) if one.shape[-1]], -1)"),
        "density for weights": ("hierarchical_samples(edges, weights,", "hierarchical_samples(edges, sigma,"),
        "bins without their ends": ("hierarchical_samples(edges, weights,",
                                    "hierarchical_samples(edges[..., 1:-1].contiguous(), weights[..., 1:-1],"),
        "fine samples evenly": ("hierarchical_samples(edges, weights,", "stratified_samples(near, far,"),
        "mean for sum": ("return (w[..., None, :]", "w = w / w.shape[-1]\n        return (w[..., None, :]"),
        "divided by the opacity": (".squeeze(-2), w.sum(-1)", ".squeeze(-2) / w.sum(-1, keepdim=True), w.sum(-1)"),
        "background added": (".squeeze(-2), w.sum(-1)", ".squeeze(-2) + 1 - w.sum(-1, keepdim=True), w.sum(-1)"),
        "from the camera on": ("    def asked_at(t):", "    near = torch.zeros_like(near)\n\n    def asked_at(t):"),
        "one near and far for all": (
            "    def asked_at(t):",
            "    near, far = near.min().expand_as(near), far.max().expand_as(far)\n\n    def asked_at(t):"),
        "what passes for the opacity": ("w.sum(-1)", "1 - w.sum(-1)"),
        "largest weight for the opacity": ("w.sum(-1)", "w.amax(-1)"),
        "opacity of shape (B, R, 1)": ("w.sum(-1)", "w.sum(-1, keepdim=True)"),
        "only one result": (", w.sum(-1)", ""),
        "directions turned round": ("field.appearance(h, directions,", "field.appearance(h, -directions,"),
        "last interval endless": ("intervals(t.gather(-1, order), near, far)",
                                  "intervals(t.gather(-1, order), near, far + 1e10)"),
        "NeRF's own intervals": (
            "    def asked_at(t):",
            "    intervals = lambda t, near, far: torch.cat([t.diff(dim=-1), torch.full_like(t[..., :1], 1e10)], -1)\n\n"
            "    def asked_at(t):"),
        "from sample to sample": (
            "    def asked_at(t):",
            "    intervals = lambda t, near, far: torch.cat([t, far[..., None]], -1).diff(dim=-1)\n\n"
            "    def asked_at(t):"),
        "hidden layer for features": ("field.appearance(h, directions, conditions)", "h"),
        "asked again": (
            "t, sigma = torch.cat([t, t_fine], -1), torch.cat([sigma, sigma_fine], -1)\n"
            "        h = torch.cat([h, h_fine], -2)",
            "t = torch.cat([t, t_fine], -1)\n        sigma, h = field.geometry(asked_at(t), conditions)"),
        "directions per sample": (
            "field.appearance(h, directions, conditions)",
            "field.appearance(h, directions[..., None, :].expand(*h.shape[:-1], 3), conditions)"),
        "generator unused": ("    def asked_at(t):", "    generator = None\n\n    def asked_at(t):"),
        "fine samples without jitter": ("uniform(generator, near, n_fine)", "None"),
        "generator always called": (
            "    def asked_at(t):",
            "    uniform = lambda g, near, n: None if g is None else g((*near.shape, n)).to(near)\n\n"
            "    def asked_at(t):"),
        "generator never called": (
            "    def asked_at(t):",
            "    uniform = lambda g, near, n: None if g is None else "
            "torch.rand((*near.shape, n), generator=g).to(near)\n\n"
            "    def asked_at(t):"),
        "body left out": ("    with torch.no_grad():\n        near, far",
                          "    body = None\n    with torch.no_grad():\n        near, far"),
        "box about the head's rays": ("*(body or (origins, directions))", "origins, directions"),
        "coarse answers without gradient": (
            "    sigma, h = field.geometry(asked_at(t), conditions)",
            "    with torch.no_grad():\n        sigma, h = field.geometry(asked_at(t), conditions)"),
        "opacity without gradient": ("w.sum(-1)", "w.sum(-1).detach()"),
        "gradient stopped": ("w_sorted = compositing_weights(sigma.gather",
                             "w_sorted = compositing_weights(sigma.detach().gather")},
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
