# ---
# jupyter:
#   course:
#     title: Focal and re-weighted losses
#     summary: What cross entropy listens to, how weights and focus change it, and what published code gets wrong.
#     minutes_reading: 40
#     minutes_exercises: 35
#     compared_cells: 6
#   jupytext:
#     notebook_metadata_filter: course,kernelspec,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Focal and re-weighted losses
#
# **If nearly all pixels are background, whom does the loss listen to?**
#
# After this lesson you can
#
# - see how much of the gradient comes from defects, and change that with class weights or focus;
# - derive the focal loss, and write it so that it survives extreme logits;
# - compute class weights that do not explode, and say what they are divided by;
# - recognize seven mistakes of published losses, and say what they do;
# - judge whether a new loss finds more, or only moves the threshold.
#
# You need lesson 01 and a little PyTorch. About 40 minutes of reading and 35 of exercises.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "magnetic_tile", "sd_saliency_900", "folder:<path>"
seed = 0

# %%
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from course_utils import evaluation, plots
from course_utils.data import CachedDataset, class_weights, count_pixels, open_dataset
from course_utils.lessons import (
    exercise, explore, predict, prove_equal, quiz, record_metric, start_lesson,
)  # fmt: skip
from course_utils.losses import (
    binary_focal_loss, softmax_focal_loss, weighted_cross_entropy,
)  # fmt: skip
from course_utils.losses import pitfalls
from course_utils.models import SmallSegmenter
from course_utils.training import fit, predict_probabilities

lesson = start_lesson("02_focal_and_reweighted_losses", profile=profile, dataset=dataset, seed=seed)

# %% [markdown]
# ## Predict first

# %%
predict(
    "A pixel is right with probability .97. Focal loss with gamma = 2 keeps some of its cross "
    "entropy. How much?",
    ["about half", "about 3 %", "about 0.1 %"],
)

# %% [markdown]
# ## Whom does the loss listen to?
#
# A network gives each pixel a **logit** $x$, any real number. The **sigmoid** $p = 1 / (1 + e^{-x})$
# makes it the probability of a defect; for several classes **softmax** does the same with one logit
# each. A network learns from the gradient of the loss. For cross entropy the gradient at the logit of a
# pixel is simply $p - y$: how far its probability is from the truth. Every pixel has a vote of that
# size; the defects have few.

# %%
size = lesson.pick(smoke=64, laptop=128, full=256)


def some_of(split, count):
    """A random choice of images, read once and kept in memory."""
    images = open_dataset(dataset, split, size=size, seed=seed)
    chosen = np.random.default_rng(seed).permutation(len(images))[:count]
    return CachedDataset(images, indices=chosen)


train = some_of("train", lesson.pick(smoke=48, laptop=300, full=600))
val = some_of("val", lesson.pick(smoke=24, laptop=150, full=200))
test = some_of("test", lesson.pick(smoke=24, laptop=150, full=200))
print(train.split_note)


# %%
def train_network(loss_function, run_seed, steps, num_classes=1, label="training", **watch):
    torch.manual_seed(run_seed)
    model = SmallSegmenter(in_channels=train.channels, num_classes=num_classes)
    batches = DataLoader(train, batch_size=8, shuffle=True, drop_last=True)
    history = fit(
        model,
        batches,
        loss_function,
        steps=steps,
        learning_rate=1e-2,
        device=lesson.device,
        precision=lesson.precision,
        progress=lesson.progress,
        description=label,
        **watch,
    )
    return model, history


# %% [markdown]
# We watch a network during its first steps with plain cross entropy, and ask each of three losses:
# *if you were in charge now, which share of your gradient would come from defects?*


# %%
def focal(alpha, gamma):
    """A binary focal loss of a (N, H, W) mask, scaled so that alpha = .5, gamma = 0 is plain."""
    return lambda logits, mask: (
        2 * binary_focal_loss(logits, (mask > 0).unsqueeze(1), alpha=alpha, gamma=gamma)
    )


losses = {
    "cross entropy": focal(0.5, 0),
    "weighted (alpha .95)": focal(0.95, 0),
    "focal (gamma 2)": focal(0.5, 2),
}


def votes(loss_function, logits, mask):
    """Size of the gradient at each pixel's logit (the 1 / N of the mean taken out)."""
    with torch.enable_grad():
        x = logits.detach().float().requires_grad_()
        loss_function(x, mask).backward()
    return x.grad[:, 0].abs() * mask.numel()


# %%
with_defects = sorted(val, key=lambda sample: -(sample.mask > 0).sum().item())[:16]
watched = torch.stack([sample.image for sample in with_defects])
watched_masks = torch.stack([sample.mask for sample in with_defects])


def share_of_defects(model):
    logits = model(watched.to(next(model.parameters()).device)).float().cpu()
    background = logits.detach().squeeze(1)[watched_masks == 0]
    found = {"p on background": background.sigmoid().mean().item()}
    for name, loss_function in losses.items():
        size_of_vote = votes(loss_function, logits, watched_masks)
        found[name] = (size_of_vote[watched_masks > 0].sum() / size_of_vote.sum()).item()
    return found


# %%
torch.manual_seed(seed)
untrained = SmallSegmenter(in_channels=train.channels, num_classes=1).eval()
at_start = share_of_defects(untrained)
_, history = train_network(
    focal(0.5, 0),
    seed,
    lesson.pick(smoke=8, laptop=60, full=60),
    evaluate=share_of_defects,
    evaluate_every=2,
)

# %% [markdown]
# The images are the 16 validation images with the most defect, so defects have more pixels here than
# on average. *At which step does each loss begin to hear them?*

# %%
at = [0, *history.metric("cross entropy")[0]]
series = {name: [at_start[name], *history.metric(name)[1]] for name in at_start}
background = series.pop("p on background")
share_of_pixels = (watched_masks > 0).float().mean().item()
figure = plots.lines(
    at,
    {**series, "share of the pixels": np.full(len(at), share_of_pixels)},
    xlabel="step of training with cross entropy",
    ylabel="share of the gradient from defects",
    ylim=(0, 1.02),
    direct_labels=False,
    title="Weights hear the defects at once, focus soon, cross entropy last",
)
plots.show(figure, "Share of the gradient from defect pixels in the first steps, for three losses")
for step, p in list(zip(at, background))[::5]:
    print(f"step {step:2.0f}: mean probability of defect on background {p:.3f}")
record_metric("vote/cross_entropy_untrained", series["cross entropy"][0])

# %% [markdown]
# Before the first step nobody is decided, each pixel has about the same vote, and under cross
# entropy defects have about as large a share of the votes as of the pixels. So the network learns
# first to call everything background: the printed probabilities fall. Weights give defects a say
# from the start. Focus needs a moment: it mutes what is known *already*, and the background is known
# first. And plain cross entropy? It gets there too, later.
#
# Here are the votes on one image, early on. The colors span decades. *Find the defect in each of
# the maps.*

# %%
early, _ = train_network(focal(0.5, 0), seed, lesson.pick(smoke=8, laptop=25, full=25))
sample = with_defects[len(with_defects) // 2]
with torch.no_grad():
    image = sample.image.unsqueeze(0).to(next(early.parameters()).device)
    early_logits = early(image).cpu()
one_mask = sample.mask.unsqueeze(0)
truth_shown = {"image and truth": plots.overlay(sample.image, sample.mask)}
maps = {name: votes(function, early_logits, one_mask)[0] for name, function in losses.items()}
figure = plots.pixel_maps(
    {name: one.clamp(min=1e-3) for name, one in maps.items()},
    pictures=truth_shown,
    log=True,
    limit=2.0,
    label="size of the vote",
    title="Each pixel's vote: cross entropy hears everybody a little, focal loss those still wrong",
)
plots.show(figure, "An image, and maps of the gradient at each pixel for three losses")

# %% [markdown]
# ## Class weights, from scratch
#
# The simplest remedy: multiply the loss of each pixel by a weight $w_y$ of its **true** class,
#
# $$L = \frac{1}{N} \sum_i w_{y_i} \, (-\log p_{i, y_i}).$$
#
# In words: cross entropy in which a pixel of a rare class counts as several. In PyTorch, from
# logits $(N, C, H, W)$ and class indices $(N, H, W)$:


# %%
def from_scratch(logits, target, weights):
    log_p = F.log_softmax(logits, dim=1)
    of_the_truth = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return (weights[target] * -of_the_truth).mean()


# %% tags=["nbval-check-output"]
rng = torch.Generator().manual_seed(0)
some_logits = torch.randn(2, 4, 16, 16, generator=rng)
some_target = torch.randint(4, (2, 16, 16), generator=rng)
some_weights = torch.tensor([1.0, 5.0, 10.0, 100.0])
prove_equal(from_scratch, weighted_cross_entropy, some_logits, some_target, some_weights)

# %% [markdown]
# **What is it divided by?** We divide by the number of pixels, as Keras and TensorFlow do.
# `torch.nn.functional.cross_entropy(weight=…)` divides by the *sum of the weights*. Both are fine.
# Whoever compares losses, or copies a learning rate, must know which one it is:

# %% tags=["nbval-check-output"]
by_pixels = weighted_cross_entropy(some_logits, some_target, some_weights)
by_weights = weighted_cross_entropy(some_logits, some_target, some_weights, normalise="weights")
torch_says = F.cross_entropy(some_logits, some_target, weight=some_weights)
print(f"divided by pixels  {by_pixels.item():6.1f}")
print(f"divided by weights {by_weights.item():6.1f}")
print(f"torch              {torch_says.item():6.1f}")

# %% [markdown]
# ## Which weights?
#
# They come from pixel counts, taken **once, over the whole training set**. `count_pixels` reads
# arrays, data sets and loaders alike:

# %%
names = train.class_names
from_data_set = count_pixels(train, len(names))
from_array = count_pixels(torch.stack([s.mask for s in train]), len(names))
loader = DataLoader(train, batch_size=8)
from_generator = count_pixels((batch for batch in loader), len(names), batches=len(loader))
assert (from_data_set == from_array).all()
assert (from_data_set == from_generator).all()
print(dict(zip(names, from_data_set.tolist())))

# %% [markdown]
# How to turn counts into weights? With $n_c$ pixels of class $c$, $N$ in all and $K$ classes:
# *inverse* $N / n_c$, *balanced* $N / (K n_c)$, *median frequency* $\mathrm{median}(n) / n_c$,
# *square root* $\propto 1/\sqrt{n_c}$. *Look at how many decades lie between background and the
# rarest class, and at how the root halves them.*

# %%
counts = from_data_set
schemes = {
    "inverse": class_weights(counts, "inverse", absent="zero"),
    "balanced": class_weights(counts, "balanced", absent="zero"),
    "balanced, cap 50": class_weights(counts, "balanced", cap=50, absent="zero"),
    "median frequency": class_weights(counts, "median_frequency", absent="zero"),
    "square root": class_weights(counts, "sqrt", absent="zero"),
}
figure = plots.heatmap(
    np.stack([np.log10(w.numpy().clip(1e-9)) for w in schemes.values()]),
    xlabels=list(names),
    ylabels=list(schemes),
    center=0,
    limits=(-3.5, 3.5),
    fmt="{:+.1f}",
    title="Weight of each class, as a power of ten",
)
plots.show(figure, "Class weights of four schemes as powers of ten")

# %% [markdown]
# Balanced weights give every class the same total, however rare it is: a handful of pixels then has
# as much say as the whole background. A cap is gentler (here it makes all defect classes equal), and
# so is the root.
#
# ## Focal loss, from scratch
#
# Class weights ask *what* a pixel is. Focal loss asks *how well it is known*. Let $p_t$ be the
# probability that the network gives to the truth. Then
#
# $$\mathrm{FL} = -\alpha_t \, (1 - p_t)^\gamma \, \log p_t .$$
#
# In words: cross entropy, times a factor that vanishes where the network is already right. Gamma
# sets how fast it vanishes, alpha is the weight of the **positive class**, the defect. *The loss has a
# logarithmic axis. Look at the right, where the many easy pixels sit; the dot is the question above.*

# %%
p_t = np.linspace(0.005, 0.995, 300)
figure = plots.lines(
    p_t,
    {f"gamma {g:g}": -((1 - p_t) ** g) * np.log(p_t) for g in (0, 0.5, 1, 2, 5)},
    xlabel="probability given to the truth, p_t",
    ylabel="loss of the pixel",
    logy=True,
    ylim=(1e-6, 10),
    markers={"p_t = .97, gamma 2": (0.97, 0.03**2 * -np.log(0.97))},
    direct_labels=False,
    title="The larger gamma, the less a well-known pixel counts",
)
plots.show(figure, "Focal loss over the probability of the truth for five values of gamma")

# %% [markdown]
# **A numerically stable form.** Taken literally the formula needs $\log p$ and $\log(1 - p)$. In
# float32 $1 - p$ is exactly 0 from a logit of 17 on, and its logarithm infinite. So we take no
# logarithm of a probability. With the logit $x$, and
# $\mathrm{softplus}(z) = \log(1 + e^z)$, which every library computes safely,
#
# $$-\log p = \mathrm{softplus}(-x), \qquad -\log (1 - p) = \mathrm{softplus}(x) = x +
# \mathrm{softplus}(-x).$$
#
# Write $a = \alpha (1-p)^\gamma y$ and $b = (1-\alpha)\, p^\gamma (1-y)$. Collecting terms gives
#
# $$L = (a + b)\,\mathrm{softplus}(-x) + b\,x .$$


# %%
def focal_from_scratch(x, y):
    alpha, gamma = 0.25, 2.0
    p = torch.sigmoid(x)
    a = alpha * (1 - p) ** gamma * y
    b = (1 - alpha) * p**gamma * (1 - y)
    return ((a + b) * F.softplus(-x) + b * x).mean()


# %% tags=["nbval-check-output"]
x = 3 * torch.randn(4, 1, 8, 8, generator=rng)
y = (torch.rand(4, 1, 8, 8, generator=rng) < 0.2).float()
prove_equal(focal_from_scratch, binary_focal_loss, x, y.long())

# %% [markdown]
# The worked numbers, and in the first row the answer to the question at the beginning.

# %% tags=["nbval-check-output"]
print(" y    p    weight       CE    focal   focal, alpha .25")
for y, p in ((1, 0.97), (1, 0.30), (0, 0.80), (0, 0.10), (1, 0.50)):
    x, truth = torch.tensor([p]).double().logit(), torch.tensor([y])
    ce = 2 * binary_focal_loss(x, truth, alpha=0.5, gamma=0).item()
    fl = 2 * binary_focal_loss(x, truth, alpha=0.5, gamma=2).item()
    both = binary_focal_loss(x, truth, alpha=0.25, gamma=2).item()
    print(f" {y}  {p:.2f}   {fl / ce:.4f}   {ce:.4f}   {fl:.5f}   {both:.5f}")

# %% [markdown]
# And the softmax form, for several classes that exclude each other, with class weights in the place
# of alpha:


# %% tags=["nbval-check-output"]
def softmax_focal_from_scratch(logits, target, weights):
    log_p = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return (-weights[target] * (1 - log_p.exp()) ** 2 * log_p).mean()


def softmax_focal(logits, target, weights):
    return softmax_focal_loss(logits, target, gamma=2, class_weights=weights)


prove_equal(softmax_focal_from_scratch, softmax_focal, some_logits, some_target, some_weights)


# %% [markdown]
# **Play with it.** *Which settings make the votes of the background disappear? What happens to the
# defect at gamma 5?*


# %%
def votes_at(gamma, alpha):
    one = votes(focal(alpha, gamma), early_logits, one_mask)[0]
    share = (one[sample.mask > 0].sum() / one.sum()).item()
    return plots.pixel_maps(
        {
            "cross entropy": maps["cross entropy"].clamp(min=1e-3),
            f"gamma {gamma:g}, alpha {alpha:g}": one.clamp(min=1e-3),
        },
        pictures=truth_shown,
        log=True,
        limit=2.0,
        label="size of the vote",
        title=f"gamma {gamma:g}, alpha {alpha:g}: defects have {share:.0%} of the gradient",
    )


explore(
    votes_at,
    alt="The vote of each pixel under a focal loss",
    gamma=(0.0, 5.0, 0.5),
    alpha=(0.05, 0.95, 0.05),
    fallback=[{"gamma": 0.0, "alpha": 0.9}, {"gamma": 2.0, "alpha": 0.5},
              {"gamma": 5.0, "alpha": 0.5}],
)  # fmt: skip

# %% [markdown]
# ## The mistakes
#
# Seven mistakes stand in public code: blog posts, a lab report, an answer on a question-and-answer
# site, a repository. `course_utils.losses.pitfalls` holds them as small functions. We look at what
# they do.
#
# **1. Clipped probabilities.** "To avoid log(0)" the probability is clipped to [.001, .999]. Outside
# the clip the loss is constant, and its gradient exactly 0. **2. Double softmax.** A loss that
# expects logits is fed softmax output, and applies softmax again. *The pixel is a defect; its
# **margin** is the defect logit minus the background logit. Far left the network is badly wrong: how
# hard does each loss pull there?*

# %%
margin = torch.linspace(-12, 8, 201)
pixels = torch.stack([torch.zeros_like(margin), margin], 1)
defect = torch.ones(len(margin), dtype=torch.long)


def pull(loss_function):
    """Gradient of each pixel's loss at its defect logit, sign flipped: positive pulls up."""
    x = pixels.clone().requires_grad_()
    (loss_function(x) * len(margin)).backward()
    return -x.grad[:, 1].numpy()


# %%
figure = plots.lines(
    margin.numpy(),
    {
        "clipped to [.001, .999]": pull(
            lambda x: pitfalls.clipped_focal_loss(x.softmax(1), defect)
        ),
        "double softmax": pull(lambda x: pitfalls.double_softmax_focal_loss(x, defect, gamma=2)),
        "from logits": pull(lambda x: softmax_focal_loss(x, defect, gamma=2)),
    },
    xlabel="margin of the defect logit (negative: the network is wrong)",
    ylabel="pull towards the truth",
    direct_labels=False,
    title="At the worst pixels two published losses let go; from logits the pull stays",
)
plots.show(figure, "Pull of three focal losses on a defect pixel over its margin")

# %% tags=["nbval-check-output"]
certain = torch.tensor([[-50.0, 50.0]])
one = torch.tensor([1])
floor = pitfalls.double_softmax_focal_loss(certain, one, gamma=4).item()
print(f"a perfect pixel costs {floor:.5f} under double softmax, gamma 4")
print(f"and {softmax_focal_loss(certain, one, gamma=4).item():.5f} from logits")

# %% [markdown]
# In the public MemSeg code (TooTouch/MemSeg) that one mistake was worth 1.3 points of image AUROC and 5.5 points of
# pixel AUROC: mending it alone moved the averages from 95.5 / 89.6 to 96.8 / 95.2, as the project's
# own README reports.
#
# **3. Inverted weights.** One blog gives label 1 the weight .1 and all else .9. In the paper that it
# cites, label images are black (0) at the defect, so 1 *is* the background. Under the usual coding
# the same line damps defects ninefold. **4. Alpha of class 0.** Another turns a scalar alpha into
# the weights [alpha, 1 - alpha] of classes [0, 1]: there, alpha weighs the background. A weight
# belongs to a *named class*, never to "the first number". Below we train with inverted weights.
#
# **5. Weights per batch.** Weights of batch size / pixels *in this batch*: one stray pixel of a class
# then has as much weight as all the background of the batch together. *Each dot is the weight of a
# class in one batch.*

# %%
batches = DataLoader(train, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(0))
per_batch = [pitfalls.per_batch_class_weights(b.mask, len(names)).numpy() for b in batches]
per_batch = np.stack(per_batch)
relative = {}
for c, name in enumerate(names[1:], start=1):
    present = per_batch[:, c] < 1e6  # an absent class would get 4e7
    if present.any():
        relative[name] = np.log10(per_batch[present, c] / per_batch[present, 0])
figure = plots.seed_dots(
    relative,
    xlabel="weight of the class, in powers of ten of the background's",
    higher_is_better=None,
    fmt="{:.1f}",
    title="The weight of one and the same class jumps from batch to batch, tenfold and more",
)
plots.show(figure, "Per-batch weights of each class relative to the background, logarithmic")

# %% [markdown]
# **6. Weights times the prediction.** An accepted answer multiplies the cross entropy by
# $\sum_c w_c\, p_c$, the weight of what the network *predicts*. Now the network has a second way to
# lower the loss: move probability to cheap classes. *A pixel of the rare class, weight 100. Follow
# the loss from the left, as the probability of the truth grows.*

# %%
p = np.logspace(-4, -0.001, 4000)
rows = torch.stack([torch.zeros(4000).double(), torch.tensor(p).logit()], 1)
rare, w = torch.ones(4000, dtype=torch.long), torch.tensor([1.0, 100.0])
by_prediction = pitfalls.cross_entropy_weighted_by_prediction(rows, rare, w).numpy()
by_truth = weighted_cross_entropy(rows, rare, w, reduction="none").numpy()
turns = np.flatnonzero(np.diff(np.sign(np.diff(by_prediction)))) + 1
figure = plots.lines(
    p,
    {"weighted by the prediction": by_prediction, "weighted by the truth": by_truth},
    xlabel="probability of the true, rare class",
    ylabel="loss",
    logx=True,
    logy=True,
    direct_labels=False,
    markers={f"turns at {p[t]:.4f}": (p[t], by_prediction[t]) for t in turns},
    title="Weighted by the prediction, the loss has a false minimum: rare pixels sink into it",
)
plots.show(figure, "Loss over the probability of the rare class for both weightings")

# %% [markdown]
# Between the two turns a rare pixel is pushed *down*, away from the truth; below the first it climbs
# only as far as the false minimum. Pixels of rare classes get there once the network has learned to
# call everything background, and the printed probabilities above show that this comes first.
#
# **7. Sums for means.** The same answer returns the sum over the pixels: the learning rate then
# means something else for every image size, by a factor of 16 384 at 128 x 128.
#
# ## Does it help? Four losses, three seeds
#
# Enough theory. The same network, the same steps, the same data; only the loss differs. One of the
# four is mistake 3. We report the IoU of test images at a threshold of .5, the IoU at the threshold
# chosen on validation images, and AP, which needs no threshold.

# %%
contenders = {
    "cross entropy": focal(0.5, 0),
    "weighted, alpha .9": focal(0.9, 0),
    "focal, alpha .75, gamma 2": focal(0.75, 2),
    "inverted: .9 background, .1 defect": focal(0.1, 0),
}
steps = lesson.pick(smoke=8, laptop=450, full=2000)
scores = {name: {} for name in contenders}
kept = {}
for name, loss_function in contenders.items():
    for run in lesson.seeds(3):
        model, _ = train_network(loss_function, run, steps, label=f"{name}, seed {run}")
        p_val, m_val = predict_probabilities(model, val)
        p, m = (one.numpy() for one in predict_probabilities(model, test))
        threshold = evaluation.best_threshold(p_val, m_val > 0, criterion="iou")
        kept.setdefault(name, (p, threshold))
        row = scores[name]
        row.setdefault("IoU at .5", []).append(evaluation.iou(p > 0.5, m > 0))
        row.setdefault("IoU at chosen", []).append(evaluation.iou(p >= threshold, m > 0))
        row.setdefault("AP", []).append(evaluation.average_precision(p, m > 0))

# %% [markdown]
# *First look at the group "IoU at .5" alone: that is what most comparisons print. Then look at the
# other two.*

# %%
metrics = ("IoU at .5", "IoU at chosen", "AP")
figure = plots.seed_dots(
    {metric: {name: scores[name][metric] for name in contenders} for metric in metrics},
    xlabel="test images, three seeds, dots; tick: median",
    title="Much of the difference between losses is a difference of thresholds",
)
plots.show(figure, "IoU at one half, IoU at the chosen threshold and AP of four losses, per seed")
slugs = {"cross entropy": "ce", "weighted, alpha .9": "weighted",
         "focal, alpha .75, gamma 2": "focal",
         "inverted: .9 background, .1 defect": "inverted"}  # fmt: skip
for name, slug in slugs.items():
    record_metric(f"{slug}/iou_at_half", np.median(scores[name]["IoU at .5"]))
    record_metric(f"{slug}/iou_at_chosen", np.median(scores[name]["IoU at chosen"]))
    record_metric(f"{slug}/ap", np.median(scores[name]["AP"]))

# %% [markdown]
# Read it honestly, for the stored run on the synthetic surfaces. At a threshold of .5 the weighted
# loss looks best, and the inverted weights silence the network. Give each loss its own threshold,
# chosen on validation images, and the order turns: plain cross entropy has the highest median (its
# dots touch the weighted ones), and the silenced network is level with the weighted one. Most of the first group was about where .5 happens to fall.
# AP, which needs no threshold, agrees: each seed of plain cross entropy lies above each seed of the
# other losses.
#
# **So focal loss does not help here, and neither do weights.** Focal loss has the lowest medians of
# all in the last two groups; its dots overlap with those of the inverted weights, so the order of
# these two is open. It was made for detectors that see a hundred thousand easy boxes for each object.
# Here, as the first figure showed, plain cross entropy hears the defects after some twenty steps.
#
# What this run cannot say: all losses shared one learning rate and one number of steps, alpha and
# gamma were set beforehand and not tuned, and three seeds on one split are few. It says that a claim
# for a loss needs this comparison, not that focal loss is bad.
#
# *And this is what is left to do: what do all of them miss?*

# %%
m = np.stack([s.mask.numpy() > 0 for s in test])
by_size = np.argsort(-m.mean((1, 2)))[: int(m.any((1, 2)).sum())]
shown = by_size[np.linspace(0, 0.7 * len(by_size), 4).astype(int)]  # from large to small
for name in ("cross entropy", "focal, alpha .75, gamma 2"):
    p, threshold = kept[name]
    figure = plots.errors(
        [test[i].image for i in shown],
        [m[i] for i in shown],
        [p[i] >= threshold for i in shown],
        title=f"{name}, threshold from validation (one seed)",
    )
    plots.show(figure, f"Four test images, truth, and hits, misses and false alarms of {name}")

# %% [markdown]
# ## Several classes
#
# Which defect is it? Now each pixel has one of several classes, and the rare classes compete with
# each other too. Plain cross entropy, the same with square-root weights, and softmax focal loss.
# *Compare within a class: who gains, who pays?*

# %%
K = len(names)
gentle = class_weights(counts, "sqrt", cap=50, absent="zero")
contenders = {
    "cross entropy": lambda z, m: softmax_focal_loss(z, m, gamma=0),
    "square-root weights": lambda z, m: weighted_cross_entropy(z, m, gentle.to(z.device)),
    "softmax focal, same weights": lambda z, m: softmax_focal_loss(
        z, m, gamma=2, class_weights=gentle.to(z.device)
    ),
}
per_class = {name: {method: [] for method in contenders} for name in names[1:]}
for method, loss_function in contenders.items():
    for run in lesson.seeds(3):
        model, _ = train_network(loss_function, run, steps, K, label=f"{method}, seed {run}")
        p, m = predict_probabilities(model, test)
        confusion = evaluation.confusion_matrix(p.argmax(1), m, K)
        for c, value in enumerate(evaluation.per_class_iou(confusion, empty=0.0)[1:], start=1):
            per_class[names[c]][method].append(float(value))

# %%
figure = plots.seed_dots(
    per_class,
    xlabel="IoU on test images, three seeds",
    title="IoU of each class under three losses, most probable class, no threshold",
)
plots.show(figure, "IoU of each defect class under three losses, per seed")
means = {m: np.mean([np.median(per_class[n][m]) for n in names[1:]]) for m in contenders}
for method, slug in zip(contenders, ("ce", "sqrt_weights", "softmax_focal")):
    record_metric(f"classes/{slug}/mean_iou", means[method], note="mean over defect classes")

# %% [markdown]
# Here nobody chooses a threshold: the most probable class wins, and the background wins most
# easily. So weights matter. On the synthetic surfaces plain cross entropy hardly ever says *line*,
# and seldom *spot*: thin, small, rare. Both weighted losses do. On *area* weighted cross entropy pays
# nothing that three seeds could show; with focus added it lies below. What a miss costs compared
# with a false alarm is a decision. The loss cannot know it. You can.
#
# ## Exercises

# %%
exercise("focal_weight")


# %%
def focal_weight(p, y, gamma):
    return ...


exercise("focal_weight").check(focal_weight)

# %%
exercise("stable_focal")

# %%
from torch.nn.functional import softplus


def stable_focal(x, y):
    return ...


exercise("stable_focal").check(stable_focal)

# %%
exercise("capped_weights")


# %%
def capped_weights(counts, cap):
    return ...


exercise("capped_weights").check(capped_weights)

# %%
exercise("repaired_weighting")

# %%
from torch.nn.functional import cross_entropy


def repaired(logits, target, weights):
    return ...


exercise("repaired_weighting").check(repaired)

# %% [markdown]
# ## Recap
#
# - The gradient is a vote. Class weights change the vote of a class, focal loss that of the pixels
#   that are already known.
# - Losses take logits. `log_softmax` and `softplus` make clipping unnecessary, and clipping silences
#   the worst mistakes.
# - Weights belong to the true class, come from the whole training set, and have a name. Say whether
#   the mean divides by pixels or by weights.
# - A better IoU at .5 may be a moved threshold. Compare at thresholds chosen on validation images,
#   or by AP, over several seeds.
#
# Lesson 03 gives the losses a real network, the U-Net.
#
# ## Quiz

# %%
quiz("02")

# %% [markdown]
# ## References
#
# - T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: *Focal loss for dense object detection*,
#   ICCV 2017.
# - X. Tao, D. Zhang, W. Ma, X. Liu, D. Xu: *Automatic metallic surface defect detection and
#   recognition with convolutional neural networks*, Applied Sciences 2018 (weights .8 and .2).
# - Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie: *Class-balanced loss based on effective number
#   of samples*, CVPR 2019.
# - F. Milletari, N. Navab, S.-A. Ahmadi: *V-Net*, 3DV 2016 (Dice loss).
# - TooTouch/MemSeg on GitHub: the README before and after the change of December 2023.
