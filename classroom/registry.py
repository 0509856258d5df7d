"""registry.py - where each equation of the paper is: function, test, tutorial section, exercise.

It is the single source of these links: `python -m classroom.registry` writes the table in README.md
from it, stubs.py takes the equations of its stubs from it, and tests/test_registry.py fails when a
function, a test, a section or an exercise that it names is missing. Nothing here needs torch.

In:  nothing. Out: LINKS. Read next: the functions themselves, in this order.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tools.errors import InputError, replacing, run_cli

ROOT = Path(__file__).resolve().parent.parent  # of the program
README = ROOT / "README.md"
ROOMS = ("tools", "synthetic", "data", "inference", "evaluation", "classroom", "tests")
BEGIN, END = "<!-- equations -->", "<!-- /equations -->"

# Sections of tutorial.md in the order of the paper, Sec. 3.1 to 4.6
OVERVIEW = "3.1 Overview: from a clip and speech to a talking head"
SOUND = "3.1 Sound features and their alignment with the frames"
POSE = "3.2 Head pose, P_cam and F_exp from 68 landmarks"
FIELD = "3.2 The field and its conditions (Eq. 1)"
RENDERING = "3.2 Rays and volume rendering (Eq. 1)"
UPSAMPLING = "3.2 The 2D neural renderer (Eq. 1)"
TOTAL = "3.3 The total loss (Eq. 2)"
RECONSTRUCTION = "3.3 Reconstruction loss (Eq. 3, 4, 5)"
DISENTANGLING = "3.3 Disentangling loss and reference codes (Eq. 6)"
VELOCITY = "3.3 Velocity loss (Eq. 7)"
SYNC = "3.4 Lip sync module (Eq. 8, 9)"
DATA = "4.1 Data: meshes, albedo and light"
TRAINING = "4.2 Training"
MEASURES = "4.3 Measures"
RESULTS = "4.4 Results (Table 1)"
PICTURES = "4.5 Pictures and new head poses"
ABLATION = "4.6 Ablation (Table 2)"
SECTIONS = (OVERVIEW, SOUND, POSE, FIELD, RENDERING, UPSAMPLING, TOTAL, RECONSTRUCTION,
            DISENTANGLING, VELOCITY, SYNC, DATA, TRAINING, MEASURES, RESULTS, PICTURES, ABLATION)


@dataclass(frozen=True)
class Link:
    """One function of the program and where the reader finds it."""
    paper: str  # "Eq. 8", or the section of a step that has no equation
    what: str  # in two or three words
    function: str  # module.name, the module with its room: "data.crops.stable_crop"
    section: str  # one of SECTIONS
    test: str  # a pytest marker, or a file of tests/ and, where needed, an option of pytest
    exercise: str | None = None  # its name in exercises.py
    formula: str = ""

    @property
    def module(self) -> str:
        return self.function.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.function.rpartition(".")[2]

    @property
    def file(self) -> str:
        return f"{self.module.replace('.', '/')}.py"

    def line(self) -> int:
        """Where the function, or the class, begins in its file."""
        lines = (ROOT / self.file).read_text().splitlines()
        return next(n for n, line in enumerate(lines, 1)
                    if re.match(rf"(def|class) {self.name}\b", line))


LINKS = (
    Link("Eq. 1", "the equation: `forward`", "dhnerf.Field", FIELD, "eq1", None,
         "D_theta(x, v, P_cam, C, F_lip) = (sigma(x), M(x)),   C = {C_id, C_ex, C_al, C_ill}"),
    Link("Eq. 1", "the whole model", "dhnerf.DHNeRF", FIELD, "eq1", None,
         "codes, F_lip, P_cam -> M -> I"),
    Link("Eq. 1", "sines and cosines of x", "dhnerf.positional_encoding", FIELD, "eq1",
         "eq1_encoding", "gamma(x) = (x, sin(2^0 pi x), ..., sin(2^(n-1) pi x), "
         "cos(2^0 pi x), ..., cos(2^(n-1) pi x))   [NeRF Eq. 4]"),
    Link("Eq. 1", "how codes enter", "dhnerf.code_bias", FIELD, "eq1", "eq1_conditioning",
         "W [x, c] = W_x x + W_c c,   c = (C_id, C_ex, F_lip): W_c c is a bias of the whole frame"),
    Link("Eq. 1", "rays, P_cam", "render.pixel_rays", RENDERING, "eq1", "eq1_rays",
         "x(t) = o + t v,   v = R K^-1 (u, v, 1)^T / |.|,   o = T,   P_cam = (R, T)"),
    Link("Eq. 1", "weights of samples", "render.compositing_weights", RENDERING, "eq1",
         "eq1_weights", "w_i = T_i (1 - exp(-sigma_i delta_i)),   "
         "T_i = exp(-sum_{j<i} sigma_j delta_j)   [NeRF Eq. 3]"),
    Link("Eq. 1", "hierarchical sampling", "render.hierarchical_samples", RENDERING, "eq1",
         "eq1_sampling",
         "t_k = CDF^-1(u_k),   CDF of the density that is w_i / sum w in bin i   [NeRF Sec. 5.2]"),
    Link("Eq. 1", "compositing", "render.render_rays", RENDERING, "eq1", "eq1_render",
         "M(ray) = sum_i w_i M(x_i)"),
    Link("Eq. 2", "L_total", "losses.total_loss", TOTAL, "eq2", "eq2",
         "L_total = lambda_rec L_rec + lambda_dis L_dis + lambda_v L_v"),
    Link("Eq. 3", "L_rec", "losses.reconstruction_loss", RECONSTRUCTION, "eq3", "eq3",
         "L_rec = L_per + L_pho"),
    Link("Eq. 4", "L_per", "losses.perceptual_loss", RECONSTRUCTION, "eq4", "eq4",
         "L_per = sum_i ||phi_i(I) - phi_i(I_GT)||^2"),
    Link("Eq. 4", "VGG16 of L_per", "losses.load_vgg", RECONSTRUCTION, "eq4", None,
         "phi_i: activations of VGG16"),
    Link("Eq. 5", "L_pho", "losses.photometric_loss", RECONSTRUCTION, "eq5", "eq5",
         "L_pho = ||m(I) - m(I_GT)||^2"),
    Link("Eq. 6", "L_dis", "losses.disentangling_loss", DISENTANGLING, "eq6", "eq6",
         "L_dis = sum over id, ex, al, ill of lambda ||C - C_ref||^2   "
         "(C_ref: the paper's barred C)"),
    Link("Sec. 3.3", "the blank mouth", "data.crops.without_mouth", DISENTANGLING,
         "test_corpus.py", None, "the extractor sees the head with everything below the nose grey"),
    Link("Sec. 3.3", "positives, negatives", "data.sampling.suitability", DISENTANGLING,
         "test_corpus.py", "contrast",
         "positive: the same factor, little else;   negatives: another, the rest alike"),
    Link("Sec. 3.3", "their draw", "data.sampling.contrast", DISENTANGLING, "test_corpus.py", None,
         "of a random draw of those that may be one, the best"),
    Link("Eq. 7", "L_v", "losses.velocity_loss", VELOCITY, "eq7", "eq7",
         "L_v = ||(I^j - I^(j-1)) - (I_GT^j - I_GT^(j-1))||_2"),
    Link("Eq. 8", "L_lips", "losses.info_nce", SYNC, "eq8", "eq8",
         "L_lips = -log( exp(d(F_lip, F_al+)/tau) / "
         "(exp(d(F_lip, F_al+)/tau) + sum_N exp(d(F_lip, F_al-)/tau)) )"),
    Link("Eq. 9", "cosine", "losses.cosine_similarity", SYNC, "eq9", "eq9",
         "d(a, b) = a.b / (||a||_2 ||b||_2)"),
    Link("Sec. 3.1", "F_A", "audio.align_to_frames", SOUND, "test_audio.py", "alignment",
         "F_A[t, k] = features at the time  t_frame + (k - (w - 1) / 2) 20 ms,  "
         "linear between the vectors"),
    Link("Sec. 3.2", "P, a first guess", "tracking.initial_pose", POSE,
         "test_exercises.py -k pose", "pose", "(u - c_x, c_y - v) / f = s (R X + p)_xy,   "
         "s = 1 / depth: scaled orthographic projection"),
    Link("Sec. 3.2", "P_cam", "tracking.camera_to_head", POSE, "test_exercises.py -k camera",
         "camera",
         "P_cam = P^-1:   X_cam = FLIP (R X_head + p)   =>   X_head = R^T FLIP X_cam - R^T p"),
    Link("Sec. 4.1", "light", "synthetic.light.sh_basis", DATA, "test_rasteriser.py", "light",
         "colour = albedo max(0, sum_k Y_k(n) L_k),   "
         "Y_k: the 9 real spherical harmonics of degree <= 2"),
    Link("Sec. 4.1", "light, turned", "synthetic.light.rotate_light", DATA, "test_rasteriser.py",
         "light_turned", "sum_k Y_k(n) L'_k = sum_k Y_k(R n) L_k   for every direction n"),
    Link("Sec. 4.2", "a training step", "train.FieldTrainer", TRAINING, "test_train.py", None,
         "draw a batch -> Eq. 2 -> one step of Adam"),
    Link("Sec. 4.2", "what a run keeps", "inference.run.Checkpoint", TRAINING, "test_cli.py", None,
         "weights, codes, optimisers, takes"),
    Link("Sec. 4.3", "Sync", "evaluation.measures.sync_confidence", MEASURES, "test_measures.py",
         "sync",
         "confidence = median_j d_j - min_j d_j,   d_j = mean_t d(picture t, sound t + j - k)"),
)


def is_ours(file: Path) -> bool:
    """Whether a file belongs to the program: it stands at its root or in one of its rooms."""
    place = file.resolve()
    if not place.is_relative_to(ROOT):
        return False
    return place.parent == ROOT or place.relative_to(ROOT).parts[0] in ROOMS


def link_of(exercise: str) -> Link:
    """The link of an exercise."""
    return next(link for link in LINKS if link.exercise == exercise)


def anchor(heading: str) -> str:
    """GitHub's anchor of a Markdown heading: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def readme_table() -> str:
    """The table of README.md, Markdown, from the first marker to the last."""
    rows = [BEGIN, "| paper | what | function | test | tutorial | exercise |", "|---" * 6 + "|"]
    for link in LINKS:
        test = f"pytest tests/{link.test}" if ".py" in link.test else f"pytest -m {link.test}"
        exercise = f"`{link.exercise}`" if link.exercise else ""
        tutorial = f"[{link.section.split()[0]}](tutorial.md#{anchor(link.section)})"
        function = f"[`{link.function}`]({link.file}#L{link.line()})"
        cells = link.paper, link.what, function, f"`{test}`", tutorial, exercise
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, END])


def table_in(text: str) -> str:
    """What stands between the markers in `text`, and they. Raises InputError without them."""
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise InputError("README.md: has no table to fill; "
                         f"put the lines {BEGIN} and {END} where it belongs")
    return text[begin:end + len(END)]


def main() -> int:
    """Write the table of README.md anew."""
    text = README.read_text()
    with replacing(README) as temporary:
        temporary.write_text(text.replace(table_in(text), readme_table()))
    print(f"README.md: {len(LINKS)} rows between {BEGIN} and {END}")
    return 0


if __name__ == "__main__":
    run_cli(main)
