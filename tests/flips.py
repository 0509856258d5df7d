"""flips.py - for each entry of classroom/ledger.md the other choice, as a change of the program.

An entry's heading -> its changes. One of them is a tuple file, old text, new text, file, old text, new text, ...;
each old text stands exactly once. test_ledger.py makes each in a copy of the program, and then one of the tests
that the entry names has to fail. An entry with several claims has a change for each.
"""

DH, CONFIG, LOSSES, RENDER, TRAIN, AUDIO = "dhnerf.py", "config.py", "losses.py", "render.py", "train.py", "audio.py"


def value(old, new):
    """A number of config.py is another."""
    return CONFIG, old, new


FLIPS = {
    "The camera moves, the head is fixed": [(
        RENDER, "directions = in_camera @ cam_to_head[:, :3, :3].transpose(1, 2)", "directions = in_camera",
        RENDER, "origins = cam_to_head[:, None, :3, 3].expand_as(directions)", "origins = torch.zeros_like(directions)")],
    "What the density depends on": [(
        DH, "d_geometry = cfg.d_id + cfg.d_ex +", "d_geometry = cfg.d_id + cfg.d_ex + cfg.d_al + cfg.d_ill +",
        DH, 'of_geometry = [codes["id"], codes["ex"]]',
        'of_geometry = [codes["id"], codes["ex"], codes["al"], codes["ill"]]')],
    "Quadrature": [(RENDER, "    return edges[..., 1:] - edges[..., :-1]",
                    "    return torch.cat([t[..., 1:] - t[..., :-1], torch.full_like(t[..., :1], 1e10)], -1)")],
    "The box": [(DH, "(2 * points - low - high) / (high - low)", "points"),
                value("(-1.3, -2.0, -1.5, 1.3, 1.6, 1.4)", "(-2.0, -2.0, -2.0, 2.0, 2.0, 2.0)"),
                value('"box": (-1.7, -2.2, -1.5, 1.7, 1.7, 1.4)', '"box": (-1.3, -2.0, -1.5, 1.3, 1.6, 1.4)')],
    "Two passes, one field": [
        (RENDER, "t, sigma = torch.cat([t, t_fine], -1), torch.cat([sigma, sigma_fine], -1)", "t, sigma = t_fine, sigma_fine",
         RENDER, "h = torch.cat([h, h_fine], -2)", "h = h_fine"),
        value("n_coarse=6, n_fine=4", "n_coarse=5, n_fine=3")],
    "The encoding of positions": [(DH, "torch.cat([x, angles.sin(), angles.cos()], -1)",
                                   "torch.cat([0 * x, angles.sin(), angles.cos()], -1)"),
                                  (DH, "scale = math.pi * 2.0 **", "scale = 2.0 **")],
    "How the codes enter": [(DH, "h = h + conditions.geometry_bias[i]", "h = h * (1 + conditions.geometry_bias[i])")],
    "Codes times sqrt(d)": [(DH, "[code * math.sqrt(code.shape[-1]) for code in codes]", "codes")],
    "Compositing over a plate": [(DH, "(1 - full_opacity) * background", "(1 - full_opacity)")],
    "Channels of M": [value("d_feature: int = FIELD(256)", "d_feature: int = FIELD(128)"),
                      value("d_feature=64,", "d_feature=32,")],
    "Sizes of the codes": [value("d_ex: int = EXTRACTOR_FIELD(79)", "d_ex: int = EXTRACTOR_FIELD(64)"),
                           value("d_id=16, d_ex=16, d_al=16, d_ill=16", "d_id=48, d_ex=48, d_al=48, d_ill=48")],
    "Face2Face without its pictures": [(
        "tracking.py", "          model: LandmarkModel | None = None) -> Track:",
        "          model: LandmarkModel | None = None, frames: np.ndarray | None = None) -> Track:")],
    "A face model after all": [("tracking.py", "people, offsets = landmark_samples()",
                                "people, offsets = (s[:8] for s in landmark_samples())")],
    "F_exp is no input of the field": [(
        TRAIN, 'codes = codes | {"ex": noisy(codes["ex"], self.cfg.code_noise, generator)}',
        'f_exp = torch.from_numpy(self.corpus.upper[batch.index, :self.cfg.d_ex])\n'
        '        codes = codes | {"ex": codes["ex"] + f_exp.to(codes["ex"])}'),
        ("data/corpus.py", "np.concatenate([take.exp_basis[:, BROWS], take.exp_basis[:, EYES]], 1)",
         "np.concatenate([take.exp_basis[:, BROWS], take.exp_basis[:, 48:60]], 1)")],
    "Sums that are means": [(LOSSES, "sum((a - b).square().mean() for a, b", "sum((a - b).square().sum() for a, b"),
                            (LOSSES, "(m * image - m * image_gt).square().mean()", "(m * image - m * image_gt).square().sum()")],
    "Eq. 6 stays a sum": [(LOSSES, "(codes[name] - codes_ref[name]).square().sum(-1).mean()",
                           "(codes[name] - codes_ref[name]).square().mean()")],
    "lambda_dis": [value("lambda_dis: float = FIELD(5.0)", "lambda_dis: float = FIELD(5 / (3 * 512**2))")],
    "Weights inside Eq. 6": [(LOSSES, "weights.get(name, 1.0) * term", "weights.get(name, 2.0) * term")],
    "The norm of Eq. 7": [
        (LOSSES, "torch.where(is_zero, 0.0, mean_square.masked_fill(is_zero, 1.0).sqrt()).mean()", "mean_square.mean()"),
        (LOSSES, "torch.where(is_zero, 0.0, mean_square.masked_fill(is_zero, 1.0).sqrt()).mean()", "mean_square.sqrt().mean()")],
    "Pairs of Eq. 7": [("data/corpus.py", "(np.diff(self.take) == 0) & (np.diff(ids) == 1)", "np.diff(ids) == 1"),
                       ("data/corpus.py", "(np.diff(self.take) == 0) & (np.diff(ids) == 1)", "np.diff(self.take) == 0")],
    "Neighbours in one step of four": [value("pair_share=0.25", "pair_share=1.0")],
    "L_lips is no term of Eq. 2": [
        (TRAIN, "return e_audio.eval().requires_grad_(False), e_lip.eval().requires_grad_(False)", "return e_audio, e_lip"),
        (TRAIN, '"L_dis": l_dis, "L_v": l_v,', '"L_dis": l_dis, "L_v": l_v, "L_lips": zero,')],
    "L_per is off in small": [value('vgg="none"', 'vgg="download"')],
    "Layers of VGG16": [value('FIELD(("relu1_2", "relu2_2", "relu3_3", "relu4_3"))', 'FIELD(("relu2_2", "relu3_3"))'),
                        (LOSSES, '"relu3_3": 15', '"relu3_3": 13')],
    "Where m(.) comes from": [
        ("data/clip.py", "masks[t] = np.maximum(masks[t], framing.cut(matte, box, size))", "masks[t] = framing.cut(matte, box, size)"),
        ("tracking.py", "blur = 0.015 * np.ptp", "blur = 1e-6 * np.ptp")],
    "The opacity is trained": [value("lambda_opacity: float = FIELD(0.1)", "lambda_opacity: float = FIELD(0.0)"),
                               (TRAIN, "total + cfg.lambda_opacity * l_opacity", "total + 0 * l_opacity")],
    "Where the opacity of a clip is known": [
        ("data/corpus.py", "(2 * mask - 1).abs() if take.whole else mask", "torch.ones_like(mask) if take.whole else mask"),
        ("data/corpus.py", "(2 * mask - 1).abs() if take.whole else mask", "(2 * mask - 1).abs()")],
    "An encoder of images": [(
        DH, "F.normalize(head(h), dim=-1) for name, head in self.heads.items()",
        'F.normalize(head(crops.flatten(1)[:, :192] if name == "ex" else h), dim=-1) for name, head in self.heads.items()')],
    "No pre-training of the field": [(
        TRAIN, "        self.model = DHNeRF(cfg).to(device)\n",
        "        self.model = DHNeRF(cfg).to(device)\n        self.model.field.density.weight.data *= 0.5  # as if it had learnt\n")],
    "Eq. 8 as the extractor's loss": [
        (TRAIN, "losses.info_nce(*triple, cfg.tau)",
         "(lambda a, p, n: F.triplet_margin_loss(a[:, None].expand_as(n), p[:, None].expand_as(n), n))(*triple)"),
        (TRAIN, "losses.info_nce(*triple, cfg.tau)", "losses.info_nce(*triple, 0.07)")],
    "Positives and negatives of three codes": [
        ("data/sampling.py", "np.where(alike[name], -shared, -np.inf)", "np.where(alike[name], shared, -np.inf)"),
        ("data/sampling.py", "return positives, _best(pool, score, n)", "return positives, pool[:, :n]")],
    "Positives and negatives of the expression": [
        ("data/sampling.py", "np.where(alone, own, ~alike[\"id\"])", "own"),
        ("data/sampling.py", "np.where(own, away, -np.inf)", "np.where(own, -away, -np.inf)"),
        ("data/sampling.py", "np.where(positive, -away, -np.inf)", "np.where(positive, away, -np.inf)")],
    "The caption of Fig. 3": [(LOSSES, "(logits.logsumexp(1) - logits[:, 0]).mean()", "(logits[:, 0] - logits.logsumexp(1)).mean()")],
    "The distance of Eq. 9": [(LOSSES, "return (a * b).sum(-1)", "return 1 - (a * b).sum(-1)")],
    "An irrelevant sound": [value("apart: float = SYNC_FIELD(0.4)", "apart: float = SYNC_FIELD(0.0)"),
                            (AUDIO, "f[(take[f] != take[a]) |", "f[(f == f) |")],
    "Whose sound a negative is": [(TRAIN, "cfg.apart, speech.person, cfg.sync_pool", "cfg.apart, None, None")],
    "HuBERT's layer": [(AUDIO, "hidden = model(torch.from_numpy(piece)[None].to(device)).last_hidden_state[0]",
                        "hidden = model(torch.from_numpy(piece)[None].to(device), output_hidden_states=True).hidden_states[-2][0]")],
    "The window of F_A": [value("audio_window: int = ALL(16)", "audio_window: int = ALL(8)"),
                          (AUDIO, "(np.arange(window) - (window - 1) / 2) * STEP", "np.arange(window) * STEP")],
    "Sound by time stamps": [(AUDIO, "weight = ((at - times[left]) / gap)[..., None]", "weight = np.zeros_like(at)[..., None]")],
    "Codes and pose for new speech": [("inference/rendering.py", "phase = np.arange(length) % (2 * n - 2)",
                                       "return np.arange(length) % n\n    phase = np.arange(length) % (2 * n - 2)")],
    "Pictures of VOCASET": [("data/mesh_takes.py", 'zlib.crc32(f"{subject}/{sentence}".encode())', "zlib.crc32(subject.encode())")],
    "The size of the picture": [value("size: int = ALL(512)", "size: int = ALL(256)"), value("SIZE = 128", "SIZE = 64")],
    "What a step renders": [value("patch=10, rare", "patch=0, rare"),
                            value("pairs=9", "pairs=1"),
                            ("data/sampling.py", "if rng.random() < 0.5:", "if rng.random() < 0.0:")],
    "Learning rates and iterations": [value("lr_hold=0.5", "lr_hold=0.0"), value("FIELD(800_000)", "FIELD(100_000)"),
                                      (TRAIN, "return cfg.lr_final**along", "return 1 - (1 - cfg.lr_final) * along")],

    "The picture's opacity": [(DH, "torch.sigmoid(logit + rgba[:, 3:])", "torch.sigmoid(logit)")],
    "Learnt planes": [value("plane_channels=16", "plane_channels=0"), value("plane_channels: int = FIELD(0)", "plane_channels: int = FIELD(16)"),
                      (DH, "planes = self.planes + mixed", "planes = self.planes + 0 * mixed")],
    "Layout of the 2D renderer": [(
        DH, "F.pixel_shuffle(self.to_pixels(x), self.upsample)",
        'F.interpolate(self.to_pixels(x)[:, :PIXEL_CHANNELS], scale_factor=float(self.upsample), mode="bilinear")')],
    "lambda_v": [value("lambda_v=0.02", "lambda_v=10 / (3 * 64**2) ** 0.5"), value("FIELD(10 / (3 * 512**2) ** 0.5)", "FIELD(10.0)")],
    "The weight of L_per": [value("lambda_per: float = FIELD(0.005)", "lambda_per: float = FIELD(1.0)"),
                            (LOSSES, "return lambda_per * l_per + l_pho", "return lambda_per * (l_per + l_pho)")],
    "Outside the mask": [value("outside: float = FIELD(0.3)", "outside: float = FIELD(0.0)"),
                         (TRAIN, "mask + cfg.outside * (1 - mask)", "(mask + cfg.outside * (1 - mask)).sqrt()")],
    "F_lip in training, F_al at synthesis": [(
        TRAIN, "lips = torch.from_numpy(corpus.lips).to(device)",
        "lips = torch.from_numpy(corpus.f_a.reshape(len(corpus), -1)[:, :1]).expand(-1, 40).to(device)")],
    "What E_lip looks at": [
        (AUDIO, "nn.Sequential(nn.Linear(40, d_out), nn.BatchNorm1d(d_out, affine=False))",
         "nn.Sequential(nn.Linear(40, 64), nn.LeakyReLU(0.2), nn.Linear(64, d_out), nn.BatchNorm1d(d_out, affine=False))"),
        ("data/corpus.py", "        lips[own] /= lips[own].std() + 1e-9\n", "")],
    "The voice is taken out of F_A": [(AUDIO, "features = scale * standardised(features, times, wave)", "features = scale * features")],
    "E_audio of a clip": [value('"sound_layers": 0', '"sound_layers": 3'), value('"sound_noise": 1.0', '"sound_noise": 0.5'),
                          value('"voices": 0.1', '"voices": 0.0'), value('"sound_smooth": 0.04', '"sound_smooth": 0.0'),
                          ("data/prepare.py", 'if not cfg.voices or len(corpus.names["id"]) > 1:', "if not cfg.voices:")],
    "Picture and sound of a clip": [value('av_offset: str = ALL("auto")', 'av_offset: str = ALL("0")'),
                                    ("data/clip.py", "elif IN_SYNC[0] <= found.seconds <= IN_SYNC[1]:", "elif found.seconds == 0:"),
                                    ("data/clip.py", "if not found.sure:", "if found.sure is None:")],
    "Features centred before unit length": [
        (AUDIO, "self.net = nn.Sequential(nn.Linear(40, d_out), nn.BatchNorm1d(d_out, affine=False))", "self.net = nn.Linear(40, d_out)"),
        (AUDIO, "nn.Linear(channels * length, d_out),\n                                 nn.BatchNorm1d(d_out, affine=False))",
         "nn.Linear(channels * length, d_out))")],
    "Codes centred before unit length": [(DH, "nn.Sequential(nn.Linear(192, d), nn.BatchNorm1d(d, affine=False))",
                                          "nn.Sequential(nn.Linear(192, d))")],
    "How near two expressions are": [("data/corpus.py", "for part in (slice(0, brows), slice(brows, None)):",
                                      "for part in (slice(0, None),):")],
    "Which frames are drawn": [value("rare=0.5", "rare=0.0")],
    "The extractor does not see the mouth": [value("blank_mouth: bool = EXTRACTOR_FIELD(True)", "blank_mouth: bool = EXTRACTOR_FIELD(False)"),
                                             ("data/crops.py", "MOUTH_TOP = 0.64", "MOUTH_TOP = 0.86")],
    "C_ex of a lookalike": [value("ex_swap: float = FIELD(0.5)", "ex_swap: float = FIELD(0.0)"),
                            ("data/sampling.py", 'nearest = np.argsort(away, kind="stable")[:k]', "nearest = np.arange(len(away))[:k]")],
    "Noise on the codes of a clip": [value('"code_noise": 0.9', '"code_noise": 0.0'),
                                     value("code_noise: float = FIELD(0.0)", "code_noise: float = FIELD(0.9)")],
    "A code a label": [value("code_per_frame: bool = FIELD(False)", "code_per_frame: bool = FIELD(True)"),
                       ("data/corpus.py", "        if not per_frame:\n", "        if per_frame:\n")],
    "Where the codes start": [value("random_codes: bool = FIELD(False)", "random_codes: bool = FIELD(True)"),
                              (DH, "start = references[name].clone()", "start = torch.zeros_like(references[name])")],
    "Head and body by one field": [value('"body": True', '"body": False'),
                                   (DH, "return x_head + torch.sigmoid(self.body_weight(x_body)) * (x_body - x_head)", "return x_head")],
    "The bust": [value("solid: float = FIELD(4.0)", "solid: float = FIELD(0.0)"),
                 (DH, "logit = logit + self.solid * bust.inside(points)", "pass")],
    "The view direction of a clip": [value('{"n_freq_v": 0}', '{"n_freq_v": 2}')],
    "Samples that matter": [value("least: float = FIELD(1e-3)", "least: float = FIELD(0.0)")],

    "N and tau": [value("n_negatives: int = ENCODERS(10)", "n_negatives: int = ENCODERS(5)"),
                  value("tau: float = ENCODERS(0.5)", "tau: float = ENCODERS(0.07)")],
    "Frames a step": [("speed/parallel.py", "grad.copy_(values.view_as(grad) / size())", "grad.copy_(values.view_as(grad))")],
    "Precision": [(DH, "    @exact\n    def rays", "    def rays"), value('precision: str = FIELD("auto")', 'precision: str = FIELD("float32")')],
    "Chance": [("tools/seeds.py", "[seed, STAGES[stage], iteration + 1]", "[seed, iteration + 1]"),
               ("tools/seeds.py", "[seed, STAGES[stage], iteration + 1]", "[seed, STAGES[stage]]")],
    "Two kinds of data": [("data/prepare.py", "    return bool(videos_in(path)) and not any((path / part).is_file() for part in PARTS)", "    return True")],
    "Landmark distance": [("evaluation/measures.py", "(mouth - mouth.mean(1, keepdims=True)) - (true - true.mean(1, keepdims=True))", "mouth - true"),
                          ("evaluation/measures.py", "100 * (distance / eye_distance(truth)).mean()", "distance.mean()")],
    "Sync confidence": [("evaluation/measures.py", "float(np.median(mean) - mean.min())", "float(mean.mean() - mean.min())"),
                        ("evaluation/measures.py", "    valid = ids[at] == wanted\n", "    valid = np.ones(wanted.shape, bool)\n")]}
