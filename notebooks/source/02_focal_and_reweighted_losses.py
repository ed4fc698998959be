# ---
# jupyter:
#   course:
#     title: Focal and re-weighted losses
#     summary: Where the gradient comes from, four losses that change it, and what published code gets wrong.
#     minutes_reading: 55
#     minutes_exercises: 45
#     compared_cells: 12
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
# **If nearly all pixels are background, what does a network learn from?**
#
# After this lesson you can
#
# - measure which share of the gradient comes from defects, and change it with class weights, with
#   focal loss, or with Dice loss;
# - derive these losses, and write them so that they work with extreme logits;
# - compute class weights over a whole training set, and say what they are divided by;
# - recognize a dozen mistakes of published losses by what you would see on your screen;
# - judge whether a new loss finds more, or only moves the threshold.
#
# You need lesson 01 and a little PyTorch. About 55 minutes of reading, 45 of exercises; the
# networks train for about 10 minutes.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "magnetic_tile", "sd_saliency_900", "folder:<path>"
seed = 0
gamma = 2.0  # of the focal losses that are trained, in sections 7 and 8

# %%
from collections import namedtuple
from copy import deepcopy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_utils import evaluation, plots
from course_utils.data import class_weights, count_pixels, open_dataset
from course_utils.lessons import (
    challenge, exercise, explore, predict, predictions, prove_equal, quiz, record_metric,
    record_metrics, show_real_photographs, start_lesson,
)  # fmt: skip
from course_utils.losses import (
    binary_focal_loss, dice_loss, pitfalls, softmax_focal_loss, tversky_loss,
    weighted_cross_entropy,
)  # fmt: skip
from course_utils.models import EfficientNetEncoder

lesson = start_lesson("02_focal_and_reweighted_losses", profile=profile, dataset=dataset,
                      seed=seed, gamma=gamma)  # fmt: skip

# %% [markdown]
# ## 1 · A network that trains in seconds
#
# To compare losses we train many networks, so each training must be short. We start from an
# **encoder**: EfficientNet-Lite0, trained on ImageNet. We leave it as it is and compute its features
# once for each image: four maps at 1/2, 1/4, 1/8 and 1/16 of the image's size. (About half a minute on
# two older CPU cores.)

# %%
size = lesson.pick(smoke=64, laptop=128, full=256)
encoder = EfficientNetEncoder().to(lesson.device).eval()
Part = namedtuple("Part", "images masks features")


@torch.no_grad()
def prepare(split, count):
    """A random choice of images of a split, with masks and features."""
    surfaces = open_dataset(dataset, split, size=size, seed=seed)
    chosen = np.random.default_rng(seed).permutation(len(surfaces))[:count]
    samples = [surfaces[int(index)] for index in chosen]
    images = torch.stack([sample.image for sample in samples])
    masks = torch.stack([sample.mask for sample in samples])
    maps = [encoder.first_four(batch.to(lesson.device)) for batch in images.split(32)]
    return Part(images, masks, [torch.cat(level) for level in zip(*maps)]), surfaces


train, surfaces = prepare("train", lesson.pick(smoke=48, laptop=300, full=600))
val, _ = prepare("val", lesson.pick(smoke=24, laptop=150, full=200))
test, _ = prepare("test", lesson.pick(smoke=24, laptop=150, full=200))
names = surfaces.class_names
print(surfaces.split_note)

# %% [markdown]
# *What are we looking for? Find the defect in each image before you look at the mask below it.*

# %% tags=["hide-input"]
holding = [torch.nonzero((train.masks == c).any(2).any(1)).flatten() for c in range(1, len(names))]
found = [int(index) for of_class in holding for index in of_class[:2]][:6]
figure = plots.montage(
    [train.images[i] for i in found] * 2,
    masks=[None] * len(found) + [train.masks[i] for i in found],
    class_names=names,
    columns=len(found),
    title="Two images of each class: defects on surfaces with a pattern of their own",
)
plots.show(figure, "Six images with a defect each, and below each the same with its mask")

# %% [markdown]
# Photographs of real surfaces, if they are on your machine:

# %%
show_real_photographs("magnetic_tile", "sd_saliency_900")

# %% [markdown]
# What we train is a small **head**: it narrows each of the four maps to 16 channels, brings all to the
# same size, adds them, and decides with two convolutions. It has about 5500 parameters.


# %%
class Head(nn.Module):
    """Features at four scales in, logits of every pixel out: (N, num_classes, H, W)."""

    def __init__(self, num_classes=1, width=16):
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(c, width, 1) for c in encoder.channels[:4])
        self.mix = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.decide = nn.Conv2d(width, num_classes, 1)

    def forward(self, features):
        shape = features[0].shape[2:]
        scaled = [
            F.interpolate(narrow(level), size=shape, mode="bilinear")
            for narrow, level in zip(self.narrow, features)
        ]
        return F.interpolate(self.decide(self.mix(sum(scaled))), scale_factor=2, mode="bilinear")


# %% [markdown]
# The training loop is the one from lesson 01, with features instead of images. `watch` may
# look at the head before each step.


# %%
def train_head(loss_function, run_seed, steps, num_classes=1, *, rate=1e-2, watch=None, label=""):
    torch.manual_seed(run_seed)
    head = Head(num_classes).to(lesson.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.2
    )
    for step in tqdm(range(steps), label, leave=False, disable=not lesson.progress):
        if watch:
            watch(step, head)
        batch = torch.randint(len(train.masks), (8,))
        logits = head([level[batch] for level in train.features])
        loss = loss_function(logits, train.masks[batch].to(lesson.device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return head.eval()


# %% [markdown]
# ## 2 · Cross entropy and its gradient
#
# For each pixel the head gives a **logit** $x$, any real number. The **sigmoid**
# $p = 1 / (1 + e^{-x})$ turns it into the probability of a defect. With the truth $y$, 1 on a defect
# and 0 on background, the **cross entropy** of the pixel is minus the logarithm of the probability of
# the truth:
#
# $$\mathrm{CE} = -y \log p - (1 - y) \log (1 - p).$$
#
# A computer should not calculate it this way. In float32, $p$ is exactly 1 from a logit of 17 on, and
# $\log(1 - p)$ is minus infinity. So we rewrite it. From $p = 1 / (1 + e^{-x})$ follows
# $-\log p = \log(1 + e^{-x})$. The function $\log(1 + e^z)$ is called **softplus**, and every library
# computes it safely. In the same way $-\log(1 - p) = \mathrm{softplus}(x) = x + \mathrm{softplus}(-x)$.
# Together:
#
# $$\mathrm{CE} = \mathrm{softplus}(-x) + (1 - y)\, x .$$
#
# The gradient is even simpler: $\partial\,\mathrm{CE} / \partial x = p - y$, the distance from the
# truth.


# %%
def cross_entropy_from_scratch(x, y):
    return (F.softplus(-x) + (1 - y) * x).mean()


# %% tags=["nbval-check-output"]
rng = torch.Generator().manual_seed(0)
x = 3 * torch.randn(4, 1, 8, 8, generator=rng)
y = (torch.rand(4, 1, 8, 8, generator=rng) < 0.2).float()
prove_equal(cross_entropy_from_scratch, F.binary_cross_entropy_with_logits, x, y)

logits = x.clone().requires_grad_()
cross_entropy_from_scratch(logits, y).backward()
torch.testing.assert_close(logits.grad * x.numel(), x.sigmoid() - y)
print("the gradient at each logit is (p - y) / number of pixels")

# %% [markdown]
# So each pixel has a gradient of size $|p - y|$, a number between 0 and 1, and the loss adds them up.
# The defects are few.

# %% tags=["hide-input"]
at_start = predict(
    "The head is untrained, and all probabilities are somewhere near .5. Which share of the gradient "
    "of cross entropy comes from the defect pixels?",
    ["about their share of the pixels", "about half of it", "nearly all of it"],
)

# %% [markdown]
# We train with plain cross entropy and keep the logits of 24 defective validation images on the way.
# (About 15 seconds.) Then we ask for several losses: *if this loss were used now, which share of the
# gradient would come from defects?* `2 * binary_focal_loss` with alpha = .5 and gamma = 0 is plain
# cross entropy. *Weighted*: each defect pixel counts 19 times as much as a background pixel.
# *Focal*: a pixel that is predicted well counts little. Sections 3 and 4 derive both.
#
# We add the absolute values of the gradient at the logits. That is where the learning signal enters
# the network, not how far its weights move.

# %%
steps = lesson.pick(smoke=8, laptop=200, full=1000)
watched = torch.nonzero((val.masks > 0).any(2).any(1)).flatten()[:24]
watched_masks = val.masks[watched]
snapshots = {}


def keep(step, head):
    if step <= 120 and step % 2 == 0:
        with torch.no_grad():  # a copy, since batch normalization learns from what it is shown
            logits = deepcopy(head)([level[watched.to(level.device)] for level in val.features])
        snapshots[step] = logits.float().cpu()


def focal(alpha, gamma):
    """A binary focal loss of a mask (N, H, W), scaled so that alpha = .5, gamma = 0 is plain."""
    return lambda logits, mask: (
        2 * binary_focal_loss(logits, (mask > 0).unsqueeze(1), alpha=alpha, gamma=gamma)
    )


watching = train_head(focal(0.5, 0), seed, steps, watch=keep, label="cross entropy")


# %%
def pixel_gradients(loss_function, logits, mask):
    """Size of the gradient at each pixel's logit, times the number of pixels."""
    x = logits.detach().clone().requires_grad_()
    loss_function(x, mask).backward()
    return x.grad[:, 0].abs() * mask.numel()


def share_of_defects(loss_function, logits, mask=watched_masks):
    gradients = pixel_gradients(loss_function, logits, mask)
    return (gradients[mask > 0].sum() / gradients.sum()).item()


losses = {
    "cross entropy": focal(0.5, 0),
    "weighted (alpha .95)": focal(0.95, 0),
    "focal (gamma 2)": focal(0.5, 2),
}
shares = {
    name: [share_of_defects(one, logits) for logits in snapshots.values()]
    for name, one in losses.items()
}

# %% tags=["hide-input"]
share_of_pixels = (watched_masks > 0).float().mean().item()
figure = plots.lines(
    list(snapshots),
    {**shares, "share of the pixels": np.full(len(snapshots), share_of_pixels)},
    xlabel="step of a training with cross entropy",
    ylabel="share of the gradient from defects",
    ylim=(0, 1.02),
    direct_labels=False,
    title="Weights raise the share at once, focal loss when background is predicted well",
)
plots.show(figure, "Share of the gradient from defects in the first steps, for three losses")
chances = {}  # step -> mean probability on background, and on defects
for step, logits in snapshots.items():
    p = logits.sigmoid().squeeze(1)
    chances[step] = [p[watched_masks == 0].mean().item(), p[watched_masks > 0].mean().item()]
for step, (on_background, on_defects) in list(chances.items())[::20]:
    print(f"step {step:3}: mean p on background {on_background:.2f}, on defects {on_defects:.2f}")
record_metric("share/cross_entropy_untrained", shares["cross entropy"][0])

# %% tags=["hide-input"]
start = shares["cross entropy"][0]
nearest = int(np.argmin([abs(start - share) for share in (share_of_pixels, 0.5, 1.0)]))
at_start.reveal(
    at_start.choices[nearest],
    f"Defects are {share_of_pixels:.1%} of these pixels and have {start:.1%} of the gradient at the "
    "start: while nothing is known, all pixels count about the same.",
)

# %% [markdown]
# At the start all pixels have about the same gradient, and under cross entropy defects have about
# their share of the pixels. The printed probabilities show what is learned first: to give lower
# probabilities everywhere, on background *and* on defects. Class weights raise the share of the defects
# from the start. Focal loss changes little at first; once background is predicted well, the share rises
# quickly and passes that of the weights. Under plain cross entropy it rises, too, but later.

# %%
exercise("balancing_weight")


# %%
def balancing_weight(p, y):
    return ...


exercise("balancing_weight").check(balancing_weight)

# %% [markdown]
# ## 3 · Class weights
#
# The simplest remedy: multiply the loss of each pixel by a weight $w_y$ of its **true** class. With
# several classes that exclude each other, each pixel has one logit for each class, and
# $p_c = e^{x_c} / \sum_k e^{x_k}$ (**softmax**) is the probability of class $c$:
#
# $$L = \frac{1}{N} \sum_i w_{y_i} \, (-\log p_{i, y_i}).$$
#
# In words: cross entropy in which a pixel of a rare class counts as several. From logits
# $(N, C, H, W)$ and class indices $(N, H, W)$:


# %%
def weighted_from_scratch(logits, target, weights):
    log_p = F.log_softmax(logits, dim=1)
    of_the_truth = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return (weights[target] * -of_the_truth).mean()


# %% tags=["nbval-check-output"]
some_logits = torch.randn(2, 4, 16, 16, generator=rng)
some_target = torch.randint(4, (2, 16, 16), generator=rng)
some_weights = torch.tensor([1.0, 5.0, 10.0, 100.0])
prove_equal(weighted_from_scratch, weighted_cross_entropy, some_logits, some_target, some_weights)

# %% [markdown]
# **What is the sum divided by?** We divide by the number of pixels, as Keras and TensorFlow do.
# `torch.nn.functional.cross_entropy(weight=…)` divides by the *sum of the weights*. Both are fine,
# but they differ in size, here by a factor of about 30. With SGD that factor multiplies the learning
# rate. Adam divides by the size of the gradient and hides a constant factor; it still matters when two
# losses are added, and where gradients are clipped. So find out which one it is:

# %% tags=["nbval-check-output"]
by_pixels = weighted_cross_entropy(some_logits, some_target, some_weights)
by_weights = weighted_cross_entropy(some_logits, some_target, some_weights, normalise="weights")
torch_says = F.cross_entropy(some_logits, some_target, weight=some_weights)
print(f"divided by pixels  {by_pixels.item():6.1f}")
print(f"divided by weights {by_weights.item():6.1f}")
print(f"torch              {torch_says.item():6.1f}")

# %% [markdown]
# **Where do the weights come from?** From pixel counts, taken once, over the **whole training set**.
# `count_pixels` takes an array, a sequence of masks or samples, and a generator of batches, for which
# we say how many batches make up the set:

# %%
in_batches = train.masks.split(8)
from_array = count_pixels(train.masks.numpy(), len(names))
from_sequence = count_pixels(list(train.masks), len(names))
from_generator = count_pixels((b for b in in_batches), len(names), batches=len(in_batches))
assert (from_array == from_sequence).all()
assert (from_array == from_generator).all()
counts = from_array
print(dict(zip(names, counts.tolist())))

# %% [markdown]
# **How do counts become weights?** With $n_c$ pixels of class $c$, $N$ in all and $K$ classes:
# *inverse* $N / n_c$, *balanced* $N / (K n_c)$, *median frequency* $\mathrm{median}(n) / n_c$,
# *square root* $\propto 1/\sqrt{n_c}$; and a *cap* that no weight may exceed, as a multiple of the
# smallest. *Look at how many powers of ten lie between background and the rarest class, and what the
# root and the cap do to that distance.*

# %% tags=["hide-input"]
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
plots.show(figure, "Class weights of five schemes as powers of ten")

# %% [markdown]
# With *balanced* weights all classes have the same total weight, however rare they are: a few
# pixels then count as much as the whole background, and so does every mistake in how they were
# labeled. The root halves the distance between the powers of ten. The cap cuts it off.

# %%
exercise("weights_for_shares")


# %%
def weights_for_shares(counts, shares):
    return ...


exercise("weights_for_shares").check(weights_for_shares)

# %% [markdown]
# ## 4 · Focal loss
#
# A class weight looks at *what* a pixel is. Focal loss looks at *how well it is predicted already*. Let
# $p_t$ be the probability that the network gives to the truth: $p$ on a defect, $1 - p$ on background.
#
# 1. Cross entropy is $-\log p_t$.
# 2. With a weight for each class it is $-\alpha_t \log p_t$, where $\alpha_t$ is $\alpha$ on a defect
#    and $1 - \alpha$ on background. So **alpha is the weight of the positive class**, the defect.
# 3. Focal loss multiplies by a factor that is small where the network is right already:
#
# $$\mathrm{FL} = -\alpha_t \, (1 - p_t)^\gamma \, \log p_t .$$
#
# Gamma says how fast the factor falls. For gamma = 0 it is 1, and focal loss is weighted cross
# entropy.

# %% tags=["hide-input"]
easy_pixel = predict(
    "A pixel is predicted right with p_t = .97. Focal loss with gamma = 2 keeps a share of its cross "
    "entropy. How much?",
    ["about half", "about 3 %", "about 0.1 %"],
)

# %% [markdown]
# *The loss has a logarithmic axis. Look at the right-hand side, where the many easy pixels are; the dot
# is the pixel of the question.*

# %% tags=["hide-input"]
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
    title="The larger gamma, the less a well predicted pixel counts",
)
plots.show(figure, "Focal loss over the probability of the truth for five values of gamma")

# %% tags=["hide-input"]
easy_pixel.reveal(
    "about 0.1 %", "The factor is (1 - .97)² = .0009. A pixel with p_t = .3 keeps .7² = .49."
)

# %% [markdown]
# **From logits.** Once more we take no logarithm of a probability. With
# $-\log p = \mathrm{softplus}(-x)$ and $-\log(1 - p) = \mathrm{softplus}(-x) + x$, write
# $a = \alpha (1-p)^\gamma y$ for the factor of a defect and $b = (1-\alpha)\, p^\gamma (1-y)$ for that of
# background. Then
#
# $$\mathrm{FL} = a\,\mathrm{softplus}(-x) + b\,(\mathrm{softplus}(-x) + x)
# = (a + b)\,\mathrm{softplus}(-x) + b\,x .$$


# %%
def focal_from_scratch(x, y):
    alpha, gamma = 0.25, 2.0
    p = torch.sigmoid(x)
    a = alpha * (1 - p) ** gamma * y
    b = (1 - alpha) * p**gamma * (1 - y)
    return ((a + b) * F.softplus(-x) + b * x).mean()


# %% tags=["nbval-check-output"]
prove_equal(focal_from_scratch, binary_focal_loss, x, y.long())

# %% [markdown]
# Worked numbers, with gamma = 2. The last row is a pixel of which nothing is known: its loss is a
# quarter of the cross entropy, so three quarters are gone.

# %% tags=["nbval-check-output"]
print(" y    p    factor    CE       focal    focal, alpha .25")
for truth, p in ((1, 0.97), (1, 0.30), (0, 0.80), (0, 0.10), (1, 0.50)):
    pixel, target = torch.tensor([p]).double().logit(), torch.tensor([truth])
    ce = 2 * binary_focal_loss(pixel, target, alpha=0.5, gamma=0).item()
    fl = 2 * binary_focal_loss(pixel, target, alpha=0.5, gamma=2).item()
    both = binary_focal_loss(pixel, target, alpha=0.25, gamma=2).item()
    print(f" {truth}  {p:.2f}   {fl / ce:.4f}   {ce:.4f}   {fl:.5f}   {both:.5f}")

# %%
exercise("gamma_for")


# %%
def gamma_for(p, y, keep):
    return ...


exercise("gamma_for").check(gamma_for)

# %% [markdown]
# For **several classes** we take $p_t$ from a softmax, and class weights take the role of alpha:


# %% tags=["nbval-check-output"]
def softmax_focal_from_scratch(logits, target, weights):
    log_p = F.log_softmax(logits, dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
    return (-weights[target] * (1 - log_p.exp()) ** 2 * log_p).mean()


def softmax_focal(logits, target, weights):
    return softmax_focal_loss(logits, target, gamma=2, class_weights=weights)


prove_equal(softmax_focal_from_scratch, softmax_focal, some_logits, some_target, some_weights)

# %%
exercise("focal_per_defect")

# %%
from torch.nn.functional import softplus


def focal_per_defect(x, y, alpha, gamma):
    return ...


exercise("focal_per_defect").check(focal_per_defect)

# %% [markdown]
# ## 5 · Where the gradient is
#
# We look at the gradient of single pixels, at one moment of the training with cross entropy. Which
# moment? The first kept step at which the mean probability on background is below .2: then background
# is neither unknown nor settled. And which image? One with a thin line, since a large dark stain is easy
# for every loss: among the images whose largest class is the first one (on the synthetic surfaces:
# *line*), the one whose defect has the median probability.

# %%
moment = next((k for k, (background, _) in chances.items() if background < 0.2), max(snapshots))
by_class = {}
for i, mask in enumerate(watched_masks):
    largest = torch.bincount(mask[mask > 0], minlength=len(names)).argmax().item()
    chance = snapshots[moment][i, 0][mask > 0].sigmoid().mean().item()
    by_class.setdefault(largest, []).append((chance, i))
candidates = sorted(by_class.get(1) or [pair for pairs in by_class.values() for pair in pairs])
one = candidates[len(candidates) // 2][1]
one_image, one_mask = val.images[watched[one]], watched_masks[one : one + 1]
one_logits = snapshots[moment][one : one + 1]
print(f"step {moment}, image {one} of {len(watched)}")

# %% [markdown]
# *Find the line in each of the maps. The colors are logarithmic and the same in all of them: yellow
# is a gradient of 1 or more, dark blue one of .0001 or less.*

# %% tags=["hide-input"]
picture = {"image": one_image, "image and truth": plots.overlay(one_image, one_mask[0])}


def gradient_maps(losses, title):
    maps = {name: pixel_gradients(one, one_logits, one_mask)[0] for name, one in losses.items()}
    return plots.pixel_maps(
        maps, pictures=picture, log=True, lower=1e-4, limit=1.0, columns=5,
        label="size of the gradient", title=title,
    )  # fmt: skip


figure = gradient_maps(
    losses, "Weights lower the whole background, focal loss what is predicted well"
)
plots.show(figure, "An image with a thin line, and maps of the gradient of three losses")

# %% [markdown]
# Under cross entropy a pixel of the line has a larger gradient than one of the background, but there are
# hundreds of times as many of the latter. The weight lowers the background as a whole and keeps its
# pattern. Focal loss lowers each pixel by how well it is predicted: what looks a little like a defect
# keeps more.

# %% [markdown]
# **Move the sliders.** *Which gamma takes the gradient of the background away? What does gamma = 5
# do to the defect? What does alpha do that gamma does not?*

# %%
live = gradient_maps({"cross entropy": focal(0.5, 0), "this loss": focal(0.5, 0)}, "gamma, alpha")
live.set_layout_engine("none")  # placing everything anew at each move would be slow


def maps_at(gamma, alpha):
    gradients = pixel_gradients(focal(alpha, gamma), one_logits, one_mask)
    share = (gradients[one_mask > 0].sum() / gradients.sum()).item()
    live.axes[3].images[0].set_data(gradients[0].numpy())
    live.texts[0].set_text(
        f"gamma {gamma:g}, alpha {alpha:g}: defects have {share:.0%} of the gradient"
    )
    return live


explore(
    maps_at,
    alt="The gradient at each pixel under cross entropy and under a focal loss",
    gamma=(0.0, 5.0, 0.5),
    alpha=(0.05, 0.95, 0.05),
    fallback=[{"gamma": 0.0, "alpha": 0.95}, {"gamma": 2.0, "alpha": 0.5},
              {"gamma": 5.0, "alpha": 0.5}],
)  # fmt: skip

# %% [markdown]
# Gamma 2 and gamma 5 differ most in the background: the larger gamma, the more pixels that are nearly
# right lose their gradient, until at gamma = 5 most of them are at .001 and below, and the defects have
# more than half of the gradient. The line loses a little, too, since its factor $(1 - p_t)^\gamma$ is below 1 as well. Alpha
# moves the background up and down as a whole; it cannot tell its pixels apart.

# %% [markdown]
# ## 6 · Dice and Tversky
#
# Cross entropy is a mean over pixels, and then we score by overlap. Why not take the overlap as the
# loss? The counts of lesson 01 are yes or no, and have no gradient. With probabilities they become
# **soft counts**:
#
# $$\mathrm{TP} = \sum p\,y, \qquad \mathrm{FP} = \sum p\,(1 - y), \qquad \mathrm{FN} = \sum (1 - p)\,y .$$
#
# Dice is $2\,\mathrm{TP} / (2\,\mathrm{TP} + \mathrm{FP} + \mathrm{FN})$. The denominator is
# $P + Y$, the sum of all probabilities and the sum of the truth, and the loss is
#
# $$\mathrm{Dice\ loss} = 1 - \frac{2\,\mathrm{TP} + s}{P + Y + s} .$$
#
# The **smoothing** $s$, usually 1, keeps the fraction defined when there is no defect. True negatives
# are nowhere in it. **Tversky loss** gives false positives and misses prices of their own:
#
# $$1 - \frac{\mathrm{TP} + s}{\mathrm{TP} + \alpha\,\mathrm{FP} + \beta\,\mathrm{FN} + s} .$$


# %%
def dice_from_scratch(x, y):
    p = x.sigmoid()
    tp = (p * y).sum()
    return 1 - (2 * tp + 1) / (p.sum() + y.sum() + 1)


def tversky_from_scratch(x, y):
    p = x.sigmoid()
    tp, fp, fn = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
    return 1 - (tp + 1) / (tp + 0.3 * fp + 0.7 * fn + 1)


# %% tags=["nbval-check-output"]
prove_equal(dice_from_scratch, dice_loss, x, y.long())
prove_equal(tversky_from_scratch, tversky_loss, x, y.long())

# %% [markdown]
# With $\alpha = \beta = 1/2$ (and half the smoothing) Tversky is Dice; $\beta > \alpha$ makes a miss
# more expensive than a false alarm. They are prices of mistakes, not the class weight alpha of focal
# loss.
#
# **Why does it need no class weights?** Take the derivative. With $D = (2\,\mathrm{TP} + s) / U$ and
# $U = P + Y + s$:
#
# $$\frac{\partial\,\mathrm{loss}}{\partial p} = \frac{D}{U} \text{ on background},
# \qquad \frac{\partial\,\mathrm{loss}}{\partial p} = -\frac{2 - D}{U} \text{ on a defect}.$$
#
# So a defect pixel counts $(2 - D) / D$ times as much as a background pixel. While little is found, $D$
# is near 0 and the factor is large: at $D = .02$ it is 99. When much is found it sinks towards 1.
# It is a class weight that adjusts itself.

# %% tags=["nbval-check-output"]
probabilities = x.sigmoid().requires_grad_()
U = probabilities.sum() + y.sum() + 1
D = (2 * (probabilities * y).sum() + 1) / U
(1 - D).backward()
by_formula = torch.where(y == 1, -(2 - D) / U, D / U).detach()
torch.testing.assert_close(probabilities.grad, by_formula)
print(f"Dice {D.item():.3f}: a defect pixel counts {(2 - D).item() / D.item():.1f} times")


# %% [markdown]
# *The same training with cross entropy as above: what if we used Dice loss at each of these steps?*


# %%
def dice(logits, mask):
    return dice_loss(logits, (mask > 0).unsqueeze(1).float())


shares["Dice"] = [share_of_defects(dice, logits) for logits in snapshots.values()]

# %% tags=["hide-input"]
figure = plots.lines(
    list(snapshots),
    {name: shares[name] for name in ("cross entropy", "focal (gamma 2)", "Dice")},
    xlabel="step of a training with cross entropy",
    ylabel="share of the gradient from defects",
    ylim=(0, 1.02),
    direct_labels=False,
    title="Dice gives defects about half of the gradient or more, from the first step on",
)
plots.show(figure, "Share of the gradient from defects for cross entropy, focal and Dice loss")
for name in ("focal (gamma 2)", "Dice"):
    print(f"{name:15} lowest share {min(shares[name]):.2f}, highest {max(shares[name]):.2f}")

# %% [markdown]
# The line of Dice stays between .48 and .66, while that of focal loss goes from .04 to nearly 1. At the
# start Dice must give about one half to the defects, for any class ratio, as long as defects are rare and
# $p$ is not small: when N pixels all have the same $p$ and Y of them are defects,
# $D = 2 Y p / (N p + Y)$ is about $2 Y / N$. The background has about N times $D / U$, and the defects have
# about Y times $2 / U$, which is the same.
#
# **The price.** By the chain rule the gradient at the *logit* has a further factor,
# $\partial p / \partial x = p\,(1 - p)$. Cross entropy cancels it, Dice does not. *A defect of 20 pixels,
# 19 of them undecided ($x = 0$). We move the logit of the last one. How hard does each loss pull on it?*

# %% tags=["hide-input"]
margins = torch.linspace(-10, 6, 161)
square = torch.zeros(1, 1, 64, 64)
square[0, 0, 30, 20:40] = 1


def pull(loss_function, logit):
    """Size of the gradient at the last defect pixel; background is at -3, other defects at 0."""
    logits = torch.where(square == 1, 0.0, -3.0)
    logits[0, 0, 30, 39] = logit
    logits.requires_grad_()
    loss_function(logits, square[:, 0].long()).backward()
    return logits.grad[0, 0, 30, 39].abs().item()


pulls = {"cross entropy": focal(0.5, 0), "focal (gamma 2)": focal(0.5, 2), "Dice": dice}
drawn = {name: np.array([pull(one, m) for m in margins]) for name, one in pulls.items()}
figure = plots.lines(
    margins.numpy(),
    {name: values / values.max() for name, values in drawn.items()},
    xlabel="logit of a defect pixel (left: wrong and sure of it)",
    ylabel="gradient, as a share of its largest value",
    direct_labels=False,
    title="Dice pulls hardest on undecided pixels, and hardly on those that are very wrong",
)
plots.show(figure, "Gradient at one defect pixel over its logit for three losses")

# %% [markdown]
# A defect that the network is sure is background has next to no gradient under Dice loss alone.
# That is why Dice is usually added to cross entropy, which pulls hardest just there.

# %% tags=["hide-input"]
empty = predict(
    "A batch holds no defect at all. What does the gradient of Dice loss with s = 1 do there?",
    [
        "it is zero: nothing to overlap with",
        "it pushes all probabilities down",
        "it is not defined",
    ],
)

# %% [markdown]
# Without a defect, TP and Y are 0 and the loss is $1 - s / (P + s) = P / (P + s)$. *P is the sum of all
# probabilities. An image of 128 x 128 with p = .01 everywhere has P = 164: look there first.*

# %% tags=["hide-input"]
total = np.logspace(-4, 4, 200)
figure = plots.lines(
    total,
    {f"s = {s:g}": total / (total + s) for s in (1e-5, 1, 100)},
    xlabel="P, the sum of the probabilities of an image without defect",
    ylabel="Dice loss",
    logx=True,
    direct_labels=False,
    markers={"p = .01 everywhere": (163.84, 163.84 / 164.84)},
    title="Without a defect, the smoothing decides what a false alarm costs",
)
plots.show(figure, "Dice loss of an image without defect over the sum of probabilities")

# %% tags=["hide-input"]
empty.reveal(
    "it pushes all probabilities down",
    "The slope s / (P + s)² is positive, but tiny while P is large: the loss stays near 1 until the "
    "image is nearly free of false alarms. With s = 1e-5 it stays there for good.",
)

# %% [markdown]
# Our `dice_loss` counts over the whole batch, so a batch with one defect has something to overlap with.
# Other code counts each image by itself. That is the next exercise.

# %%
exercise("dice_per_image")


# %%
def dice_per_image(x, y):
    return ...


exercise("dice_per_image").check(dice_per_image)

# %%
exercise("tversky_for")


# %%
def tversky_for(b):
    return ...


exercise("tversky_for").check(tversky_for)

# %% [markdown]
# ## 7 · Does it help? Six trainings, three seeds
#
# The same head, the same steps, the same data; only the loss differs. One of the six has its weights
# inverted, a mistake of published code: .9 for the background, .1 for the defect.

# %% tags=["hide-input"]
verdict = predict(
    "On test images, three seeds each: which loss has the highest average precision (AP)?",
    ["weights or focal loss", "Dice loss", "plain cross entropy", "none: their seeds overlap"],
)

# %% [markdown]
# We report the IoU at a threshold of .5, the IoU at the threshold that is best on validation images,
# and AP, which needs no threshold. (18 trainings, about 4 minutes on two older CPU cores.)


# %%
@torch.no_grad()
def predict_part(head, part):
    """Probabilities, (N, H, W) for one logit and (N, C, H, W) for several."""
    logits = torch.cat(
        [head([level[batch] for level in part.features]).float().cpu()
         for batch in torch.arange(len(part.masks)).split(32)]
    )  # fmt: skip
    return logits.sigmoid().squeeze(1) if logits.shape[1] == 1 else logits.softmax(1)


contenders = {
    "cross entropy": focal(0.5, 0),
    "weighted, alpha .9": focal(0.9, 0),
    f"focal, alpha .75, gamma {gamma:g}": focal(0.75, gamma),
    "Dice": dice,
    "cross entropy + Dice": lambda z, m: focal(0.5, 0)(z, m) + dice(z, m),
    "inverted weights": focal(0.1, 0),
}


def validated(head):
    """Best threshold on validation images, and the IoU that it has there."""
    p, truth = predict_part(head, val), val.masks > 0
    threshold = evaluation.best_threshold(p, truth, criterion="iou")
    return threshold, evaluation.iou(p >= threshold, truth)


# %%
scores = {name: {"IoU at .5": [], "IoU at chosen": [], "AP": []} for name in contenders}
kept = {}
truth = test.masks > 0
for name, loss_function in contenders.items():
    for run in lesson.seeds(3):
        head = train_head(loss_function, run, steps, label=f"{name}, seed {run}")
        threshold, _ = validated(head)
        p = predict_part(head, test)
        kept.setdefault(name, (p, threshold))
        scores[name]["IoU at .5"].append(evaluation.iou(p > 0.5, truth))
        scores[name]["IoU at chosen"].append(evaluation.iou(p >= threshold, truth))
        scores[name]["AP"].append(evaluation.average_precision(p, truth))

# %% [markdown]
# *First look at the group "IoU at .5" alone: that is what most comparisons print. Then look at the
# other two.*

# %% tags=["hide-input"]
metrics = ("IoU at .5", "IoU at chosen", "AP")
figure = plots.seed_dots(
    {metric: {name: scores[name][metric] for name in contenders} for metric in metrics},
    xlabel="test images, three seeds",
    title="Losses differ at .5, hardly at their own thresholds (except inverted weights in AP)",
)
plots.show(figure, "IoU at one half, IoU at the chosen threshold and AP of six losses, per seed")
slugs = ("ce", "weighted", "focal", "dice", "ce_dice", "inverted")
middle = {
    (slug, metric): np.median(scores[name][metric])
    for slug, name in zip(slugs, contenders)
    for metric in metrics
}
record_metrics({f"{s}/iou_at_half": middle[s, "IoU at .5"] for s in slugs}, note="median of 3")
record_metrics({f"{s}/iou_at_chosen": middle[s, "IoU at chosen"] for s in slugs})
record_metrics({f"{s}/ap": middle[s, "AP"] for s in slugs})

# %% tags=["hide-input"]
ap = {name: found["AP"] for name, found in scores.items()}
best = max(ap, key=lambda name: np.median(ap[name]))
ahead = all(min(ap[best]) > max(other) for name, other in ap.items() if name != best)
kind = {"cross entropy": 2, "Dice": 1, "cross entropy + Dice": 1}.get(best, 0)
verdict.reveal(
    verdict.choices[kind if ahead else 3],
    f"The highest median has {best}: {np.median(ap[best]):.3f}, seeds from {min(ap[best]):.3f} to "
    f"{max(ap[best]):.3f}.",
)

# %% [markdown]
# For the stored run on the synthetic surfaces: at a threshold of .5 the medians reach from 0 to .36, and
# focal loss and Dice look much better than cross entropy. With the threshold that each loss has on
# validation images, all six medians lie between .32 and .34 and the seeds overlap. AP agrees for five
# of the losses, from .49 to .50; only the inverted weights are lower, at .44. **So what these losses
# change here is mostly what a score of .5 means.** That is worth something where nobody can choose a
# threshold: focal loss and Dice are good at .5 in all three seeds, where a seed of plain cross entropy finds nothing.
# For them the chosen threshold is even a little worse than .5: what is best on 150 validation images
# need not be best on the test images.
#
# What this run cannot say: all losses shared one learning rate and one number of steps, alpha and gamma
# were not tuned, and three seeds on one split are few.
#
# *What do all of them miss?*

# %% tags=["hide-input"]
by_size = (test.masks > 0).float().mean((1, 2)).argsort(descending=True)
by_size = by_size[: int((test.masks > 0).any(2).any(1).sum())]
shown = by_size[np.linspace(0, 0.7 * len(by_size), 4).astype(int)].tolist()  # large to small
for name in ("cross entropy", "Dice"):
    p, threshold = kept[name]
    figure = plots.errors(
        [test.images[i] for i in shown],
        [test.masks[i] > 0 for i in shown],
        [p[i] >= threshold for i in shown],
        title=f"{name}, threshold from validation images (one run)",
    )
    plots.show(figure, f"Four test images, truth, and hits, misses and false alarms of {name}")

# %% [markdown]
# Both find the large stains, and both miss the crack and the stain on the wood of the second image.
# Small and faint defects remain hard under either loss (four images, one run).

# %% [markdown]
# ## 8 · Several classes
#
# Which defect is it? Now each pixel has one of several classes, the most probable one wins, and
# nobody chooses a threshold. Four losses; the weights are $\propto 1/\sqrt{n_c}$. (12 trainings,
# about 3 minutes.) *Compare within a class.*

# %%
K = len(names)
gentle = class_weights(counts, "sqrt", cap=50, absent="zero").to(lesson.device)
contenders = {
    "cross entropy": lambda z, m: softmax_focal_loss(z, m, gamma=0),
    "root weights": lambda z, m: weighted_cross_entropy(z, m, gentle),
    "focal + root weights": lambda z, m: softmax_focal_loss(z, m, gamma=gamma, class_weights=gentle),
    "cross entropy + Dice": lambda z, m: softmax_focal_loss(z, m, gamma=0) + dice_loss(z, m),
}  # fmt: skip


def class_scores(head):
    """IoU of each defect class on test images, the most probable class of each pixel."""
    confusion = evaluation.confusion_matrix(predict_part(head, test).argmax(1), test.masks, K)
    return evaluation.per_class_iou(confusion, empty=0.0)[1:]


found = {
    method: np.array([
        class_scores(train_head(loss, run, steps, K, label=f"{method}, seed {run}"))
        for run in lesson.seeds(3)
    ])
    for method, loss in contenders.items()
}  # fmt: skip

# %% tags=["hide-input"]
figure = plots.seed_dots(
    {name: {m: runs[:, c] for m, runs in found.items()} for c, name in enumerate(names[1:])},
    xlabel="IoU on test images, three seeds",
    title="After few steps, cross entropy finds no line and no spot; with weights it does",
)
plots.show(figure, "IoU of each defect class under four losses, per seed")
slugs = ("ce", "weights", "focal_weights", "ce_dice")
means = {s: np.median(runs.mean(1)) for s, runs in zip(slugs, found.values())}
record_metrics({f"classes/{s}/mean_iou": mean for s, mean in means.items()}, note="defect classes")

# %% [markdown]
# The background is the most probable class nearly everywhere, so plain cross entropy finds no line and no
# spot in any of three seeds, and in one of them nothing at all. With weights every class is found, with and
# without the focal factor; on *area* their medians lie below that of cross entropy. Cross entropy + Dice is
# best on *area* in each seed, but misses *spot* in two of three seeds and *line* in one.
#
# Is that the loss, or are the steps too few? The experiment that can tell: the same two losses with
# four times the steps. (About 2 minutes, one run each.)

# %%
for method in ("cross entropy", "root weights"):
    longer = class_scores(train_head(contenders[method], seed, 4 * steps, K, label=method))
    print(f"{method:14} {steps:4} steps, seed {seed}: mean IoU {found[method][0].mean():.3f}")
    print(f"{method:14} {4 * steps:4} steps, seed {seed}: mean IoU {longer.mean():.3f}")

# %% [markdown]
# With four times the steps cross entropy rises from .000 to .165; the weights, at .190, lead by .025
# instead of .172 (one run each). So a good part of their advantage was speed.
#
# **And on photographs?** We trained a U-Net from nothing on two real sets: steel strips with three
# classes (`sd_saliency_900`), and magnetic tiles, defect or not. The numbers are from
# `docs/results.md` of this project, where the commands are, too: 1200 steps, three seeds, losses
# untuned; some were trained in bf16 and some in float32. *Compare the order of the losses in the two
# groups.*

# %% tags=["hide-input"]
on_photographs = {
    "steel, mean of 3 classes": {
        "cross entropy": (0.659, 0.666, 0.677),
        "weighted cross entropy": (0.616, 0.622, 0.630),
        "focal": (0.647, 0.651, 0.661),
        "cross entropy + Dice": (0.682, 0.685, 0.689),
    },
    "magnetic tiles": {
        "cross entropy": (0.043, 0.055, 0.338),
        "weighted cross entropy": (0.060, 0.071, 0.102),
        "focal": (0.256, 0.263, 0.293),
        "cross entropy + Dice": (0.114, 0.233, 0.312),
    },
}
figure = plots.seed_dots(
    on_photographs,
    xlabel="IoU on test images, three seeds",
    title="Medians: .62 to .69 on steel, .06 to .26 on tiles; the order is not the same",
)
plots.show(figure, "IoU of four losses on steel strips and on magnetic tiles, per seed")

# %% [markdown]
# On steel, where a tenth of the pixels is defect, cross entropy + Dice is best, plain cross entropy next,
# and weights are worst. On the tiles, where these networks were still far from trained, focal loss has
# the best median, and cross entropy and weights the lowest. **Whether focal loss or weights help depends
# on the data and on the budget.** Measure it on your own.
#
# On both sets a network with a pretrained encoder is ahead of the best loss, again after 1200 steps: much
# on the tiles (.536 against .263), .05 on steel. That network is larger, too (3.57 million parameters
# against 1.94); with random weights it is behind, as lesson 03 shows.

# %% [markdown]
# ## 9 · Mistakes of published code, and what you would see
#
# The mistakes below are from five places:
#
# - the *U-Net blog*: a post on finding defects with focal loss and re-weighted cross entropy (TensorFlow 1);
# - the *lab report*: a U-Net in Keras, with a derivation of focal loss;
# - the *MemSeg blog*: a post with PyTorch code, and the repository TooTouch/MemSeg that it goes with;
# - the *question*: a question-and-answer thread on weighted cross entropy for a U-Net with four classes;
# - the *answer* to it.
#
# We leave the authors' names out, since it is the code that matters here.
# `course_utils.losses.pitfalls` holds the mistakes as small tested functions. For each we give the line
# of code, what you would see, the reason, and the cure.
#
# ### 9.1 "The accuracy keeps rising over four epochs"
#
# The lab report trains for four epochs with a learning rate of .0002 and reports that the
# accuracy grows. We do the same with our head. *What does the accuracy tell you? Compare it with the
# answer "no defect" for every pixel.*

# %%
growth = {}


def watch_accuracy(step, head):
    if step % max(1, four_epochs // 15) == 0 or step == four_epochs - 1:
        p = predict_part(deepcopy(head).eval(), val)
        growth[step] = (
            evaluation.accuracy(p > 0.5, val.masks > 0), evaluation.iou(p > 0.5, val.masks > 0),
        )  # fmt: skip


four_epochs = 4 * len(train.masks) // 8
train_head(focal(0.5, 0), seed, four_epochs, rate=2e-4, watch=watch_accuracy)
no_defect = evaluation.accuracy(torch.zeros_like(val.masks), val.masks > 0)

# %% tags=["hide-input"]
accuracy, overlap = np.array(list(growth.values())).T
figure = plots.lines(
    8 * np.array(list(growth)) / len(train.masks),
    {
        "accuracy": accuracy,
        'accuracy of "no defect"': np.full(len(growth), no_defect),
        "IoU": overlap,
    },
    xlabel="epoch",
    ylabel="score of validation images",
    ylim=(-0.02, 1.04),
    direct_labels=False,
    title='The accuracy rises for four epochs, and ends below that of "no defect"',
)
plots.show(figure, "Accuracy rising to just below that of the trivial answer, IoU near zero")
print(f'accuracy after four epochs {accuracy[-1]:.4f}, of "no defect" {no_defect:.4f}')
record_metric("accuracy/after_four_epochs", accuracy[-1], note="validation images")

# %% [markdown]
# **Reason**: nearly all pixels are background, and section 2 showed that a network first learns to give
# lower probabilities everywhere.
# **Cure**: print the trivial answer's score beside it; watch IoU or AP.
#
# ### 9.2 "Every pixel is class 1 or 2"
#
# The question takes its weights from each batch:
# `weights = batch_size / pixels_of_each_class_in_this_batch`. One stray pixel of a class then weighs as
# much as all the background of the batch.
# *Each dot is the weight of a class in one batch of four images, over that of the background.*

# %%
in_fours = [train.masks[i] for i in torch.randperm(len(train.masks)).split(4)]
per_batch = np.stack([pitfalls.per_batch_class_weights(b, K).numpy() for b in in_fours])

# %% tags=["hide-input"]
relative = {}
for c, name in enumerate(names[1:], start=1):
    present = per_batch[:, c] < 1e6
    if present.any():
        relative[name] = np.log10(per_batch[present, c] / per_batch[present, 0])
figure = plots.seed_dots(
    relative,
    xlabel="weight of the class over that of the background, power of ten",
    higher_is_better=None,
    fmt="{:.1f}",
    title="The weight of one class changes from batch to batch, tenfold and more",
)
plots.show(figure, "Per-batch weights of each class relative to the background, logarithmic")

# %% [markdown]
# And a class that is not in the batch at all:

# %% tags=["nbval-check-output"]
batch = torch.zeros(4, 128, 128, dtype=torch.long)
batch[0, 0, 0] = 1
weights = pitfalls.per_batch_class_weights(batch, 3)
print("weights:", ", ".join(f"{weight:.1e}" for weight in weights.tolist()))
print("summing to 1:", ", ".join(f"{weight:.1e}" for weight in (weights / weights.sum()).tolist()))

# %% [markdown]
# The absent class 2 weighs $4 / 10^{-7} = 4 \cdot 10^7$. In this batch that does no harm, since no pixel
# has the class. But normalize such weights, and the classes that *are* there get nearly 0: the loss
# reads 0.0000. Or count one batch and keep its weights for the whole training, to save time: then a
# few pixels of class 2 in a later batch outweigh all others.
#
# We train with such weights, and with two mistakes that follow in 9.3 and 9.4. Three rows are
# controls: right losses with the same seed and the same steps. (Eight trainings, about two minutes, one
# run each.) *Which class do the test pixels get? Compare each mistake with its control.*


# %%
def answers(loss_function, label):
    """Share of the test pixels that the trained head gives to each class."""
    head = train_head(loss_function, seed, steps, K, label=label)
    given = predict_part(head, test).argmax(1)
    return (torch.bincount(given.flatten(), minlength=K) / given.numel()).numpy()


rarest = int(counts.argmin())
without_it = max(in_fours, key=lambda b: (not (b == rarest).any(), len(b.unique())))
kept_weights = pitfalls.per_batch_class_weights(without_it, K).to(lesson.device)
inverse = class_weights(counts, "inverse", absent="zero").to(lesson.device)

# %%
by_prediction = pitfalls.cross_entropy_weighted_by_prediction
trials = {
    "root weights": contenders["root weights"],
    "weights per batch": lambda z, m: weighted_cross_entropy(
        z, m, pitfalls.per_batch_class_weights(m, K)
    ),
    f"one batch, no {names[rarest]}": lambda z, m: weighted_cross_entropy(z, m, kept_weights),
    "cross entropy (control)": contenders["cross entropy"],
    "weights of the truth (control)": lambda z, m: weighted_cross_entropy(z, m, inverse),
    "weights of the prediction": lambda z, m: by_prediction(z, m, inverse).mean(),
    "focal from logits (control)": lambda z, m: softmax_focal_loss(z, m, gamma=2),
    "double softmax": lambda z, m: pitfalls.double_softmax_focal_loss(z, m, gamma=2),
}
answered = {
    "truth": (torch.bincount(test.masks.flatten(), minlength=K) / test.masks.numel()).numpy(),
    **{name: answers(loss, name) for name, loss in trials.items()},
}

# %% tags=["hide-input"]
figure = plots.heatmap(
    100 * np.stack(list(answered.values())),
    xlabels=list(names),
    ylabels=list(answered),
    fmt="{:.1f} %",
    title="Weights from single batches give defect classes to far too many pixels",
)
plots.show(figure, "Share of the test pixels that is given to each class: truth and eight losses")

# %% [markdown]
# With weights per batch one pixel in seven is called a defect, where one in 170 is. With the weights of
# one batch that holds no spot (class 2), hardly any background is left: **nearly every pixel is class 1
# or 2**. Counting once over the whole set does not mend this alone: the uncapped inverse weights of the
# truth mark one pixel in six. **Cure**: count once, over the whole training set, and damp the weights, by
# a root and a cap: the root weights mark 1.6 %.
#
# What do the controls say? Background everywhere is no sign of a mistake by itself: plain cross entropy
# gives it, too, after so few steps, and focal loss from logits finds only a little *area* (.2 %). So this
# figure does not convict the double softmax. It does tell the two weightings apart: the same inverse
# weights mark 16.4 % as weights of the truth, and nothing as weights of the prediction (one run each).
#
# ### 9.3 Weights of the prediction
#
# The answer multiplies the cross entropy by $\sum_c w_c\, p_c$, the weight of what the network **predicts**
# (`y_pred * weights` instead of `y_true * weights`). The network can then lower its loss in a second way:
# move probability to cheap classes. *A pixel of the rare class, weight 100. Follow the loss from the
# left, as the probability of the truth grows.*

# %% tags=["hide-input"]
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
    title="Weighted by the prediction, the loss has a false minimum at p = .0019",
)
plots.show(figure, "Loss over the probability of the rare class for both weightings")

# %% [markdown]
# Between the two turns a rare pixel is pushed *down*, away from the truth. **What you see**: rare classes
# never appear, where the same weights of the truth make them appear (9.2). **Cure**: the weight of the
# true class.
#
# The same answer returns the **sum** over the pixels: at 128 x 128 the gradient is 16 384 times as
# large. With SGD the learning rate would have to be that much smaller, and another one for every image
# size. Adam hides this, with the two exceptions of section 3. **Cure**: the mean.
#
# ### 9.4 Clips, round trips, and a sigmoid too many
#
# Three more lines of published code:
#
# - `p = clip(p, .001, .999)` (U-Net blog);
# - `p = clip(p, 1e-5, 1 - 1e-5); x = log(p / (1 - p))`, a round trip from probabilities to logits, "to
#   avoid log(0)" (lab report);
# - `loss(softmax(x))`, where the loss applies a softmax itself (MemSeg blog): an argument for logits that
#   is given probabilities.
#
# *The pixel is a defect; its **margin** is the defect logit minus the background logit. On the left the
# network is badly wrong. How large is the gradient there?*

# %%
margin = torch.linspace(-16, 8, 241)
pixels = torch.stack([torch.zeros_like(margin), margin], 1)
defect = torch.ones(len(margin), dtype=torch.long)


def pull_up(loss_function):
    """Gradient of each pixel's loss at its defect logit, sign flipped: positive pulls up."""
    logits = pixels.clone().requires_grad_()
    (loss_function(logits) * len(margin)).backward()
    return -logits.grad[:, 1].numpy()


def round_trip(logits):
    p = (logits[:, 1] - logits[:, 0]).sigmoid()
    return pitfalls.focal_loss_of_recovered_logits(p, defect.float(), alpha=1.0)


# %% tags=["hide-input"]
drawn = {
    "clipped to [.001, .999]": pull_up(lambda z: pitfalls.clipped_focal_loss(z.softmax(1), defect)),
    "round trip, clipped to 1e-5": pull_up(round_trip),
    "double softmax": pull_up(lambda z: pitfalls.double_softmax_focal_loss(z, defect, gamma=2)),
    "from logits": pull_up(lambda z: softmax_focal_loss(z, defect, gamma=2)),
}
figure = plots.lines(
    margin.numpy(),
    drawn,
    xlabel="margin of the defect logit (left: the network is wrong)",
    ylabel="gradient towards the truth",
    direct_labels=False,
    title="At the worst pixels three published losses have next to no gradient",
)
plots.show(figure, "Gradient of four focal losses at a defect pixel over its margin")

# %% tags=["nbval-check-output"]
certain, one_defect = torch.tensor([[-50.0, 50.0]]), torch.tensor([1])
floor = pitfalls.double_softmax_focal_loss(certain, one_defect, gamma=4).item()
print(f"a perfect pixel costs {floor:.5f} under double softmax, gamma 4")
print(f"and {softmax_focal_loss(certain, one_defect, gamma=4).item():.5f} from logits")

# %% [markdown]
# **What you see**: under double softmax a loss that levels off above 0; under a clip, wrong pixels that
# never improve. (Background everywhere is no sign of either: see the controls of 9.2.) **Reason**:
# outside a clip the slope is exactly 0; a second softmax of two numbers between 0 and 1 never gives more
# than .731. **Cure**: logits in, and no clip. In TooTouch/MemSeg the double softmax was mended by a commit
# of December 2023. The averages in the project's README were 95.5 (image AUROC) and 89.6 (pixel AUROC)
# before it, and 96.8 and 95.2 after it: 1.3 and 5.6 points more.
#
# ### 9.5 Weights that miss their class
#
# *Two undecided pixels, one background, one defect: how many times the gradient of the background
# pixel does the defect pixel get?* The rows below:
#
# - `ours`: alpha weighs the defect, as in section 4;
# - `of_class_0`: the MemSeg blog makes the class weights `[alpha, 1 - alpha]`, so alpha weighs class 0, the
#   background;
# - `never_used`: the U-Net blog's focal loss takes an `alpha` and does nothing with it;
# - `.1 for label 1, .9 for rest`: the same blog's re-weighted cross entropy, which has fixed weights.

# %%
both = torch.tensor([0, 1])


def defect_over_background(loss_function, *settings):
    logits = torch.zeros(2, 2, requires_grad=True)
    loss_function(logits, *settings).backward()
    background_pixel, defect_pixel = logits.grad.abs().sum(1)
    return (defect_pixel / background_pixel).item()


def ours(z, alpha):
    return binary_focal_loss(z[:, 1] - z[:, 0], both, alpha=alpha)


def of_class_0(z, alpha):
    return pitfalls.focal_loss_alpha_first(z, both, alpha=alpha)


def never_used(z, alpha):
    return pitfalls.clipped_focal_loss(z.softmax(1), both, alpha=alpha)


# %% tags=["nbval-check-output"]
print("alpha                        .25    .75")
for loss_function in (ours, of_class_0, never_used):
    ratios = [defect_over_background(loss_function, alpha) for alpha in (0.25, 0.75)]
    print(f"{loss_function.__name__:25} {ratios[0]:6.2f} {ratios[1]:6.2f}")
inverted = defect_over_background(pitfalls.inverted_cross_entropy, both)
print(f".1 for label 1, .9 for rest {inverted:4.2f}")

# %% [markdown]
# The last row follows a paper that codes defects as 0 in its label images. There .1 for label 1 is right;
# with the usual coding it damps defects ninefold. It was the sixth loss of section 7.
# **What you see**: nothing, which is the trouble, or an IoU of 0 at .5. **Cure**: change the weight and
# look whether the number changes; name the class that a weight belongs to.
#
# ### 9.6 The loud ones
#
# A weight map of a fixed shape (U-Net blog), a minus sign too many (a copy of the lab report, after a
# line break), and a library that refuses:


# %%
def weights_of_one_image(labels):
    """As published: a batch of one image, and its size, written into the code."""
    return torch.where(labels == 1, 0.1, 0.9).reshape(1, 64, 64)


try:
    weights_of_one_image(torch.zeros(2, 64, 64))
except RuntimeError as error:
    print(f"RuntimeError: {error}")
p, background_pixel = torch.tensor([0.1]), torch.tensor([0.0])
negative = pitfalls.focal_loss_with_two_minus_signs(p, background_pixel).item()
print(f"log(1 + exp(--x)) instead of log(1 + exp(-x)): a loss of {negative:.4f}")

# %% [markdown]
# **A batch of one**: it works until somebody changes the batch size. Take shapes from the labels.
# **A loss below 0**: cross entropy, focal and Dice loss cannot be negative, so look for a wrong sign.
# **Keras** answers `model.fit(images, masks, class_weight={0: 1.0, 1: 9.0})` with
# `ValueError: class_weight not supported for 3+ dimensional targets`. It takes a weight for each pixel
# instead: `sample_weight=weights[masks]`. In NumPy, equal to our weighted cross entropy:

# %% tags=["nbval-check-output"]
probabilities = some_logits.softmax(1).permute(0, 2, 3, 1).numpy()  # (N, H, W, C), as in Keras
masks = some_target.numpy()
of_the_truth = np.take_along_axis(probabilities, masks[..., None], axis=-1)[..., 0]
sample_weight = some_weights.numpy()[masks]
in_numpy = (sample_weight * -np.log(of_the_truth)).mean()
ours = weighted_cross_entropy(some_logits, some_target, some_weights).item()
assert np.isclose(in_numpy, ours, rtol=1e-5)
print("sample_weight=weights[masks] is weighted cross entropy")

# %%
exercise("weight_map")


# %%
def weight_map(mask, weights):
    return ...


exercise("weight_map").check(weight_map)

# %% [markdown]
# ### 9.7 From what you see to what it is
#
# | you see | look for |
# |---|---|
# | accuracy rises, and nothing is found | the trivial answer; print its accuracy |
# | rare classes everywhere | weights per batch, of one batch, or without a cap |
# | rare classes never appear | too few steps; weights of the prediction; weights of the wrong class |
# | the loss reads 0.0000 | an absent class with a huge weight, then normalized |
# | the loss levels off above 0 | softmax or sigmoid applied twice |
# | some defects are never learned | clipped probabilities; Dice alone |
# | changing alpha changes nothing | a parameter that is never used |
# | defects get worse when alpha grows | alpha of class 0 |
# | the loss is negative | a wrong sign in the formula |
# | with SGD, another image size needs another learning rate | a sum instead of a mean |
# | it fails at another batch size | a shape that is written into the code |

# %% [markdown]
# ## 10 · Challenge
#
# Beat the losses of section 7 with a loss of your own: choose alpha, gamma, weights, a mixture with Dice
# or Tversky, **on validation images only**. When you have decided, look at the test images once, and
# enter that number. One training takes about 15 seconds.

# %%
board = challenge(
    "02_losses",
    score="IoU on test images, threshold from validation images, one run",
    to_beat={
        name: scores[name]["IoU at chosen"][0]
        for name in ("cross entropy", f"focal, alpha .75, gamma {gamma:g}", "cross entropy + Dice")
    },
)

# %%
my_loss = None  # for example focal(0.6, 1), or lambda z, m: focal(0.6, 1)(z, m) + dice(z, m)

if my_loss is not None:
    my_head = train_head(my_loss, seed, steps, label="my loss")
    my_threshold, on_validation = validated(my_head)
    print(f"IoU on validation images {on_validation:.3f}, threshold {my_threshold:.3f}")
    # Decided? Then take the # away, once:
    # on_test = evaluation.iou(predict_part(my_head, test) >= my_threshold, test.masks > 0)
    # board.enter("focal, alpha .6, gamma 1", on_test)

# %% [markdown]
# ## Recap

# %%
predictions()

# %% [markdown]
# - At the logit the gradient of cross entropy is p - y. Class weights change the share of a class,
#   focal loss that of the pixels that are predicted well already, Dice balances the two sides by itself.
# - Losses take logits. `log_softmax` and `softplus` make clipping unnecessary; a clip takes the gradient
#   of the worst pixels away. Dice loss alone has next to no gradient there either, so we add cross entropy.
# - Weights belong to the true class, come from the whole training set, and have a cap. Say whether
#   the mean divides by pixels or by weights.
# - A better IoU at .5 may be a moved threshold. Compare at thresholds chosen on validation images,
#   or by AP, over several seeds.
# - Weights helped on four synthetic classes with few steps, focal loss on the tiles, neither on steel.
#   Try them on your own data, beside plain cross entropy.
#
# Lesson 03 trains a whole network, the U-Net.
#
# ## Quiz

# %%
quiz("02")

# %% [markdown]
# ## References
#
# - T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár: *Focal loss for dense object detection*,
#   ICCV 2017.
# - F. Milletari, N. Navab, S.-A. Ahmadi: *V-Net*, 3DV 2016 (Dice loss).
# - S. Salehi, D. Erdogmus, A. Gholipour: *Tversky loss function for image segmentation using 3D fully
#   convolutional deep networks*, MLMI 2017.
# - M. Tan, Q. Le: *EfficientNet*, ICML 2019.
# - X. Tao, D. Zhang, W. Ma, X. Liu, D. Xu: *Automatic metallic surface defect detection and
#   recognition with convolutional neural networks*, Applied Sciences 2018 (weights .8 and .2).
# - Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie: *Class-balanced loss based on effective number
#   of samples*, CVPR 2019.
# - TooTouch/MemSeg on GitHub: the README before and after the change of December 2023.
