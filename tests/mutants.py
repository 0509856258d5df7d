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
        "double precision": ("dtype=x.dtype", "dtype=torch.float64"),
        "single precision": ("angles.cos()], -1)", "angles.cos()], -1).float()"),
        "frequencies in single precision": ("dtype=x.dtype", "dtype=torch.float32"),
        "view of a transposed tensor": (
            "torch.cat([x, angles.sin(), angles.cos()], -1)",
            "torch.cat([x.view(-1, 3), angles.sin().reshape(len(x.view(-1, 3)), -1), angles.cos().reshape("
            "len(x.view(-1, 3)), -1)], -1).reshape(*x.shape[:-1], -1)"),
        "no frequency at all": ("angles.sin(), angles.cos()",
                                "torch.cat([*angles.sin().split(3, -1)][:n_freq], -1), angles.cos()")},
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
        "a code without gradient": ("for code in codes]", "for code in [codes[0].detach(), *codes[1:]]]"),
        "layer without gradient": (
            "layer(c)", "F.linear(c, layer.weight.detach(), None if layer.bias is None else layer.bias.detach())"),
        "layer's bias for each code": (
            "layer(c)", "(layer(c) + (0 if layer.bias is None else (len(codes) - 1) * layer.bias))")},
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
                             "directions.norm(dim=-1, keepdim=True).double()"),
        "single precision": ("directions / directions.norm(dim=-1, keepdim=True)",
                             "(directions / directions.norm(dim=-1, keepdim=True)).float()")},
    "eq1_weights": {
        "a sample shades itself": ("torch.nn.functional.pad(in_front, (1, 0))", "torch.cumsum(depth, -1)"),
        "shifted, first from last": (
            "torch.nn.functional.pad(in_front, (1, 0))", "torch.cumsum(depth, -1).roll(1, -1)"),
        "from the far end": ("torch.nn.functional.pad(in_front, (1, 0))", "depth.flip(-1).cumsum(-1).flip(-1) - depth"),
        "T of the whole ray": ("torch.nn.functional.pad(in_front, (1, 0))", "depth.sum(-1, keepdim=True)"),
        "only the sample before": ("torch.nn.functional.pad(in_front, (1, 0))",
                                   "torch.cat([torch.zeros_like(depth[..., :1]), depth[..., :-1]], -1)"),
        "without transmittance": ("torch.exp(-before) * ", ""),
        "sigma delta for alpha": ("-torch.expm1(-depth)", "depth"),
        "what passes": ("-torch.expm1(-depth)", "torch.exp(-depth)"),
        "interval forgotten": ("sigma * delta  #", "sigma + 0 * delta  #"),
        "interval only in T": ("-torch.expm1(-depth)", "-torch.expm1(-sigma)"),
        "interval only in alpha": ("torch.nn.functional.pad(in_front, (1, 0))", "torch.cumsum(sigma, -1) - sigma"),
        "rest of the light to the last sample": (
            "return torch.exp(-before) * -torch.expm1(-depth)",
            "alpha = -torch.expm1(-depth)\n"
            "    return torch.exp(-before) * torch.cat([alpha[..., :-1], torch.ones_like(alpha[..., :1])], -1)"),
        "divided by their sum": (
            "return torch.exp(-before) * -torch.expm1(-depth)",
            "w = torch.exp(-before) * -torch.expm1(-depth)\n    return w / w.sum(-1, keepdim=True)"),
        "sum over the rays": ("torch.nn.functional.pad(in_front, (1, 0))", "torch.cumsum(depth, -2) - depth"),
        "first ray's T for all": ("torch.exp(-before) *", "torch.exp(-before[:1, :1]) *"),
        "no light, no logarithm": (
            "before = torch.nn.functional.pad(in_front, (1, 0))",
            "logs = torch.log(torch.exp(-depth))\n    before = logs - torch.cumsum(logs, -1)"),
        "transmittance detached": ("torch.exp(-before)", "torch.exp(-before).detach()"),
        "sigma without gradient": ("= sigma * delta", "= sigma.detach() * delta"),
        "delta without gradient": ("= sigma * delta", "= sigma * delta.detach()"),
        "double precision": ("= sigma * delta", "= sigma.double() * delta"),
        "single precision": ("= sigma * delta", "= sigma.float() * delta.float()")},
    "eq1_sampling": {
        "starts of the strata": ("0.5 if jitter is None", "0.0 if jitter is None"),
        "u from 0 to 1": ("(torch.arange(n, device=edges.device, dtype=edges.dtype) + offset) / n",
                          "torch.linspace(0, 1, n, dtype=edges.dtype) + (0 if jitter is None else jitter / n)"),
        "u without its ends": ("(torch.arange(n, device=edges.device, dtype=edges.dtype) + offset) / n",
                               "torch.linspace(0, 1, n + 2, dtype=edges.dtype)[1:-1]"),
        "divided by n - 1": ("dtype=edges.dtype) + offset) / n", "dtype=edges.dtype) + offset) / (n - 1 or 1)"),
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
        "1e-4 after normalising": (
            "weights.detach() + 1e-4  # a ray without any weight is sampled evenly\n"
            "    cdf = torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1)",
            "weights.detach()\n"
            "    cdf = torch.cumsum(pdf / pdf.sum(-1, keepdim=True).clamp_min(1e-12) + 1e-4, -1)"),
        "sum over all rays": ("pdf.sum(-1, keepdim=True)", "pdf.sum()"),
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
        "last interval endless in both passes": (
            "    def asked_at(t):",
            "    from render import intervals as own\n"
            "    intervals = lambda t, near, far: torch.cat([own(t, near, far)[..., :-1], "
            "torch.full_like(t[..., :1], 1e10)], -1)\n\n"
            "    def asked_at(t):"),
        "sorted from far to near": ("t.argsort(-1)", "t.argsort(-1, descending=True)"),
        "body for the box alone": ("x if body is None else field.joined(x, points(*body, t))", "x"),
        "joined the other way round": ("joined(x, points(*body, t))", "joined(points(*body, t), x)"),
        "coarse samples without jitter": ("uniform(generator, near, n_coarse)", "None"),
        "jitter drawn in the other order": (
            "    def asked_at(t):",
            "    from render import uniform as draw\n"
            "    early = draw(generator, near, n_fine) if n_fine else None\n"
            "    drawn = iter([draw(generator, near, n_coarse), early])\n"
            "    uniform = lambda *given: next(drawn)\n\n"
            "    def asked_at(t):"),
        "fine jitter from another generator": (
            "uniform(generator, near, n_fine)",
            "uniform(torch.Generator().manual_seed(0) if isinstance(generator, torch.Generator) else generator, "
            "near, n_fine)"),
        "fine answers without gradient": (
            "        sigma_fine, h_fine = field",
            "        with torch.no_grad():\n            sigma_fine, h_fine = field"),
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
        "L_rec without its weight": ("lambda_rec * l_rec", "l_rec"),
        "velocity left out": (" + lambda_v * l_v", ""),
        "disentangling left out": (" + lambda_dis * l_dis", ""),
        "zero taken for missing": (
            "return ", "lambda_rec, lambda_dis, lambda_v = lambda_rec or 1, lambda_dis or 5, lambda_v or 10\n"
            "    return "),
        "weighted mean": (
            "lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v",
            "(lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v)"
            " / (lambda_rec + lambda_dis + lambda_v)"),
        "mean for sum": (
            "lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v",
            "(lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v) / 3"),
        "lambda_rec before everything": (
            "lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v",
            "lambda_rec * (l_rec + lambda_dis * l_dis + lambda_v * l_v)"),
        "no gradient": (
            "lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v",
            "torch.tensor(lambda_rec * l_rec.item() + lambda_dis * l_dis.item() + lambda_v * l_v.item())"),
        "NumPy on the way": ("lambda_rec * l_rec", "lambda_rec * torch.as_tensor(l_rec.numpy())"),
        "an input cut off": ("lambda_v * l_v", "lambda_v * l_v.detach()"),
        "fixed dtype": ("lambda_rec * l_rec + lambda_dis * l_dis + lambda_v * l_v",
                        "torch.stack([l_rec, l_dis, l_v])"
                        " @ torch.tensor([lambda_rec, lambda_dis, lambda_v], dtype=torch.float64)")},
    "eq3": {
        "weight on the other loss": ("lambda_per * l_per + l_pho", "l_per + lambda_per * l_pho"),
        "weight on both": ("lambda_per * l_per + l_pho", "lambda_per * (l_per + l_pho)"),
        "weight ignored": ("lambda_per * l_per + l_pho", "l_per + l_pho"),
        "weight of our presets": ("lambda_per * l_per", "0.005 * l_per"),
        "default of our presets": ("lambda_per: float = 1.0", "lambda_per: float = 0.005"),
        "mean for sum": ("lambda_per * l_per + l_pho", "(lambda_per * l_per + l_pho) / 2"),
        "weights that add up to 1": ("+ l_pho", "+ (1 - lambda_per) * l_pho"),
        "weighted mean": (
            "lambda_per * l_per + l_pho", "(lambda_per * l_per + l_pho) / (lambda_per + 1)"),
        "zero taken for missing": ("lambda_per * l_per", "(lambda_per or 1.0) * l_per"),
        "photometric left out": (" + l_pho", ""),
        "perceptual left out": ("lambda_per * l_per + l_pho", "l_pho"),
        "squared again": (
            "lambda_per * l_per + l_pho", "lambda_per * l_per.square() + l_pho.square()"),
        "no gradient": (
            "lambda_per * l_per + l_pho", "torch.tensor(lambda_per * l_per.item() + l_pho.item())"),
        "NumPy on the way": ("+ l_pho", "+ torch.as_tensor(l_pho.numpy())"),
        "an input cut off": ("lambda_per * l_per", "lambda_per * l_per.detach()"),
        "fixed dtype": (
            "lambda_per * l_per + l_pho", "torch.stack([l_per, l_pho]) @ torch.tensor([lambda_per, 1.0])")},
    "eq4": {
        "no square": ("(a - b).square().mean()", "(a - b).abs().mean()"),
        "root of the mean square": ("(a - b).square().mean()", "(a - b).square().mean().sqrt()"),
        "mean over the layers": ("strict=True))", "strict=True)) / len(phi)"),
        "sum for mean": ("(a - b).square().mean()", "(a - b).square().sum()"),
        "one mean over all entries": (
            "sum((a - b).square().mean() for a, b in zip(phi, phi_gt, strict=True))",
            "torch.cat([(a - b).flatten() for a, b in zip(phi, phi_gt)]).square().mean()"),
        "sum over a sample": (".square().mean()", ".square().flatten(1).sum(1).mean()"),
        "channels summed": (".square().mean()", ".square().sum(1).mean()"),
        "sum over the batch": (".square().mean()", ".square().flatten(1).mean(1).sum()"),
        "one number per layer": ("sum((a - b).square().mean() for a, b in zip(phi, phi_gt, strict=True))",
                                 "torch.stack([(a - b).square().mean() for a, b in zip(phi, phi_gt, strict=True)])"),
        "first layer left out": ("zip(phi, phi_gt, strict=True)", "zip(phi[1:], phi_gt[1:])"),
        "last layer left out": ("zip(phi, phi_gt, strict=True)", "zip(phi[:-1], phi_gt[:-1])"),
        "first layer only": ("zip(phi, phi_gt, strict=True)", "zip(phi[:1], phi_gt[:1])"),
        "last layer only": ("zip(phi, phi_gt, strict=True)", "zip(phi[-1:], phi_gt[-1:])"),
        "first sample only": ("(a - b)", "(a[0] - b[0])"),
        "half of the square": ("(a - b).square()", "0.5 * (a - b).square()"),
        "mean before the square": (".square().mean()", ".mean().square()"),
        "Gram matrices": (
            "(a - b).square()",
            "sum(s * torch.einsum('bchw,bdhw->bcd', x, x) / x[0].numel() for s, x in ((1, a), (-1, b))).square()"),
        "channels of length 1": (
            "(a - b)", "(a / a.norm(dim=1, keepdim=True) - b / b.norm(dim=1, keepdim=True))"),
        "layers left out in silence": (", strict=True", ""),
        "no gradient": (".mean()", ".mean().detach()"),
        "NumPy on the way": ("(a - b)", "torch.as_tensor(a.numpy() - b.numpy())"),
        "an input cut off": ("(a - b)", "(a - b.detach())"),
        "fixed dtype": ("(a - b).square().mean()",
                        "(a - b).square().flatten() @ torch.full((a.numel(),), 1 / a.numel())")},
    "eq5": {
        "mask not squared": (
            "(m * image - m * image_gt).square()", "(m * (image - image_gt).square())"),
        "mask squared twice": (
            "(m * image - m * image_gt)", "(m * m * image - m * m * image_gt)"),
        "divided by the mask's area": ("(m * image - m * image_gt).square().mean()",
                                       "(m * image - m * image_gt).square().sum() / (3 * m.sum())"),
        "divided by the sum of m": ("(m * image - m * image_gt).square().mean()",
                                    "(m * image - m * image_gt).square().sum() / m.sum()"),
        "sum for mean": (".square().mean()", ".square().sum()"),
        "channels summed": (".square().mean()", ".square().sum(1).mean()"),
        "mean over the batch alone": (".square().mean()", ".square().flatten(1).sum(1).mean()"),
        "sum over the batch": (".square().mean()", ".square().flatten(1).mean(1).sum()"),
        "not averaged": (".square().mean()", ".square()"),
        "no square": (".square().mean()", ".abs().mean()"),
        "root": (".square().mean()", ".square().mean().sqrt()"),
        "mask on one image only": ("m * image - m * image_gt", "m * image - image_gt"),
        "mask on the true image only": ("m * image - m * image_gt", "image - m * image_gt"),
        "mask not used": ("m * image - m * image_gt", "image - image_gt"),
        "mask inverted": ("(m * image - m * image_gt)", "((1 - m) * image - (1 - m) * image_gt)"),
        "hard mask": ("(m * image - m * image_gt)", "((m > 0.5) * (image - image_gt))"),
        "images clamped": ("m * image - m", "m * image.clamp(0, 1) - m"),
        "first image only": (".square()", "[0].square()"),
        "first mask for all": (
            "(m * image - m * image_gt)", "(m[0] * image - m[0] * image_gt)"),
        "half of the square": (".square().mean()", ".square().mean() / 2"),
        "mean before the square": (".square().mean()", ".mean().square()"),
        "view of a transposed tensor": (
            "(m * image - m * image_gt)", "(m.view(len(m), 1, -1) * (image - image_gt).view(len(m), 3, -1))"),
        "no gradient": (".mean()", ".mean().detach()"),
        "NumPy on the way": (
            "(m * image - m * image_gt)", "torch.as_tensor(m.numpy() * (image.numpy() - image_gt.numpy()))"),
        "an input cut off": ("m * image - m * image_gt", "m * image - m * image_gt.detach()"),
        "fixed dtype": (".square().mean()", ".square().flatten() @ torch.ones(image.numel()) / image.numel()")},
    "eq6": {
        "mean over the entries": (".square().sum(-1)", ".square().mean(-1)"),
        "sum over the batch": (".sum(-1).mean()", ".sum()"),
        "norm not squared": (".square().sum(-1).mean()", ".square().sum(-1).sqrt().mean()"),
        "no square": (".square().sum(-1)", ".abs().sum(-1)"),
        "one root over the batch": (".square().sum(-1).mean()", ".square().sum().sqrt()"),
        "weights ignored": ("weights.get(name, 1.0) * ", ""),
        "zero taken for missing": ("weights.get(name, 1.0)", "(weights.get(name) or 1.0)"),
        "missing taken for zero": (
            "weights = weights or {}", "weights = weights or dict.fromkeys(codes, 1.0)\n"
            "    weights = dict.fromkeys(codes, 0.0) | weights"),
        "missing key": (
            "weights = weights or {}", "weights = weights or dict.fromkeys(codes, 1.0)\n"
            "    weights['id'], weights['al'], weights['ill']"),
        "no weights at all": ("weights = weights or {}", "weights = weights"),
        "references paired by position": (
            "codes_ref[name]).square().sum(-1).mean() for name in codes}",
            "ref).square().sum(-1).mean() for name, ref in zip(codes, codes_ref.values())}"),
        "lambdas paired by position": (
            "weights = weights or {}", "weights = weights or {}\n"
            "    weights = weights if len(weights) < 4 else dict(zip(codes, weights.values()))"),
        "all paired by position": (
            "weights = weights or {}", "weights, codes_ref = weights or {}, dict(zip(codes, codes_ref.values()))\n"
            "    weights = weights if len(weights) < 4 else dict(zip(codes, weights.values()))"),
        "weights inside the norm": ("weights.get(name, 1.0) * ", "weights.get(name, 1.0) ** 2 * "),
        "mean over the four codes": ("for name, term in terms.items())",
                                     "for name, term in terms.items()) / len(terms)"),
        "weighted mean": (
            "for name, term in terms.items())",
            "for name, term in terms.items()) / sum(weights.get(name, 1.0) for name in terms)"),
        "id left out": ("for name in codes}", "for name in ('ex', 'al', 'ill')}"),
        "ex left out": ("for name in codes}", "for name in ('id', 'al', 'ill')}"),
        "al left out": ("for name in codes}", "for name in ('id', 'ex', 'ill')}"),
        "ill left out": ("for name in codes}", "for name in ('id', 'ex', 'al')}"),
        "last code only": ("for name in codes}", "for name in [*codes][-1:]}"),
        "first sample only": (".square()", "[:1].square()"),
        "one number per sample": (".sum(-1).mean()", ".sum(-1)"),
        "half of the square": (".square()", ".square().div(2)"),
        "1 - cos": (
            "(codes[name] - codes_ref[name]).square().sum(-1)",
            "(1 - nn.functional.cosine_similarity(codes[name], codes_ref[name]))"),
        "codes normalised first": (
            "(codes[name] - codes_ref[name])",
            "(nn.functional.normalize(codes[name]) - nn.functional.normalize(codes_ref[name]))"),
        "lengths compared": (
            "(codes[name] - codes_ref[name]).square().sum(-1)",
            "(codes[name].norm(dim=-1) - codes_ref[name].norm(dim=-1)).square()"),
        "codes cut off": ("(codes[name] -", "(codes[name].detach() -"),
        "references cut off": ("- codes_ref[name])", "- codes_ref[name].detach())"),
        "no gradient": (".sum(-1).mean()", ".sum(-1).mean().detach()"),
        "NumPy on the way": (
            "(codes[name] - codes_ref[name])", "torch.as_tensor(codes[name].numpy() - codes_ref[name].numpy())"),
        "fixed dtype": (
            "(codes[name] - codes_ref[name]).square().sum(-1)",
            "((codes[name] - codes_ref[name]).square() @ torch.ones(codes[name].shape[1]))")},
    "eq7": {
        "squared": (".masked_fill(is_zero, 1.0).sqrt()", ""),
        "no square": ("error.flatten(1).square().mean(1)", "error.flatten(1).abs().mean(1).square()"),
        "velocities added": ("(image - previous) - (", "(image - previous) + ("),
        "speeds compared": ("(image - previous) - (image_gt - previous_gt)",
                            "(image - previous).abs() - (image_gt - previous_gt).abs()"),
        "norms subtracted": (
            "error.flatten(1).square().mean(1)",
            "((image - previous).flatten(1).square().mean(1).sqrt()"
            " - (image_gt - previous_gt).flatten(1).square().mean(1).sqrt()).square()"),
        "one root over the batch": ("error.flatten(1).square().mean(1)", "error.square().mean()"),
        "sum under the root": (".square().mean(1)", ".square().sum(1)"),
        "divided outside the root": (
            ".square().mean(1)", ".square().sum(1) / error[0].numel() ** 2"),
        "channels summed": (".square().mean(1)", ".square().mean(1) * 3"),
        "a norm for each pixel": (".flatten(1).square()", ".square()"),
        "a norm for each channel": (".flatten(1).square().mean(1)", ".flatten(2).square().mean(2)"),
        "one number per pair": (".sqrt()).mean()", ".sqrt())"),
        "sum over the pairs": (".sqrt()).mean()", ".sqrt()).sum()"),
        "first pair only": (".sqrt()).mean()", ".sqrt())[0]"),
        "frames for velocities": (
            "(image - previous) - (image_gt - previous_gt)", "image - image_gt"),
        "true velocity left out": (" - (image_gt - previous_gt)", ""),
        "differences clamped": ("error.flatten(1)", "error.flatten(1).clamp(-1, 1)"),
        "0 beside a perfect pair": ("1.0).sqrt()).mean()", "1.0).sqrt()).mean() * (~is_zero).all()"),
        "frames added": ("(image - previous) - (image_gt - previous_gt)",
                         "(image + previous) - (image_gt + previous_gt)"),
        "sign lost in the mean": ("error.flatten(1).square().mean(1)", "error.flatten(1).mean(1).square()"),
        "perfect pairs left out": (
            ".sqrt()).mean()", ".sqrt()).sum() / (~is_zero).sum().clamp_min(1)"),
        "no gradient at 0": ("mean_square.masked_fill(is_zero, 1.0).sqrt()", "mean_square.sqrt()"),
        "no gradient beside a perfect pair": (
            "is_zero = mean_square == 0\n"
            "    return torch.where(is_zero, 0.0, mean_square.masked_fill(is_zero, 1.0).sqrt()).mean()",
            "return 0 * error.sum() if not error.any() else mean_square.sqrt().mean()"),
        "gradient of all pairs 0": (
            "mean_square.masked_fill(is_zero, 1.0).sqrt()).mean()",
            "(mean_square.detach() if is_zero.any() else mean_square).masked_fill(is_zero, 1.0).sqrt()).mean()"
            " + 0 * error.sum()"),
        "loss above 0": ("torch.where(is_zero, 0.0, mean_square.masked_fill(is_zero, 1.0).sqrt())",
                         "(mean_square + 1e-8).sqrt()"),
        "small errors suppressed": ("mean_square == 0", "mean_square < 1e-11"),
        "previous frame cut off": ("(image - previous) - (", "(image - previous.detach()) - ("),
        "no gradient": (".sqrt()).mean()", ".sqrt()).mean().detach()"),
        "NumPy on the way": ("(image - previous)", "torch.as_tensor(image.numpy() - previous.numpy())"),
        "an input cut off": ("(image_gt - previous_gt)", "(image_gt - previous_gt).detach()"),
        "fixed dtype": (".square().mean(1)", ".square() @ torch.full((error[0].numel(),), 1 / error[0].numel())")},
    "eq8": {
        "positive not in the denominator": ("logits.logsumexp(1)", "logits[:, 1:].logsumexp(1)"),
        "mean over the negatives": ("(logits.logsumexp(1) - logits[:, 0])",
                                    "(torch.logaddexp(logits[:, 0], logits[:, 1:].logsumexp(1)"
                                    " - math.log(negatives.shape[1])) - logits[:, 0])"),
        "mean over the candidates": (
            "logits.logsumexp(1)", "logits.logsumexp(1) - math.log(logits.shape[1])"),
        "positive twice": ("[d_pos, d_neg]", "[d_pos, d_pos, d_neg]"),
        "batch rows for negatives": (
            "d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "d_neg = cosine_similarity(anchor[:, None], positive)"
            "[~torch.eye(len(anchor), dtype=torch.bool)].view(len(anchor), -1)"),
        "batch rows besides the negatives": (
            "[d_pos, d_neg]",
            "[d_pos, d_neg, cosine_similarity(anchor[:, None], positive)"
            "[~torch.eye(len(anchor), dtype=torch.bool)].view(len(anchor), -1)]"),
        "negatives of all anchors": (
            "d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "d_neg = cosine_similarity(anchor[:, None], negatives.flatten(0, 1))"),
        "negatives of the first anchor": ("expand_as(negatives), negatives)",
                                          "expand_as(negatives), negatives[0])"),
        "first negative only": ("[d_pos, d_neg]", "[d_pos, d_neg[:, :1]]"),
        "closest negative only": ("[d_pos, d_neg]", "[d_pos, d_neg.amax(1, keepdim=True)]"),
        "negatives averaged first": (
            "cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "cosine_similarity(anchor, negatives.mean(1))[:, None]"),
        "each negative by itself": (
            "logits.logsumexp(1) - logits[:, 0]",
            "torch.logaddexp(0 * logits[:, 1:], logits[:, 1:] - logits[:, :1]).sum(1)"),
        "sigmoids": (
            "logits.logsumexp(1) - logits[:, 0]",
            "nn.functional.softplus(-logits[:, 0]) + nn.functional.softplus(logits[:, 1:]).sum(1)"),
        "negatives against the positive": ("(anchor[:, None].expand_as", "(positive[:, None].expand_as"),
        "a negative taken for the positive": ("- logits[:, 0]", "- logits[:, -1]"),
        "dot product": (
            "cosine_similarity(anchor, positive)[:, None]  # (B, 1)\n"
            "    d_neg = cosine_similarity(anchor[:, None].expand_as(negatives), negatives)",
            "(anchor * positive).sum(-1)[:, None]\n"
            "    d_neg = (anchor[:, None] * negatives).sum(-1)"),
        "cosine taken as a distance": ("torch.cat([d_pos, d_neg], dim=1)",
                                       "(1 - torch.cat([d_pos, d_neg], dim=1))"),
        "cosine moved to [0, 1]": ("torch.cat([d_pos, d_neg], dim=1)",
                                   "(1 + torch.cat([d_pos, d_neg], dim=1)) / 2"),
        "squared distances": (
            "torch.cat([d_pos, d_neg], dim=1)", "(2 * torch.cat([d_pos, d_neg], dim=1) - 2)"),
        "tau forgotten": ("dim=1) / tau", "dim=1)"),
        "tau ignored": ("dim=1) / tau", "dim=1) / 0.5"),
        "tau of 0.07": ("tau: float = 0.5", "tau: float = 0.07"),
        "tau on the wrong side": ("dim=1) / tau", "dim=1) * tau"),
        "tau on the positive alone": ("[d_pos, d_neg], dim=1) / tau", "[d_pos / tau, d_neg], dim=1)"),
        "tau outside": ("dim=1) / tau  # (B, 1 + N)\n    return (", "dim=1)\n    return 1 / tau * ("),
        "softmax over the wrong axis": ("logits.logsumexp(1)", "logits.logsumexp(0)"),
        "softmax over the anchors": ("logits.logsumexp(1)", "logits.logsumexp(0)[0]"),
        "one number per anchor": (".mean()", ""),
        "sum over the anchors": (".mean()", ".sum()"),
        "mean inside the logarithm": (
            "(logits.logsumexp(1) - logits[:, 0]).mean()",
            "math.log(len(logits)) - (logits[:, 0] - logits.logsumexp(1)).logsumexp(0)"),
        "first anchor only": (".mean()", "[0]"),
        "no minus": ("logits.logsumexp(1) - logits[:, 0]", "logits[:, 0] - logits.logsumexp(1)"),
        "no exponential": (
            "logits.logsumexp(1) - logits[:, 0]", "-torch.log(logits[:, 0] / logits.sum(1))"),
        "no logarithm": (
            "logits.logsumexp(1) - logits[:, 0]", "-torch.softmax(logits, 1)[:, 0]"),
        "logarithm to base 2": (".mean()", ".mean() / math.log(2)"),
        "overflow": ("logits.logsumexp(1)", "logits.exp().sum(1).log()"),
        "epsilon in the logarithm": (
            "logits.logsumexp(1) - logits[:, 0]", "-torch.log(logits.softmax(1)[:, 0] + 1e-8)"),
        "logits clamped": ("dim=1) / tau", "dim=1).div(tau).clamp(-80, 80)"),
        "one maximum for the batch": (
            "logits.logsumexp(1)", "(logits - logits.max()).exp().sum(1).log() + logits.max()"),
        "anchor cut off": (
            "d_pos =", "anchor = anchor.detach()\n    d_pos ="),
        "positive cut off": ("cosine_similarity(anchor, positive)", "cosine_similarity(anchor, positive.detach())"),
        "negatives cut off": ("expand_as(negatives), negatives)", "expand_as(negatives), negatives.detach())"),
        "no gradient": (".mean()", ".mean().detach()"),
        "NumPy on the way": (".mean()", ".numpy().mean()"),
        "fixed dtype": (".mean()", "@ torch.ones(len(anchor)) / len(anchor)")},
    "eq9": {
        "no norms": (" / norm.masked_fill(norm == 0, math.inf)", ""),
        "one norm": (
            "zip((a, b), norms)", "zip((a, b), (a.norm(dim=-1, keepdim=True), torch.ones(())))"),
        "norm of b alone": (
            "zip((a, b), norms)", "zip((a, b), (torch.ones(()), b.norm(dim=-1, keepdim=True)))"),
        "squared norms": (
            "norm.masked_fill(norm == 0, math.inf)", "norm.square().masked_fill(norm == 0, math.inf)"),
        "lengths added": (
            "a, b = (v / norm.masked_fill(norm == 0, math.inf) for v, norm in zip((a, b), norms))\n"
            "    return (a * b).sum(-1)",
            "return (a * b).sum(-1) / sum(norms)[..., 0]"),
        "sums of absolute values": ("v.norm(dim=-1, keepdim=True)", "v.abs().sum(-1, keepdim=True)"),
        "one sum over all vectors": (
            "a, b = (v / norm.masked_fill(norm == 0, math.inf) for v, norm in zip((a, b), norms))\n"
            "    return (a * b).sum(-1)",
            "return (a * b).sum() / math.prod(norms)[..., 0]"),
        "one length for all vectors": ("v.norm(dim=-1, keepdim=True)", "v.norm()"),
        "along another axis": (
            "norms =", "a, b = a.movedim(0, -1), b.movedim(0, -1)\n    norms ="),
        "one number for all pairs": (".sum(-1)", ".sum()"),
        "mean of all pairs": (".sum(-1)", ".sum(-1).mean()"),
        "all as one vector": (
            "norms =", "a, b = a.flatten(), b.flatten()\n    norms ="),
        "axis counted from the front": (
            "norms =", "a, b = a.transpose(1, -1), b.transpose(1, -1)\n    norms ="),
        "not summed": (".sum(-1)", ""),
        "axis kept": (".sum(-1)", ".sum(-1, keepdim=True)"),
        "all pairs": (
            "norms =", "a, b = a.unsqueeze(-2), b.unsqueeze(-3)\n    norms ="),
        "one minus": ("return (a * b).sum(-1)", "return 1 - (a * b).sum(-1)"),
        "angle": (".sum(-1)", ".sum(-1).clamp(-1, 1).acos()"),
        "absolute value": (".sum(-1)", ".sum(-1).abs()"),
        "negative values cut off": (".sum(-1)", ".sum(-1).clamp_min(0)"),
        "moved to [0, 1]": ("return (a * b).sum(-1)", "return ((a * b).sum(-1) + 1) / 2"),
        "correlation": (
            "norms =",
            "a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)\n    norms ="),
        "zero vector": ("norm.masked_fill(norm == 0, math.inf)", "norm"),
        "zero vector a": (
            "a, b = (v / norm.masked_fill(norm == 0, math.inf) for v, norm in zip((a, b), norms))",
            "of_a, of_b = norms\n    a, b = a / of_a, b / of_b.masked_fill(of_b == 0, math.inf)"),
        "zero vector b": (
            "a, b = (v / norm.masked_fill(norm == 0, math.inf) for v, norm in zip((a, b), norms))",
            "of_a, of_b = norms\n    a, b = a / of_a.masked_fill(of_a == 0, math.inf), b / of_b"),
        "all pairs 0": (
            "return (a * b).sum(-1)",
            "return (a * b).sum(-1) * (not any((v == 0).all(-1).any() for v in (a, b)))"),
        "no gradient at a zero vector": (
            "v / norm.masked_fill(norm == 0, math.inf)", "torch.nan_to_num(v / norm)"),
        "short vectors": ("norm == 0", "norm < 1e-8"),
        "gradient at a zero vector": ("math.inf", "1.0"),
        "lengths detached": (
            "v.norm(dim=-1, keepdim=True)", "v.norm(dim=-1, keepdim=True).detach()"),
        "clamped": (".sum(-1)", ".sum(-1).clamp(-1 + 1e-7, 1 - 1e-7)"),
        "no gradient": (".sum(-1)", ".sum(-1).detach()"),
        "NumPy on the way": (
            "return (a * b).sum(-1)", "return torch.as_tensor((a * b).numpy().sum(-1))"),
        "an input cut off": ("norms =", "b = b.detach()\n    norms ="),
        "fixed dtype": ("(a * b).sum(-1)", "(a * b) @ torch.ones((a * b).shape[-1])")},
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
        "squeezed": ("return P_cam", "return P_cam.squeeze()"),
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
        "half of 3z^2 - 1": ("3 * z * z - 1", "(3 * z * z - 1) / 2"),
        "twice the products": ("x * y, y * z, 3 * z * z - 1, x * z", "2 * x * y, 2 * y * z, 3 * z * z - 1, 2 * x * z"),
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
        "negative numbers cut off": ("return turned", "return turned.clip(0)"),
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
        "not float32": (".astype(np.float32)", ".astype(np.float64)"),
        "times in float32": (
            "offsets = (", "times, frame_times, offsets = np.float32(times), np.float32(frame_times), ("),
        "0 / 0 at a single vector": (
            "np.where(times[right] > times[left], times[right] - times[left], 1.0)", "times[right] - times[left]")},
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
        "column without a pair": (" or (count == 0).any()", ""),
        "a single shift refused": (
            "distances.shape[1] % 2 == 0 or", "distances.shape[1] == 1 or distances.shape[1] % 2 == 0 or"),
        "offset no int": ("int(distances.shape[1] // 2 - mean.argmin())",
                          "float(distances.shape[1] // 2 - mean.argmin())"),
        "means no array": ("mean.argmin()), mean", "mean.argmin()), mean.tolist()")},
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
        "alone by the first frame": (".all(1, keepdims=True)", "[:, :1]"),
        "anchor known by its distance": ("frames != anchors[:, None]", "away > 0"),
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
