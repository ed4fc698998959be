# ---
# jupyter:
#   course:
#     title: Two-stage training
#     summary: One network that marks defects and decides on images, trained end to end; what each of its four extensions is worth, and what its public code got wrong.
#     minutes_reading: 40
#     minutes_exercises: 35
#     compared_cells: 9
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
# # 07 · Two-stage training
#
# **Where is the defect? And is there one at all?**
#
# After this lesson you can
#
# - build a network of two stages, and say which loss moves which of its layers;
# - train both stages at once, with masks, with coarse masks, or with labels alone;
# - draw good images so that each has its turn;
# - judge decisions on images without looking at the answers first;
# - recognize five mistakes of the public code, and say which of them change a score.
#
# You need lessons 02 and 03. About 40 minutes of reading and 35 of exercises. Running all cells
# takes about ten minutes on four CPU cores: the stored figures can be read meanwhile.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "kolektor_sdd", "magnetic_tile", "folder:PATH"
seed = 0
fold = 0  # of kolektor_sdd: 1, 2 or 3 is the test part; 0 splits as for all data sets

# %%
import copy
import math

import numpy as np
import torch
from torch.nn import functional as F

from course_utils import data, evaluation, plots
from course_utils.data import (
    EllipseMasks, FrequencyOfUseSampler, find_regions, two_stage_target,
)  # fmt: skip
from course_utils.lessons import (
    LiveCurves, exercise, predict, prove_equal, quiz, record_metric, start_lesson,
)  # fmt: skip
from course_utils.losses import TwoStageTarget, two_stage_loss
from course_utils.models import FeatureNorm, TwoStageNet
from course_utils.trainers import (
    CHANNELS, TWO_STAGE_VARIANTS, TwoStageConfig, TwoStageTrainer, labels_of,
    open_detection_splits,
)  # fmt: skip

lesson = start_lesson(
    "07_two_stage_training", profile=profile, dataset=dataset, seed=seed, fold=fold
)

# %% [markdown]
# ## Predict first

# %%
predict(
    "A network is trained to mark defects, pixel by pixel. The line only wants to know which parts "
    "to throw away. Is the largest value of the map a good answer, or does a second network that "
    "reads the map and its features do better?",
    [
        "the largest value will do",
        "a second network does better",
        "the mean of the map does better",
    ],
)

# %% [markdown]
# ## The idea: first where, then whether
#
# A line asks for one decision per part. A classifier that is shown whole images and one label each
# has a hard time: the crack is a hundred pixels of a hundred thousand, and nobody tells it which.
# So the first stage learns **where**, from masks; the second stage reads what the first one has
# found and learns **whether**. Božič, Tabernik and Skočaj train both at once, in one network.
#
# We take plain painted surfaces in many colors; about a quarter of the images show a defect. (On
# a real line it is far fewer.) Defective images teach, and so do as many good ones.

# %%
tall_parts = dataset == "kolektor_sdd"
tall, wide = lesson.pick(
    smoke=(128, 128),
    laptop=(352, 128) if tall_parts else (128, 128),
    full=(1408, 512) if tall_parts else (256, 256),
)
base = TwoStageConfig(
    data=dataset,
    fold=lesson.parameters.fold,
    height=tall,
    width=wide,
    channels=lesson.pick(smoke="slim", laptop="slim", full="published"),
    epochs=lesson.pick(smoke=1, laptop=8, full=50),
    batch_size=lesson.pick(smoke=8, laptop=1, full=1),
    split_seed=seed,
)
some = lesson.pick(smoke=8, laptop=None, full=None)  # of each kind, in each part
parts = open_detection_splits(base, most=some, progress=lesson.progress)
for name in ("train", "val", "test"):
    labels = labels_of(getattr(parts, name))
    print(f"{name:5}  {int((labels == 0).sum()):3} good images, {int(labels.sum()):3} defective")


# %%
def different(images, indices, count):
    """The first `count` of these images that show different parts, not the same one twice."""
    by_part = {images[i].group: i for i in reversed(list(indices))}
    return sorted(by_part.values(), key=list(indices).index)[:count]


defective = [i for i, sample in enumerate(parts.train) if sample.mask.any()]
clean = [i for i, sample in enumerate(parts.train) if not sample.mask.any()]
shown = different(parts.train, defective, 4) + different(parts.train, clean, 4)
figure = plots.montage(
    [parts.train[i].image for i in shown],
    masks=[parts.train[i].mask if parts.train[i].mask.any() else None for i in shown],
    titles=["defect" if parts.train[i].mask.any() else "good" for i in shown],
    title="What it learns from",
)
plots.show(figure, "Four training images with their defects outlined, and four good ones")

# %% [markdown]
# ## The network
#
# The first stage brings the image down to an eighth of its side, and then looks far around with
# **one** convolution of 15 x 15: each cell of its map $S$ sees 216 x 216 pixels, more than our
# small images have. This one layer holds 94 % of all parameters and takes most of the time. The
# second stage reads the 1024 maps of the *volume* and $S$, halves them three times, and ends with
# 66 numbers: maximum and mean of its 32 maps, and of $S$ itself (the *shortcut*). One linear
# layer turns these into the decision.
#
# In the figure, "2 x 5x5, 32" is two convolutions of 5 x 5 with 32 maps each, and 1/2 is the size
# from there on; (a) and (b) come further down. In the code the upper row is `volume`, the 1x1 is
# `segmentation_head`, the middle row `extractor`, and the last layer `classifier`.

# %%
# fmt: off
image, first, second, third = "image\n512 x 1408", "2 x 5x5, 32", "3 x 5x5, 64", "4 x 5x5, 64"
volume, map_s = "15x15, 1024\nvolume", "1x1, 1\nmap S"
boxes = {
    image: (0, 0), first: (1, 0), second: (2, 0), third: (3, 0), volume: (4, 0), map_s: (4, 2),
    "5x5, 8": (3, 1), "5x5, 16": (2, 1), "5x5, 32": (1, 1), "66 numbers": (1, 2), "decision": (0, 2),
}
arrows = [
    (image, first), (first, second, "1/2"), (second, third, "1/4"), (third, volume, "1/8"),
    (volume, map_s), (volume, "5x5, 8", "(b) 1/16"), (map_s, "5x5, 8", "(b) 1/16"),
    ("5x5, 8", "5x5, 16", "1/32"), ("5x5, 16", "5x5, 32", "1/64"),
    ("5x5, 32", "66 numbers", "max, mean"), (map_s, "66 numbers", "(a) max, mean"),
    ("66 numbers", "decision"),
]
# fmt: on
title = "Upper row and map S: where. The rest: whether"
figure = plots.flow_chart(boxes, arrows, strong=(map_s, "decision"), title=title)
plots.show(figure, "Boxes and arrows: the layers of both stages and the size of their maps")

# %% tags=["nbval-check-output"]
with torch.device("meta"):  # shapes without numbers
    published = TwoStageNet(in_channels=1)
    out = published(torch.zeros(1, 1, 512, 1408))
count = {
    name: sum(p.numel() for p in part.parameters()) for name, part in published.named_children()
}
print("map", tuple(out.segmentation.shape), " decision", tuple(out.decision.shape))
print({name: f"{number:,}" for name, number in count.items()}, f"in all {sum(count.values()):,}")
large = published.volume[-1][0].weight.numel()
print(f"the 15x15 layer alone: {large:,}, {large / sum(count.values()):.0%}")

# %% [markdown]
# ## Its normalization, and one bias that matters
#
# Every convolution is followed by a *feature normalization*: each channel of each image loses its
# mean and is divided by its spread, then scaled and shifted. It needs one image only, so a batch
# of one will do. **A mistake of the public code:** it divides by the *square root* of the spread.


# %% tags=["nbval-check-output"]
def feature_norm(x, weight, bias):
    spread, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
    shape = (1, -1, 1, 1)
    return (x - mean) / spread * weight.view(shape) + bias.view(shape)


x = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
layer = FeatureNorm(3)
prove_equal(lambda x: feature_norm(x, layer.weight, layer.bias), layer, x, tolerance=1e-4)
for spread in (0.01, 1.0, 100.0):
    ours, theirs = (FeatureNorm(3, kind=kind)(spread * x).std() for kind in ("std", "published"))
    print(f"spread {spread:6g} in: {ours:.2f} out, published {theirs:.3f}")

# %% [markdown]
# So what the published layer hands on still depends on how strong its input was. (Ours gives .95
# for the weakest input, since a small constant keeps the division safe.)
#
# Now the last normalization, that of $S$. If it had no bias, $S$ would have mean 0 in every
# image. The loss of a clean cell is $\ln(1 + e^s)$, in torch `softplus`. It curves upwards, so
# the mean of the losses is at least the loss of the mean (Jensen's inequality), and at $s = 0$
# that is $\ln 2$. No training gets a good image below it:

# %% tags=["nbval-check-output"]
for scale in (10.0, 1.0, 0.1, 0.0):
    s = scale * torch.randn(1, 1, 8, 22, generator=torch.Generator().manual_seed(0)).double()
    s = s - s.mean()
    loss = F.softplus(s).mean()  # cross entropy of an image without a defect
    print(
        f"spread {scale:4g}: loss {loss:.3f}   with a bias of -10: {F.softplus(s - 10).mean():.3f}"
    )
print(f"ln 2 = {math.log(2):.3f}")

# %% [markdown]
# The public code means to have no bias there, and wraps a tensor that should not be trained into a
# parameter, which turns its gradient on again. A slip that saves the method.
#
# ## Which loss moves which layer?
#
# The decision is the newcomer: in the first epochs it knows nothing, and 1024 maps would be bent
# by what it guesses. So the papers stop its gradient at two places: **(a)** at the shortcut from
# $S$, and **(b)** at the entrance of the second stage. Values pass, gradients do not: in torch,
# `.detach()`. One switch moves both in the public code; ours are two. *Which layers does the
# decision's loss reach?*

# %%
torch.manual_seed(0)
probe = TwoStageNet(1, channels=CHANNELS["slim"])
image = torch.rand(2, 1, 128, 128)
groups = ("volume", "segmentation_head", "extractor", "classifier")
settings = {"none": (0, 0), "(a)": (1, 0), "(b)": (0, 1), "(a) and (b)": (1, 1)}


def gradient_length(part):
    return math.hypot(*(p.grad.norm() for p in part.parameters() if p.grad is not None))


reach = []
for stop_shortcut, stop_extractor in settings.values():
    probe.stop_shortcut, probe.stop_extractor = bool(stop_shortcut), bool(stop_extractor)
    probe.zero_grad()
    F.binary_cross_entropy_with_logits(probe(image).decision, torch.tensor([0.0, 1.0])).backward()
    reach.append([gradient_length(getattr(probe, name)) for name in groups])
figure = plots.heatmap(
    reach,
    [group.replace("_", " ") for group in groups],
    [f"stops: {name}" for name in settings],
    title="Length of the gradient of the decision's loss",
)
plots.show(figure, "Gradient of the decision loss on four groups of layers under four settings")

# %% tags=["nbval-check-output"]
for name, row in zip(settings, reach, strict=True):
    reached = [group for group, length in zip(groups, row, strict=True) if length > 0]
    print(f"stops {name:12} the decision's loss moves: {', '.join(reached)}")

# %% [markdown]
# With one stop alone the decision still reaches the volume through the other path. Only both stops close it.
#
# ## The loss, and a schedule
#
# Both parts are cross entropies, the first over cells, the second over images. In epoch $n$ of $E$
#
# $$L = \lambda\, L_\text{seg} + \delta\,(1 - \lambda)\, L_\text{cls},\qquad \lambda = 1 - n / E$$
#
# so it starts with *where* alone, and the share of *whether* grows. $\delta$ makes the decision's
# part smaller: .01 for KolektorSDD, so that at rate 1 its layers move as at rate .01. Cells of a
# defect carry weights, of which more below; an image without a mask has no first part.


# %% tags=["nbval-check-output"]
def loss_from_scratch(segmentation, decision, lam, delta):
    p = segmentation.sigmoid()
    cells = -target.weight * (target.mask * p.log() + (1 - target.mask) * (1 - p).log())
    images = cells.mean(dim=(1, 2, 3)) * target.has_mask  # 0 where there is no mask
    q = decision.sigmoid()
    labels = -(target.label * q.log() + (1 - target.label) * (1 - q).log())
    return lam * images.mean() + delta * (1 - lam) * labels.mean()


generator = torch.Generator().manual_seed(0)
segmentation = torch.randn(3, 1, 8, 22, generator=generator)
decision = torch.randn(3, generator=generator)
target = TwoStageTarget(
    mask=(torch.rand(3, 1, 8, 22, generator=generator) < 0.1).float(),
    weight=torch.rand(3, 1, 8, 22, generator=generator),
    label=torch.tensor([1.0, 1.0, 0.0]),
    has_mask=torch.tensor([True, False, True]),
)


def building_block(segmentation, decision, lam, delta):
    return two_stage_loss((segmentation, decision), target, lam=lam, delta=delta)


prove_equal(loss_from_scratch, building_block, segmentation, decision, 0.7, 0.01)

# %%
n = np.arange(50)
falling = 1 - n / 50
figure = plots.lines(
    {"where": n, "whether": n},
    {"where": falling, "whether": 1 - falling},
    xlabel="epoch of 50",
    ylabel="share",
    title="From where to whether (the share of whether is then multiplied by delta)",
)
plots.show(figure, "The weight of the segmentation falls from 1, that of the decision rises from 0")

# %% [markdown]
# *A note on rates.* The papers train with plain SGD and rates like .5 or 1. Their code **sums** the
# gradients of the images of a batch, where ours takes the mean loss: their "batch 10, rate .1" is a
# rate of 1.0 here, "batch 5, rate .01" is .05.
#
# ## Each good image has its turn
#
# Each pass (or epoch) takes all defective images, and as many good ones. There are many more of
# these: which? Drawn at random, some come often and some hardly ever, and the rare ones may be
# where the false alarms will be. The papers draw by how often an image was used; simplest is to
# take the least used. Their numbers: 230 good images, 33 in a pass, 50 passes.

# %% tags=["nbval-check-output"]
uses, rng = np.zeros(230, int), np.random.default_rng(0)
for _ in range(50):
    uses[rng.choice(230, 33, replace=False)] += 1
print(f"drawn from scratch: each good image was used {uses.min()} to {uses.max()} times")
of_rule = {}
for rule in ("uniform", "least_used"):
    sampler = FrequencyOfUseSampler([0] * 230 + [1] * 33, seed=0, rule=rule)
    for _ in range(50):
        list(sampler)
    of_rule[rule] = sampler.uses.numpy()
    print(f"FrequencyOfUseSampler, {rule}: {of_rule[rule].min()} to {of_rule[rule].max()} times")

# %%
times = np.arange(18)
figure = plots.lines(
    {name.replace("_", " "): times for name in of_rule},
    {name.replace("_", " "): np.bincount(c, minlength=18) for name, c in of_rule.items()},
    xlabel="times used in 50 passes",
    ylabel="good images",
    title="How often each of 230 good images was used",
)
plots.show(figure, "How many good images were used how often, under both rules")

# %% [markdown]
# ## What a pixel of a defect counts
#
# People disagree about where a defect ends. So its edge shall count little and its middle most: the
# weight is $w\,(D / D_\text{max})^p$ with the distance $D$ of a pixel to the nearest clean one, and 1 on
# clean pixels. For KolektorSDD $w = 1$ and $p = 2$. Slowly, from the definition:


# %% tags=["nbval-check-output"]
def weights_from_scratch(mask, power):
    inside, outside = (mask > 0).nonzero().double(), (mask == 0).nonzero().double()
    distance = torch.cdist(inside, outside).min(dim=1).values
    weights = torch.ones(mask.shape, dtype=torch.double)
    weights[mask > 0] = (distance / distance.max()) ** power
    return weights


mask = torch.zeros(64, 96, dtype=torch.long)
mask[20:40, 10:70] = 1
mask[50:56, 84:90] = 1  # a second, small defect
same = torch.allclose(
    weights_from_scratch(mask, 2), data.distance_weights(mask).double(), atol=1e-5
)
print("from scratch and data.distance_weights give the same:", same)
for per in ("image", "component"):
    small = data.distance_weights(mask, per=per)[50:56, 84:90]
    print(
        f"largest of the {per}: the small defect weighs {small.max():.2f}, mean {small.mean():.3f}"
    )

# %%
coarse = EllipseMasks(parts.train)
several = [i for i in defective if len(find_regions(coarse[i].mask)) > 1]
shown = different(parts.train, several, 2)
shown += different(parts.train, [i for i in defective if i not in several], 4 - len(shown))
figure = plots.heat_maps(
    [parts.train[i].image for i in shown],
    [parts.train[i].mask for i in shown],
    {
        "exact masks": [data.distance_weights(parts.train[i].mask) for i in shown],
        "ellipses": [data.distance_weights(coarse[i].mask) for i in shown],
        "by component": [data.distance_weights(coarse[i].mask, per="component") for i in shown],
    },
    limit=1.0,
    title="What the pixels count: 1 outside, up to 1 in the middle of a defect",
)
plots.show(figure, "Distance weights of four images: exact masks, ellipses, ellipses by component")

# %% [markdown]
# *Look at the edges of the defects.* (The lower two rows are of ellipses drawn around the
# defects, as hurried people do.) With $w = 1$, as for KolektorSDD and Severstal, no defect pixel
# counts more than a clean one, and most of them far less. For KolektorSDD2 $w$ is 3, for DAGM 10
# or 20. In an image with a large and a small defect, the small one is almost forgotten if the
# largest distance is that of the **image**. (The authors tried it by **component** later, and
# found it a little worse on their data.)
#
# ## A label that forgets small defects
#
# The map has an eighth of the image's side, so masks are brought down too: the mean of 17 x 17 pixels,
# every 8 pixels. A small defect becomes a pale spot: the mask is *soft*. That may be right for the map. **The mistake:** the
# public code takes the *decision's* label from it, the largest value of the small mask. In evaluation
# it looks at the mask itself. So it trains towards one thing and is judged by another:

# %% tags=["nbval-check-output"]
for side in (1, 5, 9, 17, 31):
    mask = torch.zeros(128, 128, dtype=torch.long)
    mask[60 : 60 + side, 60 : 60 + side] = 1
    taught = two_stage_target(mask, pitfall_label=True).label
    right = two_stage_target(mask).label
    print(f"a defect of {side:2} x {side:2} pixels is taught as {taught:.3f}, ours {right:.0f}")

# %% [markdown]
# ## Train
#
# Both stages at once, three seeds, with the settings of the second paper for KolektorSDD: plain
# SGD, one image in a batch, rate 1, delta .01, but without its widening of the masks by 7 x 7
# pixels. At the laptop profile for eight passes instead of fifty, with a quarter of the channels
# or fewer, on small images. (Tried as well, and judged by validation images: AdamW, which gets
# about as far, and larger weights for defects, which did worse; one seed each.)

# %%
evaluations = lesson.pick(smoke=1, laptop=4, full=10)
passes = 2 * len(defective) // base.batch_size
every = max(base.epochs * passes // evaluations, 1)


def train(run_seed, watch=None, **changes):
    config = TwoStageConfig(**(vars(base) | {"seed": run_seed} | changes))
    return TwoStageTrainer(config, parts, progress=lesson.progress).train(
        evaluate_every=every if watch else None,
        on_evaluation=watch,
        device=lesson.device,
        precision=lesson.precision,
    )


# %%
results = {"two_stage": []}
alt = "Loss, and average precision of the decision on validation images, three seeds"
with LiveCurves(alt=alt, metrics=("val/ap",), title="Two stages, three seeds") as curves:
    for run in lesson.seeds(3):
        results["two_stage"].append(train(run, curves.run("two stages", seed=run)))

# %% [markdown]
# Do not read the loss as progress alone: $\lambda$ falls from 1 to 1/8 and takes the loss with
# it. The ranking of validation images comes late: after four of eight passes one seed still ranks
# by chance.
#
# ## Is the second stage worth it?
#
# The prediction of the beginning, on the test images: rank them by the decision, by the largest
# value of the map, by its mean.

# %%
truth = labels_of(parts.test)
rankings = {"decision": [], "largest value of the map": [], "mean of the map": []}
for run in results["two_stage"]:
    maps = run.maps.flatten(1)
    scores = (run.decisions, maps.max(1).values, maps.mean(1))
    for name, score in zip(rankings, scores, strict=True):
        rankings[name].append(evaluation.average_precision(score, truth))
figure = plots.seed_dots(
    rankings, xlabel="average precision, test images", title="One number for an image"
)
plots.show(figure, "Average precision of the decision, of the map's maximum and of its mean")
record_metric("ap", np.median(rankings["decision"]))
record_metric("ap/map_maximum", np.median(rankings["largest value of the map"]))

# %% [markdown]
# In the stored run it is not. The largest value of the map ranks the images as well as the
# decision does, by median even a little better (.937 against .907), and the dots overlap. So on
# surfaces as plain as these, after eight passes, the first stage does the work. What the second
# stage brings is that nobody had to know that the maximum is the right rule.
#
# The mean tells nothing, **and it cannot**: the last normalization gives $S$ the same mean, its
# bias, in *every* image. What is ranked are rounding errors, and chance gets .24 (48 of 200). So
# one of the 66 numbers that the second stage looks at is always the same, in the papers' network
# as in ours.
#
# ## Detections, misses, false alarms
#
# The threshold was chosen on validation images: the best F1 there, in the middle of the gap below that
# score. What does it do on the test images?

# %%
first = results["two_stage"][0]
alarm, bad = first.decisions >= first.threshold, truth.bool()
kinds = {"detected": alarm & bad, "missed": ~alarm & bad, "false alarm": alarm & ~bad}
for name, which in kinds.items():
    print(
        f"{name:12} {int(which.sum()):3} of {int((bad if name != 'false alarm' else ~bad).sum())}"
    )
shown, titles = [], []
for name, which in kinds.items():
    order = first.decisions.argsort(descending=name != "missed").tolist()
    chosen = different(parts.test, [i for i in order if which[i]], 2)
    shown, titles = shown + chosen, titles + [name] * len(chosen)
maps = F.interpolate(first.maps[shown].sigmoid()[:, None], (tall, wide), mode="bilinear")[:, 0]
figure = plots.heat_maps(
    [parts.test[i].image for i in shown],
    [parts.test[i].mask for i in shown],
    {"map S": maps},
    titles=titles,
    title="The surest detections, the worst misses, the worst false alarms",
)
plots.show(figure, "Test images that were detected, missed or falsely alarmed, with their maps")

# %% [markdown]
# This is the first seed, by luck also the best of the three (11 errors; the others make 14 and
# 21, see below). 40 of 48 defective images are found, with 3 false alarms among 152 good ones.
# The worst misses are a faint stain and a scratch. Scratches are two or three pixels wide, and of a
# mask that is brought down by eight nothing much is left of them. The values of the map stay below
# one half; what counts is how far a spot stands out.
#
# ## Mistake: the threshold that has seen the answers
#
# Papers report false alarms and misses at the threshold with the best F1 **on the test images**. Nobody
# has that one at work. Beside it, the one from validation images. And a second trap: the public code
# calls the area under *straight lines* average precision. As long as no two scores are equal, the lines lie
# below the steps, since each defect that is found raises the precision. Where scores tie, as probabilities in whole
# percents do, a line promises precisions that no threshold has.

# %%
counts = {}
for where, ending in (("validation images", ""), ("test images (oracle)", "_oracle")):
    counts[f"threshold from {where}"] = [
        run.scores[f"fp{ending}"] + run.scores[f"fn{ending}"] for run in results["two_stage"]
    ]
figure = plots.seed_dots(
    counts,
    xlabel=f"errors on {len(truth)} test images",
    fmt="{:.0f}",
    higher_is_better=False,
    title="The same networks, two thresholds",
)
plots.show(figure, "Errors at the threshold chosen on validation images and at the oracle's")
record_metric("errors", np.median(counts["threshold from validation images"]))
record_metric("errors/oracle", np.median(counts["threshold from test images (oracle)"]))
for run in results["two_stage"]:
    rounded = (run.decisions.sigmoid() * 100).round()
    lines = [
        f"{step(scores, truth):.3f}"
        for scores in (run.decisions, rounded)
        for step in (evaluation.average_precision, evaluation.trapezoid_average_precision)
    ]
    print("steps {}, straight lines {}. Whole percents: steps {}, straight lines {}".format(*lines))

# %% [markdown]
# In the stored run the oracle's threshold makes 10 errors by median, the honest one 14. Not one
# weight has changed: all that happened is that the threshold has seen the answers. The straight
# lines are the smaller trap here. From the logits they lie .001 below the steps or equal.
# Rounding to whole percents costs up to .004, and the straight lines give half of it back or more;
# coarser scores would get more than they deserve.
#
# ## Four extensions, each left out
#
# The schedule, the gradient stops, the distance weights, the sampling by use: each left out once, and all
# together, three seeds each.

# %%
seeds = lesson.seeds(lesson.pick(smoke=1, laptop=3, full=3))
ablations = ("no_schedule", "no_stops", "no_weights", "uniform_sampling", "plain")
for variant in ablations:
    results[variant] = [train(run, variant=variant) for run in seeds]


def compare(variants, title, alt):
    figure = plots.seed_dots(
        {
            TWO_STAGE_VARIANTS[name].title: [run.scores["ap"] for run in results[name]]
            for name in variants
        },
        xlabel="average precision, test images",
        title=title,
    )
    plots.show(figure, alt)


compare(
    ("two_stage", *ablations),
    "Each extension left out",
    "Average precision of the method and of five ablations, three seeds each",
)
for name in ablations:
    record_metric(f"{name}/ap", np.median([run.scores["ap"] for run in results[name]]))

# %% [markdown]
# Left out **together**, the four cost much: .530 against .907, and the best seed without them lies below
# the worst with them. Left out **one at a time**, every row overlaps with the method. By median two are
# below it (no stops .859, no weights .815) and two above (no schedule .914, uniform sampling .939).
# What three of them show is one seed that goes wrong: .71 without the schedule, .28 without the stops,
# .58 without the weights, where the method's three stay between .87 and .92. That fits extensions
# which make a training safer; three seeds cannot show that it is so.
#
# How little three seeds show, we learned here ourselves. The same code and the same seeds, run on a
# processor whose sums differ in the last digits, had put uniform sampling *below* the method in all
# three seeds (.866 against .915), and this lesson said that it clearly earns its place.
#
# The papers found the schedule to bring .2 to 1.7 points of average precision and the weights
# half a point, with 40 to 70 passes. Differences of that size cannot be seen here.
#
# ## Coarse masks, few masks
#
# Exact masks are dear. An ellipse around each defect takes seconds; a label, "defective", takes one. The
# same network learns from ellipses, or from a few masks and labels for the rest. (Good images always teach
# that their map is empty: that costs nobody anything.)

# %%
few = max(len(defective) // 5, 2)
taught = {
    f"all {len(defective)} masks": results["two_stage"],
    f"{len(defective)} ellipses": [train(seed, masks="ellipse")],
    f"{few} masks, else labels": [train(seed, segmented=few)],
    "labels alone": [train(seed, segmented=0)],
}
figure = plots.seed_dots(
    {name: [run.scores["ap"] for run in runs] for name, runs in taught.items()},
    xlabel="average precision, test images",
    title="What the defective images are taught with",
)
plots.show(figure, "Average precision with exact masks, ellipses, a few masks and labels alone")
for name, runs in zip(("ellipses", "few_masks", "labels"), list(taught.values())[1:], strict=True):
    record_metric(f"{name}/ap", np.median([run.scores["ap"] for run in runs]))

# %% [markdown]
# One seed each, so only large gaps speak. With the same seed, exact masks get .907 and ellipses
# .953; nine masks and labels for the rest .756. Labels alone get .300, next to chance (.24), and the
# table of gradients above says why: with both stops closed nothing that a label says can reach
# the volume. It learned from good images alone, that maps are empty. For labels alone the papers
# take other settings (rate .01, delta 1, no schedule; our sources do not say whether the stops
# are open), and get an average precision of .93 on KolektorSDD.
#
# ## What the mistakes cost
#
# The label from the shrunk mask, and the square root in the normalization.

# %%
mistakes = ("pitfall_label", "published_norm")
for variant in mistakes:
    results[variant] = [train(run, variant=variant) for run in seeds[:2]]
compare(
    ("two_stage", *mistakes),
    "Two mistakes of the public code",
    "Average precision of the method, three seeds, and of two mistakes, two seeds each",
)
for name in mistakes:
    record_metric(f"{name}/ap", np.median([run.scores["ap"] for run in results[name]]))

# %% [markdown]
# The label from the shrunk mask costs nothing that shows here (both seeds .90). Spots are large enough to
# keep a label near 1. Thin scratches are taught as about .15, but good images as 0: that still
# ranks them above good ones, and average precision asks for ranks only. That a mistake is real
# does not mean that it shows in every score.
#
# The square root costs much here: .57 and .60, against .907. The papers reach 100 % on
# KolektorSDD with it, at the same rate, in 50 passes. So it is no broken network; after eight
# passes on small images it is behind, and why, we did not measure.
#
# One more mistake has no score. The public code keeps the times of use **inside the data set**, and
# counts in `__getitem__`. Each worker of a loader has a copy of the data set, and all copies vanish with
# the workers. A copy stands for a worker here:


# %% tags=["nbval-check-output"]
class CountsItself:
    def __init__(self, images):
        self.uses = [0] * images

    def __getitem__(self, index):
        self.uses[index] += 1


counted = CountsItself(4)
for _ in range(10):
    in_the_worker = copy.deepcopy(counted)  # what a DataLoader hands to its worker
    for index in range(4):
        in_the_worker[index]
print("after ten passes in a worker, the training sees:", counted.uses)
in_this_process = FrequencyOfUseSampler([0, 0, 0, 0, 1, 1])
for _ in range(10):
    list(in_this_process)
print("a sampler draws here, and keeps count here:", in_this_process.uses.tolist())

# %% [markdown]
# The public code therefore works with `num_workers=0` only. Ours counts in the sampler, which the
# checkpoint of `fit` saves and which several workers and several GPUs share.
#
# ## On real surfaces
#
# The same, without a notebook, on KolektorSDD, three folds by item:
#
#     course train two-stage --data kolektor_sdd --fold 1 --height 704 --width 256 --dilate 7 \
#         --channels slim --epochs 20
#
# At half its size, with the slim network and 20 passes, the mean average precision of the three folds
# (one seed) is
#
# | all four | no schedule | no stops | no weights | uniform sampling | none of the four |
# |---|---|---|---|---|---|
# | 1.000 | .999 | .995 | .997 | 1.000 | .978 |
#
# Each extension points the papers' way or shows nothing; together they are worth two points. At a
# quarter of the size and after ten passes the same table shows no direction at all (.945 to .969):
# there the folds differ more than the variants. An ablation wants a task that can be solved, and that
# is not solved by everything. The numbers of each fold, with device and time, stand in
# `docs/results.md`.
#
# KolektorSDD was photographed item by item, and three items were photographed twice: kos26 is kos01,
# kos34 is kos27, and kos39 is kos38, the last one in new pictures. The reader keeps each pair on one side
# of every split. (The two masks of such a crack agree to two thirds: label noise.)
#
# ## Exercises

# %%
exercise("image_label")


# %%
def image_label(mask):
    return ...


exercise("image_label").check(image_label)

# %%
exercise("joint_loss")


# %%
def joint_loss(segmentation, decision, epoch, epochs, delta):
    return ...


exercise("joint_loss").check(joint_loss)

# %%
exercise("next_negatives")


# %%
def next_negatives(uses, count, rng):
    return ...


exercise("next_negatives").check(next_negatives)

# %%
exercise("distance_weights")


# %%
def distance_weights(mask, distance, power, positive_weight):
    return ...


exercise("distance_weights").check(distance_weights)

# %% [markdown]
# ## Recap
#
# - First *where*, from masks; then *whether*, from what the first stage has found.
# - A gradient that is stopped on one path comes in on the other: measure it.
# - All defective images in each pass, and the good ones whose turn it is.
# - The label of an image comes from its mask, not from a smaller copy of it.
# - A threshold is chosen on validation images. The best one on the test images is not yours.
#
# Lesson 08 puts all methods of the course side by side.
#
# ## Quiz

# %%
quiz("07")

# %% [markdown]
# ## References
#
# - J. Božič, D. Tabernik, D. Skočaj: *End-to-end training of a two-stage neural network for defect
#   detection*, ICPR 2020.
# - J. Božič, D. Tabernik, D. Skočaj: *Mixed supervision for surface-defect detection: from weakly to
#   fully supervised learning*, Computers in Industry 2021.
# - D. Tabernik, S. Šela, J. Skvarč, D. Skočaj: *Segmentation-based deep-learning approach for
#   surface-defect detection*, Journal of Intelligent Manufacturing 2019.
