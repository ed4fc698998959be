# ---
# jupyter:
#   course:
#     title: Two-stage training
#     summary: One network that marks defects and decides on images, and when the decision is more than the map's maximum; what joint training and each of its extensions is worth.
#     minutes_reading: 50
#     minutes_exercises: 35
#     compared_cells: 11
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
# **Where is the mark, and must the part be thrown away?**
#
# After this lesson you can
#
# - build a network of two stages, and say which loss moves which of its layers;
# - tell when a decision is more than the largest value of a map;
# - compare training both stages at once with training them one after the other;
# - measure whether two losses pull the same layers in one direction;
# - find out with a control whether a weighting helps by its shape or by its size;
# - recognize five mistakes of the public code, and say which of them change a score.
#
# You need lessons 02 and 03. About 50 minutes of reading and 35 of exercises; the challenge at the end
# takes as long as you like. Running all cells takes about twelve minutes of one CPU core; the stored
# figures can be read meanwhile.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "kolektor_sdd", "dagm/1", "severstal", "magnetic_tile", "folder:<path>"
seed = 0
fold = 0  # of kolektor_sdd: 1, 2 or 3 is the test part; 0 splits as for all data sets
extension = "two_stage"  # of the main training: a name of course_utils.trainers.TWO_STAGE_VARIANTS

# %%
import copy
import math
from collections import namedtuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# %%
from course_utils import data, evaluation, plots
from course_utils.data import (
    CachedDataset, EllipseMasks, FrequencyOfUseSampler, TwoStageSample, open_dataset,
    two_stage_target,
)  # fmt: skip
from course_utils.lessons import (
    LiveCurves, challenge, exercise, explore, predict, predictions, prove_equal, quiz,
    record_metrics, show_real_photographs, start_lesson,
)  # fmt: skip
from course_utils.losses import TwoStageLoss, TwoStageTarget, two_stage_loss
from course_utils.models import FeatureNorm, TwoStageNet
from course_utils.trainers import (
    CHANNELS, TWO_STAGE_VARIANTS, Splits, TwoStageConfig, labels_of, open_detection_splits,
    predict_two_stage, score_detection,
)  # fmt: skip
from course_utils.training import EpochLoader, fit

lesson = start_lesson(
    "07_two_stage_training", profile=profile, dataset=dataset, seed=seed, fold=fold, extension=extension
)  # fmt: skip

# %% [markdown]
# The papers of this lesson (Božič and others, 2020 and 2021) inspect, among other things, the commutators
# of electric motors. Some have a crack.

# %%
show_real_photographs("kolektor_sdd")

# %% [markdown]
# ## 1 · Where, and whether
#
# *6 minutes.* A line asks for one decision per part: ship it or throw it away. A classifier that is shown
# whole images with one label each has a hard time, since a crack is a hundred pixels of a hundred
# thousand, and nobody tells it which. So Tabernik and others (2019) use two stages, and Božič and others
# (2020) train them at once. The first learns **where**, from masks. The second reads what the first one
# has found and learns **whether**.
#
# If every mark on a part is a defect, *whether* is easy: take the largest value of the map. But often the
# customer's rule is another one: so many specks of dust are allowed, but not a crack; two scratches are
# allowed, but not three. Our data follow such a rule. They are synthetic painted sheets, and we paint the
# marks ourselves: **spots are allowed, a crack is not.** The mask marks both, with the same value, as
# somebody would draw it who was asked to mark all that can be seen. The label alone knows the rule.


# %%
MARKS = {(0, 0): 0.25, (1, 0): 0.25, (2, 0): 0.25, (0, 1): 0.125, (1, 1): 0.125}  # spots, cracks


def paint(image, rng, spots, cracks):
    """Darken some round spots and some jagged cracks; return the image and the mask of all."""
    side = image.shape[-1]
    mask, unit = np.zeros((side, side), np.uint8), side / 128
    for _ in range(spots):
        center, radius = rng.uniform(16, 112, 2) * unit, rng.uniform(6, 9.5) * unit
        cv2.circle(mask, center.astype(int).tolist(), int(radius), 1, -1)
    for _ in range(cracks):
        way, jags = rng.normal(size=2), rng.normal(0, 4, (7, 2))
        steps = (8 * way / np.linalg.norm(way) + jags) * unit
        points = rng.uniform(24, 104, 2) * unit + steps.cumsum(0) - steps.sum(0) / 2
        cv2.polylines(mask, [points.astype(np.int32)], False, 1, max(round(4 * unit), 1))
    darker = 1 - 0.4 * cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0)
    return image * torch.from_numpy(darker), torch.from_numpy(mask).long()


# %%
class MarkedSheets(torch.utils.data.Dataset):
    """Good sheets with marks painted on them. Label 1: there is a crack."""

    class_names, channels = ("background", "mark"), 3

    def __init__(self, split, length, side):
        self.part = ("train", "val", "test").index(split)
        self.sheets = open_dataset("synthetic", split, size=side, seed=seed, length=length,
                                   surfaces=("painted_sheet",), frequency=0.0)  # fmt: skip
        self.split_note = self.sheets.split_note

    def __len__(self):
        return len(self.sheets)

    def __getitem__(self, index):
        sheet = self.sheets[index]
        rng = np.random.default_rng([seed, self.part, index])  # other marks in each part
        spots, cracks = list(MARKS)[rng.choice(len(MARKS), p=list(MARKS.values()))]
        image, mask = paint(sheet.image, rng, spots, cracks)
        return sheet._replace(image=image, mask=mask, label=int(cracks > 0))


# %%
if dataset == "synthetic":
    side = lesson.pick(smoke=128, laptop=128, full=256)
    lengths = lesson.pick(smoke=(24, 16, 20), laptop=(160, 100, 160), full=(400, 200, 400))
    parts = Splits(
        *(CachedDataset(MarkedSheets(split, length, side))
          for split, length in zip(("train", "val", "test"), lengths))
    )  # fmt: skip
else:  # there the rule is: every defect is one
    shapes = {"kolektor_sdd": (352, 128), "severstal": (64, 400)}
    height, width = shapes.get(dataset, (128, 128))
    scale = lesson.pick(smoke=1, laptop=1, full=4)
    config = TwoStageConfig(
        data=dataset, fold=fold, height=height * scale, width=width * scale, split_seed=seed
    )
    most = lesson.pick(smoke=8, laptop=100, full=None)  # of each kind, in each part
    parts = open_detection_splits(config, most=most, progress=lesson.progress)
truth = labels_of(parts.test)
for name, part in vars(parts).items():
    labels = labels_of(part)
    print(f"{name:5}  {int((labels == 0).sum()):3} good images, {int(labels.sum()):3} bad ones")
    if labels.min() == labels.max():
        raise ValueError(f"{name} of {dataset} needs good and bad images: {part.split_note}")
if dataset.startswith("folder:"):
    print(parts.train.split_note)

# %% [markdown]
# Are the parts really different? Two generators with the same seed paint the same marks, and then the
# test asks for what was learned by heart. So we look: does any mask stand in two parts?

# %%
masks_in = {
    name: {sample.mask.numpy().tobytes() for sample in part if sample.mask.any()}
    for name, part in vars(parts).items()
}
for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
    twice = len(masks_in[one] & masks_in[other])
    print(f"masks that stand in {one} and in {other}: {twice}")
    # Two small spots may be equal by chance.
    assert dataset != "synthetic" or 10 * twice < len(masks_in[other]), (
        "the parts share their marks"
    )


# %% tags=["hide-input", "cover"]
def different(images, indices, count):
    """The first `count` of these images that show different parts, not the same one twice."""
    by_part = {images[i].group: i for i in reversed(list(indices))}
    return sorted(by_part.values(), key=list(indices).index)[:count]


labels = labels_of(parts.train)
bad = [i for i in range(len(labels)) if labels[i]]
good = [i for i in range(len(labels)) if not labels[i]]
marked = [i for i in good if parts.train[i].mask.any()]
shown = (different(parts.train, bad, 4) + different(parts.train, marked or good, 4))[:8]
figure = plots.montage(
    [parts.train[i].image for i in shown],
    masks=[parts.train[i].mask if parts.train[i].mask.any() else None for i in shown],
    titles=["bad" if labels[i] else "good" for i in shown],
    title="What it learns from: a mask of all marks, and a label that knows the rule",
)
plots.show(figure, "Four bad training images and four good ones, with their marks outlined")

# %%
best_rule = predict(
    "A network has learned to mark spots and cracks alike. We rank the test images by the largest value "
    "of its map. How high is the average precision (AP)? Chance is the share of bad images.",
    ["nearly perfect", "better than chance", "about as good as chance, or worse"],
)

# %% [markdown]
# (You will see the answer in section 6.)
#
# ## 2 · The network
#
# *6 minutes.* The first stage brings the image down to an eighth of its side, and then looks far around
# with **one** convolution of 15 x 15. The second stage reads the 1024 maps of the *volume* and the map
# $S$, halves them three times, and ends with 66 numbers: maximum and mean of its 32 maps, and of $S$
# itself (the *shortcut*). One linear layer turns these into the decision.
#
# In the figure, "2 x 5x5, 32" is two convolutions of 5 x 5 with 32 maps each, and 1/2 is the size from
# there on; (a) and (b) come further down.

# %% tags=["hide-input"]
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


# %% [markdown]
# As a class. `FeatureNorm` brings each map of each image to mean 0 and deviation 1 (section 3), and
# `detach()` lets values pass and stops gradients (section 4).


# %%
def block(inputs, outputs, kernel):
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, FeatureNorm(outputs), nn.ReLU())


def decide(net, volume, s):
    """The second stage: one logit for each image, from the volume and the map of the first."""
    features = net.extractor(torch.cat([volume, s], dim=1).detach())  # stop (b)
    shortcut = s.detach()  # stop (a)
    numbers = [ways for x in (features, shortcut) for ways in (x.amax((2, 3)), x.mean((2, 3)))]
    return net.classifier(torch.cat(numbers, dim=1))[:, 0]


# %%
class OurTwoStages(nn.Module):
    def __init__(self, inputs, full, half, quarter, deep):
        super().__init__()
        self.volume = nn.Sequential(
            block(inputs, full, 5), block(full, full, 5), nn.MaxPool2d(2),
            block(full, half, 5), block(half, half, 5), block(half, half, 5), nn.MaxPool2d(2),
            block(half, quarter, 5), *(block(quarter, quarter, 5) for _ in range(3)),
            nn.MaxPool2d(2), block(quarter, deep, 15),
        )  # fmt: skip
        self.segmentation_head = nn.Sequential(nn.Conv2d(deep, 1, 1, bias=False), FeatureNorm(1))
        self.extractor = nn.Sequential(
            nn.MaxPool2d(2), block(deep + 1, 8, 5), nn.MaxPool2d(2), block(8, 16, 5),
            nn.MaxPool2d(2), block(16, 32, 5),
        )  # fmt: skip
        self.classifier = nn.Linear(32 + 32 + 1 + 1, 1)

    def forward(self, image):
        volume = self.volume(image)
        s = self.segmentation_head(volume)  # where
        return s, decide(self, volume, s)  # whether


# %% [markdown]
# Is this the network of the package? With the same weights, both give the same map and the same decision.
# (The decision has no gradient at the image: the stops are shut.)

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
theirs = TwoStageNet(3, channels=CHANNELS["slim"]).double()
ours = OurTwoStages(3, *CHANNELS["slim"]).double()
ours.load_state_dict(theirs.state_dict())
images = torch.rand(2, 3, 64, 128).double()


def the_map(image):
    return theirs(image).segmentation


def the_decision(image):
    return theirs(image).decision


prove_equal(lambda image: ours(image)[0], the_map, images)
prove_equal(lambda image: ours(image)[1], the_decision, images)

# %% [markdown]
# How far does a cell of the map see? Each convolution of side $k$ adds $k - 1$ cells of its own level,
# each pooling one. And where are the parameters?

# %% tags=["nbval-check-output"]
with torch.device("meta"):  # shapes without numbers
    published = TwoStageNet(in_channels=1)
sees, cell = 1, 1  # in pixels
for layer in [*published.volume.modules(), *published.segmentation_head.modules()]:
    if isinstance(layer, nn.Conv2d):
        sees += (layer.kernel_size[0] - 1) * cell
    elif isinstance(layer, nn.MaxPool2d):
        sees, cell = sees + cell, 2 * cell
print(f"a cell of the map is {cell} x {cell} pixels, and sees {sees} x {sees}")
count = sum(p.numel() for p in published.parameters())
large = published.volume[-1][0].weight.numel()
print(f"parameters: {count:,}, of which the 15x15 layer holds {large:,}, or {large / count:.0%}")

# %% [markdown]
# ## 3 · Its normalization, and one bias that matters
#
# *5 minutes.* Every convolution is followed by a *feature normalization*: each channel of each image
# loses its mean and is divided by its standard deviation, then scaled and shifted. It needs one image
# only, so a batch of one will do. **A mistake of the public code:** it divides by the *square root* of
# the standard deviation.


# %% tags=["nbval-check-output"]
def feature_norm(x, weight, bias):
    spread, mean = torch.std_mean(x, dim=(2, 3), keepdim=True, correction=0)
    shape = (1, -1, 1, 1)
    return (x - mean) / spread * weight.view(shape) + bias.view(shape)


x = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
layer = FeatureNorm(3)
prove_equal(lambda x: feature_norm(x, layer.weight, layer.bias), layer, x, tolerance=1e-4)
for spread in (0.01, 1.0, 100.0):
    right, theirs = (FeatureNorm(3, kind=kind)(spread * x).std() for kind in ("std", "published"))
    print(f"deviation {spread:6g} in: {right:.2f} out, published {theirs:.3f}")

# %% [markdown]
# So what the published layer hands on still depends on how strong its input was. (Ours gives .95 for the
# weakest input, since a small constant keeps the division safe.) At the same rate and after eight passes
# on sheets where every mark is a defect, it was far behind: an AP of .57 and .60 (two seeds) against .91
# (`docs/results.md`). The papers reach an AP of 100 % on KolektorSDD with it, in 35 and 50 passes.
#
# Two things follow from the normalization of $S$, the last one.
#
# - *The mean of the map says nothing.* It is the bias of this layer, the same number in every image. So
#   one of the 66 numbers that the second stage reads is the same for every image, in these papers'
#   network as in ours.
# - *The bias is needed.* Without it, $S$ has mean 0 in every image. The loss of a clean cell is
#   $\ln(1 + e^s)$, which curves upwards, so the mean of the losses is at least the loss of the mean (Jensen's
#   inequality). At $s = 0$ that is $\ln 2$, and no training gets an empty image below it:

# %% tags=["nbval-check-output"]
for scale in (10.0, 1.0, 0.1, 0.0):
    s = scale * torch.randn(1, 1, 8, 22, generator=torch.Generator().manual_seed(0)).double()
    s = s - s.mean()
    loss, shifted = F.softplus(s).mean(), F.softplus(s - 10).mean()  # of an image without a mark
    print(f"deviation {scale:4g}: loss {loss:.3f}   with a bias of -10: {shifted:.3f}")
print(f"ln 2 = {math.log(2):.3f}")

# %% [markdown]
# The public code means to have no bias there, and wraps a tensor that should not be trained into a
# parameter, which turns its gradient on again. That slip removes the floor. (What the floor would cost in
# AP, we have not measured; the variant `no_bias` can tell.)
#
# ## 4 · Which loss moves which layer?
#
# *6 minutes.* In the first epochs the decision knows nothing, and the first stage would be bent by what
# it guesses. So the papers stop its gradient at two places: **(a)** at the shortcut from $S$, and **(b)**
# at the entrance of the second stage. One switch moves both in the public code; ours are two. *Which
# layers does the decision's loss reach?*

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

# %% tags=["hide-input"]
figure = plots.heatmap(
    reach,
    [group.replace("_", " ") for group in groups],
    [f"stops: {name}" for name in settings],
    title="Only both stops together keep the decision's loss out of the first stage",
)
plots.show(figure, "Gradient of the decision loss on four groups of layers under four settings")

# %% tags=["nbval-check-output"]
for name, row in zip(settings, reach, strict=True):
    reached = [group for group, length in zip(groups, row, strict=True) if length > 0]
    print(f"stops {name:12} the decision's loss moves: {', '.join(reached)}")

# %% [markdown]
# With one stop alone the decision still reaches the volume through the other path.

# %%
end_to_end = predict(
    "The papers call it end-to-end training, with both stops shut. Multiply the decision's loss by 0 and "
    "train again from the same start. What becomes of the first stage?",
    ["the same, bit for bit", "slightly different", "clearly worse"],
)


# %% tags=["nbval-check-output"]
def first_stage_after(steps, delta, shut):
    """Weights of the first stage after some steps on noise; delta: weight of the decision's loss."""
    torch.manual_seed(0)
    net = TwoStageNet(1, channels=(2, 4, 4, 8), stop_shortcut=shut, stop_extractor=shut)
    empty, ones = torch.zeros(2, 1, 8, 16), torch.ones(2, 1, 8, 16)
    target = TwoStageTarget(empty, ones, torch.tensor([0.0, 1.0]), torch.tensor([True, True]))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(steps):
        loss = two_stage_loss(net(torch.rand(2, 1, 64, 128)), target, lam=0.5, delta=delta)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([p.flatten() for p in net.volume.parameters()])


for shut in (True, False):
    same = torch.equal(first_stage_after(4, 0.0, shut), first_stage_after(4, 0.01, shut))
    print(
        f"stops {'shut' if shut else 'open'}: the first stage is the same without a decision: {same}"
    )

# %% tags=["hide-input"]
same = torch.equal(first_stage_after(4, 0.0, True), first_stage_after(4, 0.01, True))
end_to_end.reveal(
    "the same, bit for bit" if same else "slightly different",
    "With both stops shut, no label reaches the first stage. What is trained *at the same time* is a "
    "segmentation network, and a classifier that watches it. So whatever joint training gains over "
    "training one after the other, it cannot be better features, as long as the stops are shut.",
)

# %% [markdown]
# (The public code keeps the stops shut in the first ten epochs even where they are switched off.)

# %%
exercise("half_stop")


# %%
def half_stop(x, share):
    return ...


exercise("half_stop").check(half_stop)

# %% [markdown]
# ## 5 · The loss, a schedule, and the training
#
# *6 minutes.* Both parts are cross entropies, the first over cells, the second over images. In epoch
# $n = 0, 1, \dots, E - 1$
#
# $$L = \lambda\, L_\text{seg} + \delta\,(1 - \lambda)\, L_\text{cls},\qquad \lambda = 1 - n / E$$
#
# so it starts with *where* alone, and the share of *whether* grows. $\delta$ makes the decision's part
# smaller: .01 for KolektorSDD, so that at rate 1 its layers move as at rate .01. Cells of a mark carry
# weights (section 9); a bad image whose mask is missing has no first part. (A good image without a mark
# has one: an empty mask.)


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

# %% [markdown]
# *A note on rates.* The papers train with plain SGD, and their code **sums** the gradients of the images
# of a batch, where ours takes the mean loss: their "batch 10, rate .1" is a rate of 1.0 here, "batch 5,
# rate .01" is .05.
#
# The map has an eighth of the image's side, so masks are brought down too: cell $i$ is the mean of
# 17 x 17 pixels around pixel $8i$, which gives *soft* masks. `two_stage_target` does this, and returns
# mask, weights and label. Our label comes from the rule instead, and each image of a pass is one step:

# %%
WEIGHTING = {"power": 1.0, "positive_weight": 10.0}  # the second paper's for DAGM
if dataset == "kolektor_sdd":
    WEIGHTING = {"power": 2.0, "positive_weight": 1.0, "dilate": 7}
EPOCHS = lesson.pick(smoke=1, laptop=6, full=50)
WIDTHS = CHANNELS[lesson.pick(smoke="slim", laptop="slim", full="published")]


# %%
class Targets(torch.utils.data.Dataset):
    """Each image with a mask at 1/8, weights, and the label that the rule gives it."""

    def __init__(self, images, *, masks=True, **options):
        self.images, self.targets = images, []
        self.labels = [int(sample.label > 0) for sample in images]
        for sample, label in zip(images, self.labels):
            target = two_stage_target(sample.mask, **options)
            seen = bool(sample.mask.any())  # of a bad image a mask may be missing
            known = target.label if seen else 1.0  # 1 but for a mistake of section 11
            label_now, taught = torch.tensor(float(label * known)), torch.tensor(seen or not label)
            target = target._replace(label=label_now, has_mask=taught)
            if not masks:  # of good images nobody need draw anything: nothing on them matters
                nothing, ones = torch.zeros_like(target.mask), torch.ones_like(target.weight)
                target = TwoStageTarget(nothing, ones, target.label, torch.tensor(not label))
            self.targets.append(target)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        sample = self.images[index]
        return TwoStageSample(sample.image, self.targets[index], sample.name)


# %% [markdown]
# The training is plain SGD at rate 1 with $\delta = .01$, one image in a batch, as the second paper trains
# on KolektorSDD, with a quarter of the channels or fewer. A **variant** leaves something out. It is in
# float32, whatever the header of this lesson says your device could do: in bf16 the gradients of this
# network lie a half (untrained) to a sixth (trained) of their size away from those in float32
# (`docs/results.md`).

# %%
Run = namedtuple("Run", "model sampler history delta decisions maps threshold scores")


def marked_cells(shift):
    """Cells that hold a mark: cell i has the 8 x 8 pixels from 8 i - shift on."""
    masks = F.pad(parts.test.masks[:, None].float(), (shift, -shift, shift, -shift))
    return F.max_pool2d(masks, 8)[:, 0] > 0


cells = marked_cells(4)  # around pixel 8 i, as in the targets
seeds = lesson.seeds(lesson.pick(smoke=1, laptop=3, full=3))
SCORED = f"test images, median of {len(seeds)} seeds"


def judge(model, sampler, delta, history=None):
    """Threshold from validation images; scores of the test images and of the cells of their maps."""
    on_val, _ = predict_two_stage(model, parts.val)
    threshold = evaluation.best_threshold(on_val, labels_of(parts.val), middle=True)
    decisions, maps = predict_two_stage(model, parts.test)
    scores = score_detection(decisions, truth, threshold)
    scores["map"] = evaluation.average_precision(maps, cells) if cells.any() else np.nan
    scores["val"] = evaluation.average_precision(on_val, labels_of(parts.val))
    return Run(model, sampler, history, delta, decisions, maps, threshold, scores)


# %%
def train(run_seed, variant="two_stage", *, images=None, epochs=EPOCHS, delta=0.01, rate=1.0,
          watch=None, evaluate=None, masks=True, **weighting):  # fmt: skip
    chosen = TWO_STAGE_VARIANTS[variant]
    torch.manual_seed(run_seed)
    model = TwoStageNet(parts.train.channels, channels=WIDTHS, **chosen.model)
    options = {"weights": chosen.weights, "pitfall_label": chosen.pitfall_label}
    targets = Targets(images or parts.train, masks=masks, **WEIGHTING | options | weighting)
    sampler = FrequencyOfUseSampler(targets.labels, seed=run_seed, rule=chosen.rule)
    batches = EpochLoader(targets, batch_size=1, sampler=sampler, seed=run_seed)
    loss = TwoStageLoss(epochs, len(batches), delta=delta, dynamic=chosen.dynamic)
    history = fit(
        model, batches, loss, steps=epochs * len(batches), optimizer="sgd", learning_rate=rate,
        weight_decay=0.0, evaluate=evaluate, evaluate_every=len(batches) if evaluate else None,
        on_evaluation=watch, device=lesson.device, precision="32-true",
        progress=lesson.progress, description=f"{chosen.title}, seed {run_seed}",
    )  # fmt: skip
    return judge(model, sampler, delta, history)


# %% [markdown]
# While it trains, we also look at the gradients: after each pass, what does each of the two losses send
# to the first stage, if the stops are opened for a moment? (Section 7 shows them.)

# %%
few = bad[:6] + good[:6]
watched = torch.stack([parts.train[i].image for i in few]).to(lesson.device)
taught = Targets(parts.train, **WEIGHTING)
taught = TwoStageTarget(
    *(torch.stack(x).to(lesson.device) for x in zip(*(taught.targets[i] for i in few)))
)


# %%
@torch.enable_grad()
def looking(model):
    """What `fit` evaluates after each pass: AP of validation images, and both gradients."""
    stops = model.stop_shortcut, model.stop_extractor
    model.stop_shortcut = model.stop_extractor = False
    output = model(watched)
    model.stop_shortcut, model.stop_extractor = stops
    shared = [*model.volume.parameters(), *model.segmentation_head.parameters()]
    where, whether = (
        torch.cat([g.flatten() for g in torch.autograd.grad(one, shared, retain_graph=True)])
        for one in (
            two_stage_loss(output, taught, lam=1.0),
            two_stage_loss(output, taught, lam=0.0, delta=1.0),
        )
    )
    decisions, _ = predict_two_stage(model, parts.val)
    return {
        "val/ap": evaluation.average_precision(decisions, labels_of(parts.val)),
        "where": where.norm().item(),
        "whether": whether.norm().item(),
        "cosine": F.cosine_similarity(where, whether, dim=0).item(),
    }


# %%
results = {}
alt = "Loss, and average precision of the decision on validation images, for two settings of the stops"
with LiveCurves(
    alt=alt, metrics=("val/ap",), title="Loss and ranking of validation images"
) as curves:
    for name in dict.fromkeys((extension, "two_stage", "no_stops")):
        results[name] = []
        for run in seeds:
            watch = curves.run(TWO_STAGE_VARIANTS[name].title, seed=run)
            results[name].append(train(run, name, watch=watch, evaluate=looking))

# %% [markdown]
# (The band is that of the three seeds.) Do not read the loss as progress alone: $\lambda$ falls, and
# takes the loss with it. (Validation and test images are different draws, with 23 and 43 bad ones: compare
# trainings, not parts.)
#
# **Where does a cell lie?** The "AP of cells" of the tables below asks whether the map ranks cells with a
# mark above the others. Which pixels are those of cell $i$? We move the 8 x 8 pixels and look, for one
# trained map and for a perfect one, the targets of the test images.

# %%
perfect = torch.stack([two_stage_target(sample.mask).mask[0] for sample in parts.test])
shifts = np.arange(-2, 11, 2)
by_shift = {
    name: [evaluation.average_precision(m, marked_cells(int(k))) for k in shifts]
    for name, m in {"perfect map": perfect, "first training": results[extension][0].maps}.items()
}

# %% tags=["hide-input"]
figure = plots.lines(
    shifts, by_shift, xlabel="cell i has the pixels from 8 i minus this", ylabel="AP of cells",
    ylim=(0, 1.02), title="A cell lies around pixel 8 i",
)  # fmt: skip
plots.show(figure, "Average precision of cells against how far their pixels are moved")
for name, aps in by_shift.items():
    print(f"{name}: " + ", ".join(f"{aps[list(shifts).index(k)]:.2f} for {k}" for k in (0, 4, 8)))

# %% [markdown]
# Both curves are highest where cell $i$ has the pixels $8i - 4$ to $8i + 3$: it was taught what lies
# *around* pixel $8i$. A usual resizing gives it the pixels $8i$ to $8i + 7$ (0 in the figure), draws the
# map 3.5 pixels too far down and to the right, and the AP of cells is .79 in place of .92.
# `data.upsample_map` draws each cell where it belongs, and from here on the AP of cells is that of 4. (A
# perfect map gets .98, not 1, since its cells are means of 17 x 17 pixels.)


# %%
def runs_of(variant):
    """Three trainings, made when they are first wanted."""
    if variant not in results:
        results[variant] = [train(run, variant) for run in seeds]
    return results[variant]


# %% tags=["hide-input"]
def show_runs(runs_by_name, title, alt):
    """Dots of AP, and below them the errors of each seed at the threshold from validation images."""
    dots = {name: [run.scores["ap"] for run in runs] for name, runs in runs_by_name.items()}
    plots.show(plots.seed_dots(dots, xlabel="average precision, test images", title=title), alt)
    bad_ones, good_ones = int(truth.sum()), int((truth == 0).sum())
    print(f"{'':32}AP      AP of cells   missed of {bad_ones:<5}false alarms of {good_ones}")
    for name, runs in runs_by_name.items():
        missed, alarms = (
            " ".join(f"{run.scores[key]:3.0f}" for run in runs) for key in ("fn", "fp")
        )
        of_cells = np.median([run.scores["map"] for run in runs])
        print(f"{name:32}{np.median(dots[name]):.3f}   {of_cells:.3f}         {missed:16}{alarms}")


def titled(*variants):
    return {TWO_STAGE_VARIANTS[name].title: runs_of(name) for name in variants}


# %% [markdown]
# ## 6 · Is the decision more than a maximum?
#
# *8 minutes.* Three questions. Is the decision better than the largest value of the map? Is it better
# than what somebody would do who only has the map: measure the *marked area*? And is training both stages
# at once better than **segment, freeze, then classify**, as the network of 2019 was trained? That is the
# papers' main claim.
#
# For the last one the second stages must have equal chances. All begin with the same weights, see the
# same images in the same order, and learn at the same rates, $\delta (1 - \lambda)$. Each way may choose
# between two $\delta$, .01 and .1, on validation images. And there are two frozen first stages: the one
# that joint training has made, its second stage thrown away, so that nothing but *when* the second stage
# learns is different; and one that was trained on masks alone, as in 2019. (This needs no training of its
# own: in the runs without schedule, which section 10 uses as well, the masks' loss has weight 1
# throughout, and with shut stops the decision's loss does not reach the first stage.) Frozen features are
# computed once, so a second stage for them is nearly free.

# %%
joint = predict(
    "Average precision on the test images. What is highest?",
    [
        "both stages at once, stops shut",
        "both stages at once, stops open",
        "segment, freeze, classify",
    ],
)


# %%
def classify_frozen(model, run_seed, delta, rates):
    """A new second stage, one rate for each pass, on a finished first stage (None: untrained)."""
    torch.manual_seed(run_seed)
    fresh = TwoStageNet(parts.train.channels, channels=WIDTHS).to(lesson.device)
    model = copy.deepcopy(model or fresh).requires_grad_(False)
    model.extractor, model.classifier = fresh.extractor, fresh.classifier
    volumes = torch.cat([model.volume(s.image[None].to(lesson.device)) for s in parts.train])
    maps = model.segmentation_head(volumes)
    labels = labels_of(parts.train).float().to(lesson.device)
    second = [*model.extractor.parameters(), *model.classifier.parameters()]
    optimizer = torch.optim.SGD(second, lr=1.0)
    sampler = FrequencyOfUseSampler(labels.int().tolist(), seed=run_seed)
    for rate in rates:
        for i in sampler:
            logit = decide(model, volumes[i : i + 1], maps[i : i + 1])
            loss = rate * F.binary_cross_entropy_with_logits(logit, labels[i : i + 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return judge(model, sampler, delta)


# %%
growing = np.arange(EPOCHS) / EPOCHS  # 1 - lambda of each pass


def best_delta(runs_by_delta):
    """Of each seed the run with the better AP on validation images."""
    return [max(tried, key=lambda run: run.scores["val"]) for tried in zip(*runs_by_delta)]


def freeze(runs):
    """New second stages for the first stages of these runs."""
    return best_delta(
        [classify_frozen(run.model, s, delta, delta * growing) for run, s in zip(runs, seeds)]
        for delta in (0.01, 0.1)
    )


large = {name: [train(run, name, delta=0.1) for run in seeds] for name in ("two_stage", "no_stops")}
learned = {
    "joint, stops shut": best_delta([results["two_stage"], large["two_stage"]]),
    "joint, stops open": best_delta([results["no_stops"], large["no_stops"]]),
    "joint first stage, frozen": freeze(results["two_stage"]),
    "masks alone, frozen": freeze(runs_of("no_schedule")),
}
for name, runs in learned.items():
    print(f"{name}: delta {', '.join(str(run.delta) for run in runs)}")

# %% [markdown]
# The marked area: how many cells of the map are above a threshold that is chosen on validation images.


# %%
def marked_area(maps, threshold):
    cells = maps.flatten(1)
    return (cells >= threshold).sum(1) + cells.sigmoid().mean(1)  # the mean only breaks ties


def best_area(run):
    _, on_val = predict_two_stage(run.model, parts.val)
    thresholds = torch.quantile(on_val.flatten(), torch.linspace(0.8, 0.995, 20))
    val_ap = [
        evaluation.average_precision(marked_area(on_val, t), labels_of(parts.val))
        for t in thresholds
    ]
    threshold = thresholds[int(np.argmax(val_ap))]
    areas = marked_area(run.maps, threshold)
    cut = evaluation.best_threshold(
        marked_area(on_val, threshold), labels_of(parts.val), middle=True
    )
    return run._replace(scores=run.scores | score_detection(areas, truth, cut))


# %%
def largest_value(run):
    _, on_val = predict_two_stage(run.model, parts.val)
    cut = evaluation.best_threshold(on_val.flatten(1).amax(1), labels_of(parts.val), middle=True)
    found = score_detection(run.maps.flatten(1).amax(1), truth, cut)
    return run._replace(scores=run.scores | found)


# %% tags=["hide-input"]
ways = {
    **learned,
    "largest value of the map": [largest_value(run) for run in results["two_stage"]],
    "marked area of the map": [best_area(run) for run in results["two_stage"]],
}
show_runs(
    ways,
    f"Ways to decide; chance gets {truth.float().mean():.2f}",
    "Average precision of six ways to decide on an image, three seeds each",
)
middle = {name: np.median([run.scores["ap"] for run in runs]) for name, runs in ways.items()}
record_metrics({
    "ap": np.median([run.scores["ap"] for run in results[extension]]),
    "fn": np.median([run.scores["fn"] for run in results[extension]]),
    "fp": np.median([run.scores["fp"] for run in results[extension]]),
    "ap/joint_shut": middle["joint, stops shut"],
    "ap/joint_open": middle["joint, stops open"],
    "ap/joint_frozen": middle["joint first stage, frozen"],
    "ap/masks_frozen": middle["masks alone, frozen"],
    "ap/map_maximum": middle["largest value of the map"],
    "ap/marked_area": middle["marked area of the map"],
}, note=SCORED)  # fmt: skip

# %% [markdown]
# Would a better map help the largest value? A perfect one is at hand, the targets of the test images.

# %%
peak = perfect.flatten(1).amax(1)
perfect_peak = evaluation.average_precision(peak, truth)
marks = parts.test.masks.flatten(1) > 0
perfect_area = evaluation.average_precision(marks.float().sum(1), truth)
print(
    f"AP of a perfect map: its largest value {perfect_peak:.2f}, the true area {perfect_area:.2f}"
)
one = [cv2.connectedComponents((mask > 0).byte().numpy())[0] == 2 for mask in parts.test.masks]
for name, label in (("spot", 0), ("crack", 1)):
    alone = torch.tensor(one) & (truth == label)
    print(f"largest value of the target of one {name} alone, median: {peak[alone].median():.2f}")

# %% tags=["hide-input"]
chance = truth.float().mean().item()
reached = middle["largest value of the map"]
right = 0 if reached > 0.9 else 1 if reached > 1.25 * chance else 2
best_rule.reveal(
    best_rule.choices[right],
    f"The largest value of the network's map has an AP of {reached:.2f}, that of a perfect map "
    f"{perfect_peak:.2f}, and chance is {chance:.2f}. The second stage reaches "
    f"{middle['joint, stops shut']:.2f}.",
)
of_choice = {
    joint.choices[0]: middle["joint, stops shut"],
    joint.choices[1]: middle["joint, stops open"],
    joint.choices[2]: middle["masks alone, frozen"],
}
joint.reveal(
    max(of_choice, key=of_choice.get),
    "By the medians: " + ", ".join(f"{name} {value:.3f}" for name, value in of_choice.items())
    + ". Look at how far the seeds lie apart before you believe it.",
)  # fmt: skip

# %% [markdown]
# In the stored run the largest value of the map ranks a little worse than chance: its AP is .22, and
# chance gets .27. A better map would not help, since that of a perfect one gets .28. A cell of the mask
# is the mean of 17 x 17 pixels (section 5), and a thin crack fills less of them than a spot: the network
# was *taught* to mark spots more brightly (the largest value of a spot's target is .54, of a crack's .36,
# in the median). Each way with a second stage reaches .75 or more by the median. So here the decision
# *is* more than a maximum, and nobody had to tell the network the rule: labels were enough. But a rule
# made by hand comes nearly as far as the best of them, and further than two. The marked area gets .84:
# cracks cover more than spots. (The true area gets only .75. Why the network's map does better, we have
# not asked.)
#
# **And joint training?** By the medians it is ahead: .901 with the stops shut, .857 if the *same* first
# stage is frozen and its second stage trained afterwards, .755 on a first stage that was trained on masks
# alone. Three seeds do not prove it, since the lowest joint one (.78) lies below the highest of both
# others. With the stops open, the only training here that is end to end in the strict sense, the median
# is .797. So on these data joint training needs one training instead of two, and costs no AP that we can
# see. That it gains something, as the papers say, is possible and not shown.
#
# Look at the errors, too. An AP of .90 sounds like a detector. At the thresholds from validation images,
# its three networks miss 16, 5 and 11 of 43 bad parts, and throw away 1, 21 and 14 of 117 good ones.
#
# ## 7 · Do the two losses want the same?
#
# *5 minutes.* If the decision's gradient is let into the first stage, two questions count. How large is
# it beside that of the masks? And does it point the same way? The **cosine** between two gradients is 1
# where they agree, 0 where they have nothing to do with each other, and negative where a step for one
# loss makes the other worse. We have measured both after each pass, at all shared layers and on twelve
# training images.


# %% tags=["hide-input"]
def over_passes(name, key):
    return np.array([[row[key] for row in run.history.evaluations] for run in results[name]])


passes = np.arange(1, EPOCHS + 1)
panels = []
for name, label in (("two_stage", "stops shut"), ("no_stops", "stops open")):
    lengths = {
        "masks": np.median(over_passes(name, "where"), 0),
        "decision": np.median(over_passes(name, "whether"), 0),
    }
    panels.append({"x": passes, "series": lengths, "xlabel": "pass", "ylabel": "length of the gradient",
                   "logy": True, "title": label})  # fmt: skip
cosines = {
    label: np.median(over_passes(name, "cosine"), 0)
    for name, label in (("two_stage", "cosine, stops shut"), ("no_stops", "cosine, stops open"))
}
panels.append({"x": passes, "series": cosines, "xlabel": "pass", "ylabel": "cosine", "ylim": (-1, 1),
               "title": "same direction?"})  # fmt: skip
figure = plots.lines_panels(
    panels, title="The two gradients at the shared layers (median of the seeds)"
)
plots.show(figure, "Length of the gradient of both losses over the passes, and their cosine")

# %% tags=["hide-input"]
all_cosines = np.concatenate(
    [over_passes(name, "cosine").ravel() for name in ("two_stage", "no_stops")]
)
print(f"cosine, all seeds and passes: {all_cosines.min():+.2f} to {all_cosines.max():+.2f}, "
      f"median {np.median(all_cosines):+.2f}; negative in {(all_cosines < 0).mean():.0%}")  # fmt: skip
record_metrics({
    "cosine": np.median(all_cosines),
    "gradient/where": np.median(over_passes("two_stage", "where")),
    "gradient/whether": np.median(over_passes("two_stage", "whether")),
})  # fmt: skip

# %% [markdown]
# In the stored run the decision's gradient is about fifty to two hundred times as long as that of the
# masks. And the two have little direction in common: over all seeds and passes the cosine lies between
# -.18 and +.21, and its median is .01 (with open stops .15 in the last two passes). So on the whole the
# decision neither helps the masks nor works against them. Its gradient is much larger, and points
# elsewhere.
#
# These are the gradients of the two losses themselves. What arrives is multiplied by $\lambda$ and by
# $\delta(1 - \lambda)$. *Change delta, the schedule and the stops: which share of what moves the first
# stage comes from the decision?*


# %%
def shares(delta, schedule, stops_shut):
    """The share of the decision in the two gradients that arrive at the first stage, by pass."""
    lam = 1 - (passes - 1) / EPOCHS if schedule else np.ones(EPOCHS)
    factor = delta * (1 - lam) if schedule else np.full(EPOCHS, delta)
    where = lam * np.median(over_passes("no_stops", "where"), 0)
    whether = factor * np.median(over_passes("no_stops", "whether"), 0) * (not stops_shut)
    return whether / (where + whether)


# %% tags=["hide-input"]
def show_shares(delta, schedule, stops_shut):
    return plots.lines(
        passes,
        {"decision": shares(delta, schedule, stops_shut)},
        xlabel="pass",
        ylabel="share of the decision",
        ylim=(-0.02, 1.02),
        title=f"Gradients of section 5, delta {delta:g}, {'with' if schedule else 'no'} schedule, "
        f"stops {'shut' if stops_shut else 'open'}",
    )


explore(
    show_shares,
    alt="Share of the decision's gradient in what arrives at the first stage, over the passes",
    delta=[0.001, 0.01, 0.1, 1.0],
    schedule=True,
    stops_shut=False,
    fallback=[{"delta": 0.01, "schedule": True, "stops_shut": False},
              {"delta": 0.1, "schedule": True, "stops_shut": False},
              {"delta": 1.0, "schedule": False, "stops_shut": False}],
)  # fmt: skip

# %% [markdown]
# This is what $\delta$ is for once the stops are open. With .01 and the schedule, the share of the
# decision grows from nothing to 70 %. With .1 it is the larger part from the second pass on, and with 1
# and no schedule almost nothing is left of the masks. (With the stops shut it is 0, and $\delta$ is only
# the rate of the second stage.)
#
# These shares were measured while training with $\delta = .01$. Does a larger one really harm? Section 6
# has trained with .1, too. It also makes the second stage ten times as fast; the control does that with
# shut stops.

# %%
by_delta = {
    "stops shut, delta .01": results["two_stage"],
    "stops open, delta .01": results["no_stops"],
    "stops open, delta .1": large["no_stops"],
    "control: stops shut, delta .1": large["two_stage"],
}

# %% tags=["hide-input"]
show_runs(
    by_delta, "What delta does with open stops", "Average precision with shut and with open stops"
)
record_metrics({
    f"delta/{slug}/{key}": np.median([run.scores[key] for run in runs])
    for runs, slug in zip(by_delta.values(), ("shut", "open", "open_large", "shut_large")) for key in ("ap", "map")
}, note=SCORED)  # fmt: skip

# %% tags=["hide-input"]
order = results["two_stage"][0].decisions.argsort(descending=True).tolist()
bad_ones = [i for i in order if truth[i]]  # the surest first
spotted = [i for i in range(len(truth)) if not truth[i] and parts.test[i].mask.any()]
shown = different(parts.test, bad_ones, 2) + bad_ones[-1:] + different(parts.test, spotted, 3)
figure = plots.heat_maps(
    [parts.test[i].image for i in shown],
    [parts.test[i].mask for i in shown],
    {
        name: data.upsample_map(runs[0].maps[shown].sigmoid())
        for name, runs in list(by_delta.items())[:3]
    },
    titles=["bad" if truth[i] else "good" for i in shown],
    title=f"Map S of three trainings (seed {seed})",
)
plots.show(figure, "Test images and the maps of three trainings")

# %% [markdown]
# In the stored run a $\delta$ of .1 with open stops costs the map: by the medians the AP of cells falls
# from .92 to .46. The decision keeps its median (.77 and .78), but one seed of three falls to .26, next to
# chance. It is the one in the figure: its map no longer marks the marks. The control says that the faster
# second stage is not to blame: with the stops shut it *helps* (.90 in place of .70, each seed above each),
# and the map is the same to the last digit, as section 4 promised. So it is what comes through the stops.
#
# ## 8 · Each good image has its turn
#
# *6 minutes.* Each pass takes all bad images, and as many good ones. There are many more of these: which?
# Drawn at random, some come often and some hardly ever. The papers draw by how often an image was used;
# simplest is to take the least used. Their numbers: 230 good images, 33 in a pass, 50 passes.

# %% tags=["nbval-check-output"]
uses, rng = np.zeros(230, int), np.random.default_rng(0)
for _ in range(50):
    uses[rng.choice(230, 33, replace=False)] += 1
print(f"drawn from scratch: each good image was used {uses.min()} to {uses.max()} times")
for rule in ("uniform", "least_used"):
    sampler = FrequencyOfUseSampler([0] * 230 + [1] * 33, seed=0, rule=rule)
    for _ in range(50):
        list(sampler)
    print(f"FrequencyOfUseSampler, {rule}: {sampler.uses.min()} to {sampler.uses.max()} times")

# %%
rare = predict(
    "Good training images that were hardly ever used: do they get more false alarms than those that were "
    "used often?",
    [
        "yes, by ten points or more",
        "yes, by less",
        "no difference that shows, or the other way round",
    ],
)

# %% [markdown]
# The argument for the rule is plausible: what was rarely seen is judged worse. It can be measured. We
# train with uniform sampling and ask each network about its own *training* images, by how often it has
# seen them. The control: networks that have used all of them equally often judge **the same images**. If
# these are simply harder, the control stumbles over them, too.


# %%
def alarms_of(run):
    """Of each good training image: whether it raises an alarm, in the sampler's order."""
    decisions, _ = predict_two_stage(run.model, parts.train)
    return (decisions[run.sampler.good] >= run.threshold).numpy()


used = np.concatenate([run.sampler.uses.numpy() for run in runs_of("uniform_sampling")])
alarms = {
    "uniform sampling": np.concatenate([alarms_of(run) for run in runs_of("uniform_sampling")]),
    "control: used evenly": np.concatenate([alarms_of(run) for run in results["two_stage"]]),
}
third = np.quantile(used, [1 / 3, 2 / 3])
bins = {"rarely": used <= third[0], "often": used > third[1]}
bins["in between"] = ~(bins["rarely"] | bins["often"])
order = ("rarely", "in between", "often")
extra = alarms["uniform sampling"].astype(float) - alarms["control: used evenly"]  # of each image


# %%
def surplus(extra):
    """Alarms beyond the control's: of rarely used images minus of those that were used often."""
    return extra[bins["rarely"]].mean() - extra[bins["often"]].mean()


chance_of_gap = 1.0  # with very few images, none is used more often than the others
if bins["rarely"].any() and bins["often"].any():
    shuffled = [surplus(lesson.rng.permutation(extra)) for _ in range(2000)]
    chance_of_gap = np.mean(np.array(shuffled) >= surplus(extra))

# %% tags=["hide-input"]
rate = {name: [100 * a[bins[b]].mean() if bins[b].any() else np.nan for b in order]
        for name, a in alarms.items()}  # fmt: skip
times = {b: sorted({*map(str, used[bins[b]])}) for b in order}
labels_of_bins = [
    f"{b}: " + "-".join(dict.fromkeys((t[0], t[-1]))) if t else b for b, t in times.items()
]
figure = plots.heatmap(
    list(rate.values()), labels_of_bins, list(rate), fmt="{:.1f} %", limits=(0, 100),
    title="False alarms of good training images, by how often they were used under uniform sampling",
)  # fmt: skip
plots.show(figure, "Share of good training images with a false alarm by use, and of a control")
for b in order:
    print(f"{b:11} {int(bins[b].sum()):4} images of {len(seeds)} seeds: "
          + ", ".join(f"{int(a[bins[b]].sum())} alarms ({name})" for name, a in alarms.items()))  # fmt: skip
gap, control_gap = np.nan_to_num([row[0] - row[2] for row in rate.values()]).tolist()
more = gap - control_gap
rare.reveal(
    rare.choices[2 if more <= 0 or chance_of_gap >= 0.05 else 0 if more >= 10 else 1],
    f"Rarely used minus often used: {gap:+.1f} points of false alarms; the control, which used all of these "
    f"images equally often, has {control_gap:+.1f} points on the same images. So rarely used images have "
    f"{more:+.1f} points more than the control lets expect. If uses are shuffled among the images, as much "
    f"or more comes in {chance_of_gap:.0%} of the cases.",
)
record_metrics({"alarms/gap": gap, "alarms/control_gap": control_gap})

# %% [markdown]
# In the stored run it does not show. Under uniform sampling, good images that were used at most twice
# raise more alarms (30 %) than those that were used four or five times (21 %). But networks that have
# used all evenly raise more alarms on the first group, too (38 and 33 %), so most of the difference, 5 of
# 8 points, is there without rare use. What is left, 3 points: shuffled uses give as much or more in 29 %
# of the cases. With 33 good images of 230 in a pass and 50 passes even the rarest image is seen twice,
# and the argument is weaker still.
#
# The networks with even use raise *more* false alarms in all three groups (130 against 97 of 348); each
# has its own threshold, so this need not be the sampling's fault. Even use takes no extra time, and we keep
# it as the papers do. That it prevents false alarms, we could not see.

# %%
exercise("next_negatives")


# %%
def next_negatives(uses, count, rng):
    return ...


exercise("next_negatives").check(next_negatives)

# %% [markdown]
# ## 9 · What a pixel of a mark counts
#
# *7 minutes.* People disagree about where a defect ends. So its edge shall count little and its middle
# most: the weight is $w\,(D / D_\text{max})^p$ with the distance $D$ of a pixel to the nearest clean one,
# and 1 on clean pixels. Straight from the definition, slow but plain:


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

# %% [markdown]
# In an image with a large and a small defect, the small one is almost forgotten if the largest distance
# is that of the **image**, as published. (The authors tried it by **component** later, and found it a
# little worse on their data.)
#
# With $w = 10$ and $p = 1$ the weights do two things at once. They give the middle more than the edge,
# and they give marks more than background *on average*. Which of the two helps? **The control** is a
# weight that is the same on all pixels of a mark and has the same mean. And since the argument is about
# unsure edges, we also train with coarse masks: an ellipse around each mark, as hurried people draw.
# *Compare the edges.*

# %%
coarse = CachedDataset(EllipseMasks(parts.train))
by = {name: WEIGHTING[name] for name in ("power", "positive_weight")}


def grow(mask):
    """As `two_stage_target` does where the data set asks for it."""
    square = np.ones((WEIGHTING.get("dilate", 1),) * 2, np.uint8)
    return torch.from_numpy(cv2.dilate((mask > 0).byte().numpy(), square))


def mean_weight(images):
    """The mean distance weight of all pixels of marks."""
    grown = [grow(sample.mask) for sample in images if sample.mask.any()]
    return torch.cat([data.distance_weights(mask, **by)[mask > 0] for mask in grown]).mean().item()


constant = {"exact": mean_weight(parts.train), "ellipses": mean_weight(coarse)}
print({name: round(value, 2) for name, value in constant.items()})

# %% tags=["hide-input"]
cracked = [i for i in bad if parts.train[i].mask.any()]
shown = different(parts.train, cracked, 4)
figure = plots.heat_maps(
    [parts.train[i].image for i in shown],
    [parts.train[i].mask for i in shown],
    {
        "exact masks": [data.distance_weights(grow(parts.train[i].mask), **by) for i in shown],
        "ellipses": [data.distance_weights(grow(coarse[i].mask), **by) for i in shown],
        "the control": [torch.where(coarse[i].mask > 0, constant["ellipses"], 1.0) for i in shown],
    },
    limit=max(by["positive_weight"], 1.0),
    title=f"What pixels count: 1 outside, {by['positive_weight']:g} in the middle of the largest mark",
)
plots.show(figure, "Distance weights of four images: exact masks, ellipses, and a constant weight")

# %%
shape_or_size = predict(
    "Distance weights against a constant weight of the same mean. Which has the higher AP of the decision, "
    "each of its three seeds above each of the other's?",
    ["distance weights, with at least one kind of mask",
     "the constant weight, with at least one kind of mask", "neither, with any kind of mask"],
)  # fmt: skip

# %%
flat = {name: {"power": 0.0, "positive_weight": value} for name, value in constant.items()}
weighted = {
    "exact, distance": results["two_stage"],
    "exact, constant, same mean": [train(run, **flat["exact"]) for run in seeds],
    "exact, 1 everywhere": runs_of("no_weights"),
    "ellipses, distance": [train(run, images=coarse) for run in seeds],
    "ellipses, constant, same mean": [
        train(run, images=coarse, **flat["ellipses"]) for run in seeds
    ],
}

# %% tags=["hide-input"]
show_runs(
    weighted,
    "Weights and their control",
    "Average precision for three weightings and two kinds of mask",
)
spread = {name: sorted(run.scores["ap"] for run in runs) for name, runs in weighted.items()}


def above(one, other):
    return spread[one][0] > spread[other][-1]


pairs = [(f"{kind}, distance", f"{kind}, constant, same mean") for kind in ("exact", "ellipses")]
wins = [above(*pair) for pair in pairs]
losses = [above(*pair[::-1]) for pair in pairs]
shape_or_size.reveal(
    shape_or_size.choices[0 if any(wins) else 1 if any(losses) else 2],
    f"Distance weights win with {sum(wins)} of the two kinds of mask, the constant weight with "
    f"{sum(losses)}. (Three seeds lie above three others by chance once in twenty comparisons.)",
)
record_metrics({
    f"weights/{slug}/ap": np.median(spread[name])
    for name, slug in zip(weighted, ("distance", "constant", "one", "coarse_distance", "coarse_constant"))
}, note=SCORED)  # fmt: skip

# %% [markdown]
# In the stored run neither wins. With exact masks the medians are .70 for distance weights, .73 for the
# constant and .72 for a weight of 1 everywhere, with ellipses .65 and .77, and in each comparison of the
# two the seeds overlap. So we cannot say that edges should count less, nor that marks should count more.
# What coarse masks cost shows in the map: the AP of cells falls from .92 to .84 with distance weights, and
# from .93 to .88 with the constant.
#
# The figure of the weights shows a side effect: beside a spot, a crack counts less than alone, since
# $D_\text{max}$ is that of the spot, and no pixel of a crack is far from its edge. How much less?


# %%
def crack_weights(number, **options):
    """Mean weight of a crack's pixels, alone and beside a spot."""
    rng, blank = np.random.default_rng(number), torch.zeros(3, 128, 128)
    crack, spot = (paint(blank, rng, *marks)[1] for marks in ((0, 1), (1, 0)))
    only = (crack > 0) & (spot == 0)
    return [data.distance_weights(m, **options)[only].mean() for m in (crack, crack | spot)]


for power, largest in ((1.0, 10.0), (2.0, 1.0)):
    each = [crack_weights(n, power=power, positive_weight=largest) for n in range(100)]
    alone, beside = np.array(each).mean(0)
    print(f"w = {largest:2g}, p = {power:g}: a crack alone {alone:.2f}, beside a spot {beside:.2f}")

# %% [markdown]
# So with the weights of this lesson a crack beside a spot counts less than half of what it counts alone,
# and still more than a clean pixel (1). With those for KolektorSDD it would count next to nothing. And
# here the crack is the one that decides.

# %%
exercise("distance_weights")


# %%
def distance_weights(mask, distance, power, positive_weight):
    return ...


exercise("distance_weights").check(distance_weights)

# %% [markdown]
# ## 10 · Four extensions, left out
#
# *5 minutes.* The papers' four extensions are the schedule, the gradient stops, the distance weights, and
# sampling by use. Each is left out once. Schedule and stops both protect the first stage from an ignorant
# decision, so they may stand in for each other: we also leave both out together. And all four. (With shut
# stops the schedule has nothing to protect. There it is a falling rate for the first stage and a rising
# one for the second, and the row "no schedule" takes these away.)

# %%
ablations = ("two_stage", "no_schedule", "no_stops", "no_schedule_no_stops", "no_weights",
             "uniform_sampling", "plain")  # fmt: skip

# %% tags=["hide-input"]
show_runs(
    {"all four, better delta of two": learned["joint, stops shut"], **titled(*ablations)},
    "Each extension left out",
    "Average precision of the method, twice, and of six ablations, three seeds each",
)
record_metrics({
    f"{name}/ap": np.median([run.scores["ap"] for run in results[name]]) for name in ablations[1:]
}, note=SCORED)  # fmt: skip

# %% [markdown]
# In the stored run each row with *one* extension left out overlaps with the method. **Without all four**
# the AP is .843, and each of its three seeds lies above each of the method at the same $\delta$ (.700). So
# do the extensions cost? Look at the rates. With the schedule the second stage learns at a mean rate of
# .0042, without it at .01. Given the better $\delta$ of two, which was .1 for each seed, the method has
# .901, and its seeds overlap with those of *none of the four*, which had no choice. So the rate of the
# second stage counts for more here than all four extensions, and three seeds show no gain by any of these.
#
# On sheets on which *every* mark is a defect, the same network with $\delta = .01$ had .907 with all four
# and .530 without (eight passes, three seeds, `docs/results.md`). On KolektorSDD the sign differs between
# two settings, half size with 20 passes and a quarter with 10 (one seed each, section 12). So do not
# carry the worth of an extension from one data set, or from one rate, to another.
#
# In a plan of `course batch`, the parameter `extension` of this lesson sweeps these variants, for example
# `extension: [two_stage, plain, published_norm]`; the metrics `ap`, `fn` and `fp` are those of its main
# training.
#
# ### Labels alone
#
# Masks are expensive to draw; a label takes a second. Can the second stage learn from labels alone, with
# good images teaching that nothing on them matters? With both stops shut nothing that a decision says can
# reach the first stage. So the stops have to be open. The papers take other settings for it: rate .01,
# $\delta = 1$, no schedule. The control is a second stage that learns in the same way on a first stage of
# random weights.

# %%
weak = {"masks": False, "delta": 1.0, "rate": 0.01}
by_labels = {
    "labels alone, stops open": [train(run, "no_schedule_no_stops", **weak) for run in seeds],
    "control: untrained first stage": [
        classify_frozen(None, run, 1.0, [0.01] * EPOCHS) for run in seeds
    ],
}

# %% tags=["hide-input"]
show_runs(
    {"all masks": results["two_stage"], **by_labels},
    "What the bad images are taught with",
    "Average precision with masks, with labels alone, and with an untrained first stage",
)
record_metrics({
    f"labels_{slug}/ap": np.median([run.scores["ap"] for run in runs])
    for slug, runs in zip(("open", "untrained"), by_labels.values())
}, note=SCORED)  # fmt: skip

# %% [markdown]
# With six of the papers' 50 passes at a rate of .01, this is no fair trial of their setting, and in the
# stored run it fails: .26, where chance gets .27. The control, with a first stage of random weights, has
# .58: a second stage finds something in them. So within six passes, letting the decision move the first
# stage was worse than leaving it untouched. (Whether its features are worse, or the second stage could
# not follow while they changed, no run tells; nor what more passes would do.)
#
# ## 11 · Five mistakes of the public code
#
# *6 minutes.* One you have met, the square root of the normalization.
#
# **The threshold that has seen the answers.** False alarms and misses are reported at the threshold with
# the best F1 on the *test* images. Nobody has that threshold on a production line. Both rows are of the
# same networks:

# %% tags=["hide-input"]
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
record_metrics(dict(zip(("errors", "errors/oracle"), map(np.median, counts.values()))))

# %% [markdown]
# **Average precision by straight lines.** The public code takes the area under straight lines between the
# points of the curve. Where many scores tie, as probabilities rounded to tenths do, a line promises
# precisions that no threshold has.

# %%
for run in results["two_stage"]:
    rounded = (run.decisions.sigmoid() * 10).round()
    lines = [
        f"{step(scores, truth):.3f}"
        for scores in (run.decisions, rounded)
        for step in (evaluation.average_precision, evaluation.trapezoid_average_precision)
    ]
    print("steps {}, straight lines {}. In tenths: steps {}, straight lines {}".format(*lines))

# %% [markdown]
# **A label that forgets small defects.** The public code takes the *decision's* label from the small,
# soft mask: its largest value. In evaluation it looks at the mask itself. So it trains towards one thing
# and is judged by another. (`extension = "pitfall_label"` trains with it; what it costs here, we have not
# measured. Small defects are still taught more than good images, and AP asks for ranks only.)

# %% tags=["nbval-check-output"]
for side in (1, 5, 9, 17, 31):
    mask = torch.zeros(128, 128, dtype=torch.long)
    mask[60 : 60 + side, 60 : 60 + side] = 1
    taught = two_stage_target(mask, pitfall_label=True).label
    right = two_stage_target(mask).label
    print(f"a defect of {side:2} x {side:2} pixels is taught as {taught:.3f}, ours {right:.0f}")

# %% [markdown]
# **Counting in the wrong place.** The public code keeps the times of use *inside the data set*, and
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
# So the public code works with `num_workers=0` only. Ours counts in the sampler, which the checkpoint of
# `fit` saves and which several workers and several GPUs share.
#
# | mistake | what it changes | how much, where we measured it |
# |---|---|---|
# | square root of the deviation | the training | AP .57 and .60, not .91 (section 3) |
# | threshold from test images | only the report | 37 errors, not 42 of 160 |
# | AP by straight lines | only the report, and with ties | up to .10 more in tenths, up to .01 less without ties |
# | label from the small mask | the training | not measured |
# | counting in the data set | with workers, which images are used | not measured |
#
# (The slip with the bias in section 3 is a sixth one. It removes the floor of the loss.)
#
# ## 12 · On real surfaces, and beside the papers
#
# *5 minutes.* The same, without a notebook, on KolektorSDD, three folds by item:
#
#     course train two-stage --data kolektor_sdd --fold 1 --height 704 --width 256 --dilate 7 \
#         --channels slim --epochs 20
#
# At half its size, with the slim network and 20 of the papers' 50 passes (one seed, sums over the three
# folds; 347 good images and 52 bad ones to test on):
#
# | | mean AP | missed, false alarms (threshold from validation) | missed, false alarms (best on test) |
# |---|---|---|---|
# | all four extensions | 1.000 | 15, 0 | 0, 0 |
# | no schedule | .999 | 20, 0 | 0, 1 |
# | no stops | .995 | 12, 0 | 1, 2 |
# | no distance weights | .997 | 11, 0 | 1, 0 |
# | uniform sampling | 1.000 | 19, 0 | 0, 0 |
# | none of the four | .978 | 11, 0 | 3, 0 |
#
# **An AP of 1.000 is not a detector without errors.** The images are ranked perfectly, and yet the
# threshold misses 15 of 52 cracks: it was the lowest score of seven bad validation images, and new cracks
# may well score lower than the lowest of seven. Trained once more, the same method missed 11, so in this
# column even a repetition (with later code) makes a difference of four. With the middle of the gap below
# that score, which the course uses now, it misses 9, and with two other seeds and other validation images
# 2 and 3. A threshold from the validation images of these three networks together misses 1, 2 and 4, with
# 1 or 2 false alarms: where defects are few, **cross-fitting** makes more of them. (With these seeds AP is
# 1.000 in six of nine trainings, .993 on average.) At a quarter of the size and after ten passes (one
# seed) the mean AP of the six rows lies between .945 and .969, and the method is not ahead: .953, and .967
# without all four.
#
# The papers' numbers as a public reading note gives them (we could not check them against the paper), in
# percent of AP, beside ours from above:
#
# | | labels alone | some masks | all masks |
# |---|---|---|---|
# | DAGM | 74.0 | 91.5 (5 masks) | 100 |
# | KolektorSDD | 93.4 | 99.1 (5 masks) | 100 |
# | KolektorSDD, ours, mean of three seeds | not run | not run | 99.3 |
# | KolektorSDD2 | 73.3 | 83.2 (16 masks) | 95.4 (246 masks) |
# | Severstal | 90.3 to 94.1 | | up to 99.3 |
#
# (Mixed supervision, 2021; 99.3 is what an author states for 3000 masks.) The schedule brings them
# 1.08, .23 and 1.68 points on DAGM, KolektorSDD and Severstal, and the distance weights half a point on
# Severstal (98.24 to 98.74). Differences of that size cannot be seen with three seeds of a slim network.
# What differs from ours: full size and all channels, 35 to 90 passes; the square root in the
# normalization; the authors' folds, which were not at hand; AP by straight lines, and errors at the best
# threshold of the test images. Users who ran their code on KolektorSDD2 report 92.6 instead of 95.4.
#
# KolektorSDD was photographed item by item, and three items were photographed twice. The reader keeps
# each pair on one side of every split. With the photographs on your machine, set `dataset` and `fold`
# above. `dagm/1` and `severstal` are opened, too.
#
# ## 13 · Challenge
#
# Beat the best median of this lesson on the same test images with the same number of passes. You may
# change $\delta$, rate, weighting, variant, even open the stops half (`half_stop`). **Choose by the
# validation images**: `try_out` shows only these. When you have chosen, enter the median of three seeds,
# once.

# %%
board = challenge(
    "07_two_stages",
    score="AP of the test images",
    to_beat={
        "joint, stops shut": middle["joint, stops shut"],
        "segment, freeze, classify": of_choice[joint.choices[2]],
        "none of the four extensions": np.median([run.scores["ap"] for run in results["plain"]]),
    },
)


def try_out(variant="two_stage", **changes):
    run = train(seed, variant, **changes)
    print(f"AP of the validation images: {run.scores['val']:.3f}")
    return run


# %% [markdown]
# For example, in a cell of your own:
#
#     try_out("no_weights", positive_weight=1.0, delta=0.03)
#     runs = [train(run, "no_weights", positive_weight=1.0, delta=0.03) for run in seeds]
#     board.enter("no weights, delta .03", np.median([run.scores["ap"] for run in runs]))
#
# ## Recap

# %%
predictions()

# %% [markdown]
# - First *where*, from masks; then *whether*, from what the first stage has found. If every mark is a defect,
#   the largest value of the map may do. If there is a rule, it may be worth nothing.
# - With both stops shut, no label reaches the first stage: it is the same as without a decision, bit for bit.
# - Two trainings are compared fairly when both have the same rates, and the same choice of them on validation
#   images. Then joint training is ahead here by the median, and three seeds do not prove it.
# - Test images that share random numbers with training images ask for what was learned by heart.
# - Two losses on shared layers: measure the length *and* the direction of their gradients.
# - A weight changes two things, its shape and its mean. A constant weight of the same mean tells them apart.
# - An argument that sounds good ("rarely used images get false alarms") is a prediction. Measure it, with a control.
# - An AP of 1.000 can miss 15 of 52. Say misses and false alarms at a threshold from validation images.
# - What an extension is worth depends on data and training: on KolektorSDD all four together are worth +2
#   points at half size and 20 passes, and -1 at a quarter and 10 (one seed each); here a faster second
#   stage counts for more.
#
# Lesson 08, which is being built, puts all methods of the course side by side.
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
#   fully supervised learning*, Computers in Industry 2021. (The tables of section 12.)
# - D. Tabernik, S. Šela, J. Skvarč, D. Skočaj: *Segmentation-based deep-learning approach for
#   surface-defect detection*, Journal of Intelligent Manufacturing 2019. (Here the first stage was
#   trained first, and frozen.)
