# ---
# jupyter:
#   course:
#     title: MemSeg training
#     summary: A detector that never sees a defect while it learns, a baseline that learns nothing, and what each part of the method is worth.
#     minutes_reading: 50
#     minutes_exercises: 40
#     compared_cells: 3
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
# # 06 · MemSeg training
#
# **How good can a detector be that has never seen a defect?**
#
# After this lesson you can
#
# - score an anomaly detector: its images, its pixels, its regions;
# - hold it against a baseline that trains nothing;
# - train MemSeg on good images and simulated anomalies, and say what these can choose and what not;
# - find out which part of a method helps, with a control for each explanation;
# - recognize four mistakes that make a result look better or a network worse;
# - choose a threshold, count misses and false alarms, and use the detector.
#
# You need lessons 01 (AUROC), 02 (focal loss), 04 (simulated anomalies) and 05 (the network). About 50
# minutes of reading and 40 of exercises. Running all cells takes about eleven minutes of one CPU core; the
# stored figures can be read meanwhile.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic_product/plate"  # .../washer, .../cap, "mvtec_ad/bottle", "folder:<path>", ...
seed = 0
variant = "scaled_maps"  # the MemSeg of this lesson: a name of VARIANTS, such as "memseg"

# %%
from copy import deepcopy
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from course_utils import evaluation, load_detector, plots
from course_utils.data import SimulatedAnomalies, open_dataset
from course_utils.lessons import (
    LiveCurves, challenge, exercise, explore, predict, predictions, prove_equal, quiz,
    record_metrics, show_real_photographs, start_lesson,
)  # fmt: skip
from course_utils.losses import memseg_loss
from course_utils.models import spatial_attention
from course_utils.trainers import (
    VARIANTS, MemSegConfig, MemSegTrainer, NearestPatchesConfig, NearestPatchesTrainer,
    choose_foreground, open_normal_splits, simulator,
)  # fmt: skip
from course_utils.training import predict_probabilities

lesson = start_lesson(
    "06_memseg_training", profile=profile, dataset=dataset, seed=seed, variant=variant
)

# %% [markdown]
# These photographs are what the method was made for: parts before a camera, all alike but for their
# defects. (They are shown where you have fetched them. Everything below runs on a synthetic product,
# without any download.)

# %%
show_real_photographs("mvtec_ad/bottle", "kolektor_sdd")

# %% [markdown]
# ## 1 · Learn from good parts, be judged by defects
#
# *6 minutes.* A production line makes one product. Good parts are easy to photograph, and defects are
# rare, all different, and the next kind is one that nobody has seen. So the images are used in three
# ways:
#
# - **training**: good images, half of each batch with simulated anomalies (lesson 04);
# - **validation**: other good images, as they are and with simulated anomalies; they choose settings
#   and thresholds;
# - **test**: good images and true defects. They are scored at the end and choose nothing.
#
# Our product is a plate on a dark ground. Some of its defects can be seen only by someone who knows
# where things belong (a missing hole, a hole of the wrong size, a missing or shifted print, a broken
# edge). Others stand out wherever they are (scratch, stain, dent).

# %%
size = lesson.pick(smoke=64, laptop=96, full=256)
few = lesson.pick(smoke=8, laptop=None, full=None)  # of each kind, in each part
images = dict(data=dataset, height=size, width=size, split_seed=seed)
parts = open_normal_splits(MemSegConfig(**images), most=few, progress=lesson.progress)
test_masks = torch.stack([sample.mask for sample in parts.test])
test_labels = np.array(parts.test.labels) > 0
defects = [i for i in range(len(test_masks)) if test_masks[i].any()]
if not defects:
    raise ValueError(
        f"no test image of {dataset} has a defect in its mask: there is nothing to score, since "
        "the scores of this lesson need masks (images/ and masks/)"
    )
for name, part in vars(parts).items():
    bad, items = sum(label > 0 for label in part.labels), len(set(part.groups))
    print(f"{name:5}  {len(part) - bad:3} good images, {bad:3} with defects: {items} items")
if dataset.startswith("folder:"):
    print(parts.train.split_note)

# %% [markdown]
# Each plate was photographed one to three times, with all its photographs in one part. So 100 test
# images are not 100 independent cases: they show 53 plates, 32 of them defective, and the 50 validation
# images show 24.
#
# Fakes on the ground beside the plate would teach nothing about it. So the foreground is found first
# (lesson 04), and anomalies are put there. *Compare the second row with the third: how do the fakes
# differ from the defects?*

# %%
foreground = choose_foreground(MemSegConfig(**images), parts.train)
print("foreground:", foreground.note)
simulated = SimulatedAnomalies(
    parts.train, simulator(dataset, foreground=foreground.foreground), seed=seed
)

# %% tags=["hide-input"]
kinds = {}  # name of an image -> its kinds of defects, which only synthetic products tell
if dataset.startswith("synthetic_product/"):
    made = dict(length=100, frequency=0.5, normal_only=True)
    raw = open_dataset(dataset, "test", size=size, seed=seed, **made)
    kinds = {one.name: {raw.class_names[c] for c in one.mask.unique().tolist() if c} for one in raw}


def kind(i):
    """What is wrong with a test image, one kind a line."""
    names = sorted(kinds.get(parts.test[int(i)].name, ()))
    return "\n".join(names).replace("_", " ") or ("defect" if test_labels[i] else "good")


good, columns = len(parts.train), 5
some = defects[:: max(len(defects) // columns, 1)][:columns]
rows = [parts.train[i] for i in range(columns)]
rows += [simulated[good + i] for i in range(columns)]  # the second half: the same with anomalies
rows += [parts.test[i] for i in some]

# %% tags=["hide-input"]
figure = plots.montage(
    [sample.image for sample in rows],
    masks=[sample.mask if sample.mask.any() else None for sample in rows],
    titles=["good"] * columns + ["simulated"] * columns + [kind(i) for i in some],
    columns=columns,
    title="It learns from the first two rows, and is judged by the third",
    fill=0,
)
plots.show(figure, "Good images, images with simulated anomalies, and test images with defects")

# %% [markdown]
# The fakes are spots and patches of foreign texture, or of the plate's own surface in disorder; most
# images have many of them. None of them is a hole that is missing. To find the defects of the third row,
# a network would have to learn something more general from the fakes: *what differs from a good part*.
# Section 5 looks whether it does.
#
# ## 2 · Three questions, three scores
#
# *6 minutes.*
#
# - *Is this image defective?* Each image gets one score, the mean of its 100 most suspicious pixels (the
#   public code's rule for 256 x 256 pixels; of our 96 x 96 they are 1.1 %, more than a small defect covers).
#   The **image AUROC** is the chance that a defective image scores higher than a good one.
# - *Is this pixel defective?* The **pixel AUROC** asks the same of pixels. Nearly all of them are easy
#   background, so it is high for almost every method. **Pixel AP**, average precision (lesson 01), is
#   harder.
# - *Is each defect found?* Lower the threshold step by step, and draw the covered share of each defect,
#   averaged over defects small and large, against the share of clean pixels with a false alarm.
#   **AUPRO** (area under the per-region overlap) is the area below this curve up to 30 % of false
#   alarms, divided by .3. So 1 is perfect, and random numbers get .15.
#
# There is no threshold anywhere: all of them judge an order. The score of an image in one line:


# %% tags=["nbval-check-output"]
def score_of_each_image(maps):
    return maps.flatten(1).topk(100).values.mean(1)


maps = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0)).double()
same = np.allclose(score_of_each_image(maps), evaluation.image_score(maps))
print("from scratch and evaluation.image_score give the same:", same)

# %% [markdown]
# ### Exercise: the score of a part
#
# Dust on the ground is no defect. So only pixels on the part shall count, and a part may be so small
# that it has fewer than 100 pixels.

# %%
exercise("image_score")


# %%
def image_score(scores, region, top):
    return ...


exercise("image_score").check(image_score)

# %% [markdown]
# ## 3 · The bar to clear
#
# *6 minutes.* Before a network is trained, the simplest thing that could work. Describe each patch of
# the good images, 8 x 8 pixels, by features of a pretrained encoder, and keep 10,000 of them. A new patch
# is as suspicious as it is far from the nearest kept one. That is all. (*PatchCore* is the refined form
# of it.)

# %%
beaten = predict(
    "MemSeg trains a network on simulated anomalies, here for 80 steps. The baseline trains nothing. "
    "Which has the higher image AUROC on our product, MemSeg or the better of two baselines?",
    ["the baseline", "MemSeg", "they differ by less than .02"],
)

# %% [markdown]
# We take two encoders, each with trained and with random weights: ResNet-18, which is the paper's (ours
# was trained on small photographs, Tiny-ImageNet), and EfficientNet-Lite0 (ImageNet).

# %%
TITLES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "ap": "pixel AP",
}
LITE0 = "efficientnet_lite0"
baseline = {}
for encoder, known in (("resnet18", "ResNet-18"), (LITE0, "EfficientNet-Lite0")):
    for weights, how in (("none", "random"), ("offline", "trained")):
        patches = NearestPatchesConfig(**images, encoder=encoder, weights=weights, seed=seed)
        of_patches = NearestPatchesTrainer(patches, parts)
        found = of_patches.train(device=lesson.device)
        baseline[f"{known}, {how}"] = (of_patches, found)
patches = [one for name, one in baseline.items() if "trained" in name]
patches_trainer, nearest = max(patches, key=lambda one: one[1].scores["image_auroc"])

# %% tags=["hide-input"]


def show_scores(runs_by_name, title, alt):
    """One dot for each run, one group for each score."""
    dots = {
        shown: {name: [run.scores[metric] for run in runs] for name, runs in runs_by_name.items()}
        for metric, shown in TITLES.items()
    }
    plots.show(plots.seed_dots(dots, xlabel="test images", title=title), alt)


show_scores(
    {name: [run] for name, (_, run) in baseline.items()},
    "Nearest patches: no training, only features",
    "Four scores of nearest patches with two encoders, random and trained",
)
record_metrics({f"baseline/{key}": nearest.scores[key] for key in TITLES}, note="test images")

# %% [markdown]
# In the stored run (one seed) random weights hardly tell good plates from defective ones, trained ones
# do: image AUROC .56 and .57 against .91 and .89. Most of what they do beyond chance comes from the
# training of the encoder. Of showing *where*, it is a part: with random weights the AUPRO is .56 and .50,
# where random numbers get .15; with trained ones .80 and .78. Pixel AP is low for all four. (Their maps
# have 12 x 12 cells here; whether that is why, we have not tried.)
#
# The two trained encoders differ by .02. Is that much? Another 53 plates would have given other numbers. We
# do not have them, but we can **draw our plates again**, with replacement and each with all its photographs,
# and look between which values 95 % of the scores lie (bootstrap).

# %%
plates = np.array(parts.test.groups)
plates_of_both = (np.unique(plates[test_labels]), np.setdiff1d(plates, plates[test_labels]))


def plates_again(rng):
    """The test images of as many plates of each kind, drawn with replacement."""
    drawn = np.concatenate([rng.choice(names, len(names)) for names in plates_of_both])
    return np.concatenate([np.flatnonzero(plates == name) for name in drawn])


def interval(score, draws=1000):
    """Where 95 % of `score(images)` lie when the plates are drawn again."""
    rng = np.random.default_rng(seed)
    values = [score(plates_again(rng)) for _ in range(draws)]
    return "{:.2f} to {:.2f}".format(*np.quantile(values, [0.025, 0.975]))


def image_auroc(run):
    scores = evaluation.image_score(run.maps)
    return lambda some: evaluation.image_auroc(scores[some], test_labels[some])


resnet, lite0 = (image_auroc(run) for _, run in patches)
print("image AUROC with ResNet-18:", interval(resnet))
print("ResNet-18 minus Lite0, on the same plates:", interval(lambda i: resnet(i) - lite0(i)))

# %% [markdown]
# So these images cannot say which of the two encoders is better here. (On real bottles both have an image
# AUROC of 1.000; Lite0 is ahead in showing where, section 7.) Keep this in mind for every dot below:
# seeds share these 53 plates, so their scatter says nothing about other plates. From here on "the
# baseline" is the encoder with the higher image AUROC on the *test* images, ResNet-18 in the stored run:
# a choice by test images, in favor of the bar.
#
# ## 4 · Train MemSeg
#
# *8 minutes.* The network is that of lesson 05: an encoder, a memory of 30 good images, the differences
# to the nearest of them, fusion, spatial maps, a decoder. Its loss has two parts, both of the probability
# $p$ of a defect: the distance to the mask $m$, $|p - m|$, called L1, and the focal loss of lesson 02
# with $\gamma = 4$. They are weighted .6 and .4.


# %% tags=["nbval-check-output"]
def loss_from_scratch(logits, mask):
    p = logits.softmax(1)[:, 1]
    q = torch.where(mask == 1, p, 1 - p)  # the probability of what is right
    return (0.6 * (p - mask).abs() + 0.4 * (1 - q) ** 4 * -q.log()).mean()


generator = torch.Generator().manual_seed(0)
logits = torch.randn(2, 2, 8, 8, generator=generator)
mask = (torch.rand(2, 8, 8, generator=generator) < 0.3).long()
prove_equal(loss_from_scratch, memseg_loss, logits, mask)

# %% [markdown]
# How strongly a loss pushes is the size of its gradient.

# %%
why_two = predict(
    "A pixel of a defect has p = .9 already. Which part of the loss pushes its logit up more strongly?",
    ["the focal part", "the L1 part", "both about equally"],
)

# %% [markdown]
# *Look at both ends: which part pushes a pixel that is quite wrong, and which a pixel that is nearly
# right?*

# %%
p = torch.linspace(0.002, 0.998, 400, dtype=torch.float64)


def push(p, **weights):
    """Size of the gradient of the loss for the logit of a defect pixel with probability p."""
    logit = torch.logit(p).requires_grad_()
    both = torch.stack([torch.zeros_like(logit), logit]).view(1, 2, 1, -1)
    defect = torch.ones(1, 1, len(p), dtype=torch.long)
    (memseg_loss(both, defect, **weights) * len(p)).backward()
    return logit.grad.abs()


pushes = {
    "L1 part": push(p, l1_weight=0.6, focal_weight=0.0),
    "focal part": push(p, l1_weight=0.0, focal_weight=0.4),
}

# %% tags=["hide-input"]
figure = plots.lines(
    p,
    pushes,
    xlabel="probability p of a pixel of a defect",
    ylabel="gradient for its logit",
    logy=True,
    ylim=(1e-9, 2),
    title="Focal loss pushes what is wrong, L1 what is nearly right",
)
plots.show(figure, "Size of the gradient of the L1 part and of the focal part over the probability")

# %%
at_nine = {name: float(np.interp(0.9, p, one)) for name, one in pushes.items()}
why_two.reveal(
    "the L1 part",
    f"{at_nine['L1 part']:.3f} against {at_nine['focal part']:.5f}. With weights: .6 p (1 - p) for L1. The "
    "focal part has a factor (1 - p) to the power of 4, which is .0001 here.",
)

# %% [markdown]
# At the left it is the other way round: L1's gradient $.6\,p(1-p)$ vanishes where $p$ is near 0, so a
# defect that the network is sure to miss is not corrected by L1. The focal part pushes with nearly its
# full weight there. That is what the two are for, as far as it can be derived; section 5 tries each
# alone.
#
# ### Exercise: a loss with holes
#
# On real parts some pixels have no truth: a reflection, the edge of a mask that was drawn by hand.

# %%
exercise("anomaly_loss")


# %%
def anomaly_loss(logits, mask):
    return ...


exercise("anomaly_loss").check(anomaly_loss)

# %% [markdown]
# ### Settings, and who says so
#
# **Optimizer.** The description of the paper that we could read gives a learning rate of .04, found by
# grid search, and names no optimizer. Ours is AdamW with a highest rate of .003, as in the best known
# public code. **Encoder and maps.** The paper multiplies the fused features with a *product* of three
# differences. Ours divides each of these maps by its mean over the image (`scaled_maps`); section 5 shows
# what this changes. And it starts from EfficientNet-Lite0: on painted sheets this lifts the paper's form
# from .85 to .98 in the image AUROC of simulated anomalies, and from .853 to .954 in the AUPRO of true
# defects (100 steps, three seeds, `docs/results.md`). **Steps.** The paper takes 2700, this notebook 80, with
# images of 96 x 96 pixels: enough to see large effects.
#
# A batch is half good, half simulated. While it trains, MemSeg is evaluated on validation images, half of
# them with anomalies that were simulated once. Three seeds; each decides the weights, which 30 images are
# remembered, and all anomalies.

# %%
settings = dict(
    **images,
    encoder=LITE0,
    variant=variant,
    steps=lesson.pick(smoke=2, laptop=80, full=2700),
    batch_size=lesson.pick(smoke=2, laptop=8, full=8),
    memory_size=lesson.pick(smoke=4, laptop=30, full=30),
)
seeds = lesson.seeds(lesson.pick(smoke=1, laptop=3, full=3))


def trainer_of(run_seed, **changes):
    config = MemSegConfig(seed=run_seed, **settings | changes)
    return MemSegTrainer(config, parts, progress=lesson.progress)


def train(run_seed, *, watch=None, evaluations=1, **changes):
    trainer = trainer_of(run_seed, **changes)
    return trainer.train(
        evaluate_every=max(trainer.config.steps // evaluations, 1),
        on_evaluation=watch,
        device=lesson.device,
        precision=lesson.precision,
    )


# %% [markdown]
# It takes about two minutes of one core. If you run this, the curves grow while it trains.

# %%
alt = "Loss, and image AUROC and AUPRO of simulated anomalies on validation images, three seeds"
results = {variant: []}
with LiveCurves(
    alt=alt,
    metrics=("val/image_auroc", "val/aupro"),
    title="Three seeds: loss, and scores of simulated anomalies on validation images",
) as curves:
    for run in seeds:
        watch = curves.run(VARIANTS[variant].title, seed=run)
        results[variant].append(train(run, watch=watch, evaluations=4))
ours = results[variant]

# %% [markdown]
# (Line: median of the three seeds; band: their range.) The AUPRO still rises at the last step: 80 steps are
# few. Beside it MemSeg with the paper's encoder and maps, ResNet-18 and the product, one run with the same
# steps.

# %%
paper = train(seed, encoder="resnet18", variant="memseg")

# %% tags=["hide-input"]
show_scores(
    {
        "patches, ResNet-18": [baseline["ResNet-18, trained"][1]],
        "patches, Lite0": [baseline["EfficientNet-Lite0, trained"][1]],
        "MemSeg, paper's encoder and maps": [paper],
        "MemSeg, ours": ours,
    },
    f"MemSeg after {settings['steps']} steps, and the baseline without training",
    "Four scores of the baseline, of MemSeg with the paper's encoder and maps, and of our MemSeg",
)


def medians(runs, prefix):
    return {f"{prefix}/{key}": np.median([run.scores[key] for run in runs]) for key in TITLES}


record_metrics(medians(ours, "memseg"), note="test images, median over seeds")
record_metrics(medians([paper], "paper"), note="test images, one run")

# %% tags=["hide-input"]
ahead = [run.scores["image_auroc"] - nearest.scores["image_auroc"] for run in ours]
median_ahead = float(np.median(ahead))
beaten.reveal(
    "they differ by less than .02" if abs(median_ahead) < 0.02
    else "MemSeg" if median_ahead > 0 else "the baseline",
    f"Image AUROC {nearest.scores['image_auroc']:.3f} of the better baseline; MemSeg's seeds: "
    f"{', '.join(format(run.scores['image_auroc'], '.3f') for run in ours)}.",
)  # fmt: skip


# %%
def aupro(run):
    return lambda some: evaluation.aupro(run.maps[some], test_masks[some])


print(f"MemSeg (seed {seeds[0]}) minus the baseline, when the plates are drawn again:")
for name, score, draws in (("image AUROC", image_auroc, 1000), ("AUPRO", aupro, 100)):
    mine, bar = score(ours[0]), score(nearest)
    print(f"{name:12} {interval(lambda i, a=mine, b=bar: a(i) - b(i), draws)}")

# %% [markdown]
# In the stored run, after 80 steps, MemSeg tells defective plates from good ones as well as the better
# baseline (.918, the median of three seeds, against .910): with the plates drawn again, the difference of
# seed 0 lies between -.07 and .08. It is far better at showing **where** a defect is: all three seeds lie
# above both baselines in AUPRO (.93 against .80) and in pixel AP (.31 against .12), and the interval in
# AUPRO lies above 0. With more steps it decides better, too (table in section 5). MemSeg with the paper's
# encoder and maps has an image AUROC of .47, no better than chance. Its encoder and its maps differ from
# ours; section 5 says which of them it is. *Look at where the two maps differ. Which defects does each of
# them miss?*

# %% tags=["hide-input"]
maps = ours[0].maps
strength = np.array([maps[i][test_masks[i] > 0].mean() for i in defects])
order = [defects[i] for i in strength.argsort()]
shown = [order[int(i)] for i in np.linspace(0, len(order) - 1, 6)]
figure = plots.heat_maps(
    [parts.test[i].image for i in shown],
    [parts.test[i].mask for i in shown],
    {"MemSeg": maps[shown], "nearest patches": nearest.maps[shown]},
    titles=[kind(i) for i in shown],
    title="From the worst found (left) to the best found",
    fill=0,
)
plots.show(figure, "Six test images with defects, and the maps of MemSeg and of nearest patches")

# %% [markdown]
# MemSeg's map is sharp: the missing hole at the right is marked where it belongs, and a part of the
# missing print. Neither map has a peak at the stain on the left, and MemSeg sees nothing of the shifted
# print in the third picture. The patches respond to both shifted prints, but in wide blots: their map has
# 12 x 12 cells and is blurred. (Worst and best go by MemSeg's map of seed 0.)
#
# ## 5 · Which parts earn their place?
#
# *12 minutes.* An **ablation** takes one part away and looks at what is lost. With MemSeg that is harder
# than it sounds: without a memory there are no differences, so the *spatial maps*, which are made of
# differences, go with it. Whoever takes the memory away has taken two parts away. So a control has to keep
# the memory and leave out only the maps.

# %%
guess = predict(
    "The paper's MemSeg multiplies its features with a product of three differences to the memory. We "
    "leave out only this product, and keep the memory. What does the AUPRO do, by the median of three "
    "seeds?",
    ["it falls", "it rises", "it changes by less than .01"],
)

# %% [markdown]
# Four forms with the same encoder, images, steps and seeds:
#
# | | differences to the memory | spatial maps |
# |---|---|---|
# | `memseg`, the paper's form | yes | product of three levels |
# | `scaled_maps` | yes | the same, each divided by its mean |
# | `no_maps` | yes | none |
# | `no_memory` | none | none |
#
# The first and the third tell what the product of maps does, the third and the fourth what the memory
# does. It takes about five minutes of one core.

# %%
FORMS = {
    "memseg": "product of maps (paper)",
    "scaled_maps": "scaled maps",
    "no_maps": "no maps",
    "no_memory": "no maps, no memory",
}
for name in FORMS:
    if name not in results:
        results[name] = [train(run, variant=name) for run in seeds]

# %% tags=["hide-input"]
show_scores(
    {label: results[name] for name, label in FORMS.items()},
    "Without the maps, and without maps and memory",
    "Four scores of four forms of MemSeg, three seeds each",
)
for name in FORMS:
    record_metrics(medians(results[name], f"forms/{name}"), note="test images, median over seeds")

# %% tags=["hide-input"]
middle = {
    name: {key: np.median([run.scores[key] for run in runs]) for key in TITLES}
    for name, runs in results.items()
}
change = middle["no_maps"]["aupro"] - middle["memseg"]["aupro"]
guess.reveal(
    "it changes by less than .01" if abs(change) < 0.01 else "it rises" if change > 0 else "it falls",
    f"From {middle['memseg']['aupro']:.3f} to {middle['no_maps']['aupro']:.3f}; without the memory as "
    f"well: {middle['no_memory']['aupro']:.3f}; with each map divided by its mean: "
    f"{middle['scaled_maps']['aupro']:.3f}.",
)  # fmt: skip

# %% [markdown]
# In the stored run **the memory matters most**: without it the AUPRO falls from .937 to .373, and each of its
# seeds lies below every run with a memory, in all four scores. **Without the maps** every seed lies above every
# seed with the product in image AUROC and in AUPRO; by chance three seeds against three do so once in twenty
# times. With 300 steps, in the table below, it is not so. The scaled maps lie between the two in these scores.
# (On sheets with ResNet-18, 100 steps, three seeds, AUPRO is .853 with the product and .950 without,
# `docs/results.md`.)
#
# Section 4 left open why the paper's encoder and maps had an image AUROC of .47. The same product with Lite0
# has .79 to .91. So most of it was the encoder (and its weights from small photographs; one run).
#
# What does the division change? These are the values of the finest map on the test images, before any
# training:

# %%
untrained = trainer_of(seed, variant="memseg").build_model().eval()
with torch.no_grad():
    levels = untrained.encoder(torch.stack([sample.image for sample in parts.test]))[1:4]
    differences = untrained.memory.best_differences(levels)
    finest = {
        name: spatial_attention(differences, scaled=scaled)[0].flatten()
        for name, scaled in (("product", False), ("scaled", True))
    }
for name, values in finest.items():
    low, high = np.quantile(values, [0.01, 0.99])
    print(
        f"{name:8} from {low:.2g} to {high:.2g} (1st and 99th percentile), at most {values.max():.3g}"
    )

# %% [markdown]
# The product multiplies features by numbers from about ten to some ten thousand. The division keeps the
# pattern within an image and brings the mean of its values to 1. (That the scale is why the product is
# behind after 80 steps is a guess: a network could learn to undo it, given the time.)
#
# ### What does the memory see?
#
# A hole that is missing is plain metal, as there is elsewhere on the plate. By itself it looks like nothing. So
# a comparison with good plates should help with such defects, which need a place to be seen, and hardly with
# the others. *Compare "no maps" with "no memory" in each group.*

# %%
PLACED = {"missing_hole", "wrong_hole", "broken_edge", "missing_print", "shifted_print"}
found = [kinds.get(sample.name, set()) for sample in parts.test]
groups = {
    "need a place": np.array([bool(one) and one <= PLACED for one in found]),
    "seen anywhere": np.array([bool(one) and not one & PLACED for one in found]),
}  # images with both kinds of defects are in neither
for one in sorted(set().union(*found)):
    shows = [one in names for names in found]
    print(f"{one:14} in {sum(shows):2} images of {len(set(plates[shows])):2} items")


def image_auroc_of(run, group):
    """The chance that a defective image of this group scores higher than a good one."""
    return image_auroc(run)(group | ~test_labels)


# %% tags=["hide-input"]
methods = {"nearest patches": [nearest], **{label: results[form] for form, label in FORMS.items()}}
if kinds:
    figure = plots.seed_dots(
        {
            f"{title}:\n{group.sum()} images, {len(set(plates[group]))} items": {
                name: [image_auroc_of(run, group) for run in runs] for name, runs in methods.items()
            }
            for title, group in groups.items()
            if group.any()
        },
        xlabel=f"image AUROC against the {(~test_labels).sum()} good test images",
        title="With and without a memory, by what a defect needs",
    )
    plots.show(figure, "Image AUROC for defects that need a place and for others, for five methods")
else:
    print("This data set does not say which of its defects need a place.")

# %% [markdown]
# In the stored run it is as expected, and it could have come out otherwise: for defects that need a place,
# MemSeg without memory is little better than chance (.62), with memory (`no maps`) at .97. For the others it is
# not worse without (.90 against .82; the seeds overlap by a little). (Mind what stands behind "need a place":
# mostly prints. There is one missing hole.)
#
# **Does this show that a detector must know the places?** No: nearest patches reach .96 in the first group,
# and they compare each patch with patches from *anywhere* on good plates. (A patch sees some of what is around
# it. Whether that is how it is done, no run here asks.) What the experiment shows is that for these defects a
# detector must be able to **compare with good parts**. Whether MemSeg's memory helps because it keeps places,
# a memory of plates that are turned around could tell.
#
# ### Chosen without a defect
#
# Which form would *you* take, if you had no defects? Only validation images with simulated anomalies may
# choose. *Would they choose as the test images do?* (Compare the forms within a group, not the groups:
# fakes and defects differ in the number and size of their regions.)

# %% tags=["hide-input"]
chosen_by = {
    "validation, simulated": {
        FORMS[name]: [run.history.evaluations[-1]["val/aupro"] for run in results[name]]
        for name in FORMS
    },
    "test, true defects": {
        FORMS[name]: [run.scores["aupro"] for run in results[name]] for name in FORMS
    },
}
figure = plots.seed_dots(chosen_by, xlabel="AUPRO", title="What may choose, and what is asked")
plots.show(figure, "AUPRO on simulated anomalies and on true defects for four forms of MemSeg")

# %% [markdown]
# In the stored run the simulated anomalies cannot tell "no memory" from the forms with one: all gaps are small
# beside the scatter of the seeds, while on true defects the gap is huge. The table below shows that with more
# steps they even choose **the wrong form**. The pictures of section 1 suggest why: fakes are foreign wherever
# they are, so a network needs no memory to find them. *Simulated anomalies can choose only among things that
# matter for simulated anomalies.*
#
# ### The other parts, with more steps
#
# 80 steps are few. Here are the same product, encoder and size with 300 steps, and the baselines, three seeds
# each: median (range). Each row below `memseg` takes one part away from the paper's form, or changes it; "no
# memory" takes the maps as well, so compare it with "no maps". (Lesson 04: a *texture* anomaly is a piece of
# another texture, a *structure* anomaly one of the image itself, its tiles in disorder.)
#
# | | image AUROC | AUPRO | pixel AP | *AUPRO of fakes, validation* |
# |---|---|---|---|---|
# | nearest patches, ResNet-18 | .918 (.910-.926) | .803 (.801-.803) | .120 | |
# | nearest patches, Lite0 | .886 (.877-.888) | .782 (.780-.791) | .119 | |
# | `memseg`, the paper's form | .966 (.932-.971) | .869 (.856-.917) | .351 | .809 (.787-.816) |
# | `scaled_maps` | .945 (.927-.961) | .890 (.781-.918) | .359 | .829 (.816-.837) |
# | `no_maps` | .923 (.909-.936) | .899 (.793-.936) | .357 | .814 (.805-.833) |
# | `no_memory` | .789 (.749-.863) | **.412** (.338-.436) | .321 | **.857** (.847-.861) |
# | `no_coordinate_attention` | .927 (.925-.969) | .865 (.744-.905) | .368 | .802 (.801-.829) |
# | `texture_only` | .926 (.915-.963) | .778 (.767-.821) | .382 | .809 (.794-.845) |
# | `structure_only` | .958 (.930-.971) | .866 (.824-.884) | .325 | .801 (.798-.816) |
#
#     course train memseg --data synthetic_product/plate --height 96 --width 96 --steps 300 --eval-every 100 --variant memseg --variant scaled_maps --variant no_maps --variant no_memory --variant no_coordinate_attention --variant texture_only --variant structure_only --seed 0 --seed 1 --seed 2 --out runs/plate
#     course train nearest --data synthetic_product/plate --height 96 --width 96 --encoder resnet18 --encoder efficientnet_lite0 --seed 0 --seed 1 --seed 2 --out runs/plate_nearest
#
# All on the same 53 test plates. And mind how much is compared: in a table like this, three seeds above three
# others are to be expected here and there by chance.
#
# - **On these plates MemSeg now decides better than the baseline**: in image AUROC every seed of the paper's
#   form and of scaled maps lies above every seed of both baselines.
# - **The memory earns its place**: every run without it lies below all 18 others in AUPRO and in image AUROC.
# - **Simulated anomalies would throw it out**: on them, all three runs without memory lie above all 18 others.
# - **Structure anomalies help in AUPRO**, three seeds against three; in image AUROC and pixel AP that does not
#   show. **Textures have not shown that they help** on this product. (Ours are made of noise; the paper takes
#   photographs.)
# - **Coordinate attention and the maps have not shown that they earn their place**: the ranges overlap, and
#   in image AUROC the order of the three forms with memory is the reverse of that after 80 steps.
# - From 80 to 300 steps pixel AP rises with each of these three forms (from .26, .31 and .32), and AUPRO falls
#   (from .91, .93 and .94). Why, no run of this lesson says.
#
# We take `scaled_maps`. With 300 steps the validation images put it first *among the forms with memory*,
# by a little; with 80 they put it last. So this is a choice among equals, not a finding. The memory we
# take for what we know about plates: some of their defects can be seen only by someone who compares them
# with good ones.
#
# ### L1 or focal loss alone
#
# The derivation in section 4 says that each covers the other's weak side. Does it matter after 80
# steps? One run each, with the seed of the first run above.

# %%
by_loss = {
    "both": ours[0],
    "L1 alone": train(seed, focal_weight=0.0),
    "focal alone": train(seed, focal_weight=1.0),
}
for name, run in by_loss.items():
    unsure = ((run.maps > 0.1) & (run.maps < 0.9)).float().mean()
    print(
        f"{name:12} AUPRO {run.scores['aupro']:.3f}, pixel AP {run.scores['ap']:.3f}, "
        f"{unsure:.1%} of the pixels between .1 and .9"
    )

# %% tags=["hide-input"]
some = [order[int(i)] for i in np.linspace(len(order) // 3, len(order) - 1, 5)]
figure = plots.heat_maps(
    [parts.test[i].image for i in some],
    [parts.test[i].mask for i in some],
    {name: run.maps[some] for name, run in by_loss.items()},
    limit=1.0,
    titles=[kind(i) for i in some],
    title="The same training with both parts of the loss, and with each alone",
    fill=0,
)
plots.show(figure, "Five test images and the probability maps of three losses, on one color scale")

# %% [markdown]
# In the stored run (one run each) it matters much, and as derived. L1 alone is sure everywhere, hardly a pixel
# lies between .1 and .9, and most defects are given up (AUPRO .20). Focal loss alone finds more, and is not sure
# of the plate: half of all pixels lie between .1 and .9, and in the figure the whole plate glows. Together they
# are better than either.
#
# ## 6 · Four published mistakes
#
# *10 minutes.* Two of them change how the network is trained, two only the number.
#
# ### A softmax of a softmax
#
# The public code handed its focal loss probabilities, and the focal loss takes a softmax of them once
# more. What was 0 to 1 becomes .27 to .73: the loss believes that the network is never sure. Its gradient at
# an output that is certain and *wrong* shrinks to almost nothing. ("Wrong by 20": the logit of the wrong
# class is 20 higher.)

# %% tags=["nbval-check-output"]
for certainty in (2.0, 5.0, 10.0, 15.0):
    pull = []
    for twice in (False, True):
        logits = torch.tensor([certainty, -certainty]).view(1, 2, 1, 1).requires_grad_()
        mask = torch.ones(1, 1, 1, dtype=torch.long)
        memseg_loss(logits, mask, l1_weight=0.0, focal_weight=1.0, double_softmax=twice).backward()
        pull.append(logits.grad.abs().max().item())
    print(f"wrong by {2 * certainty:2.0f}: gradient {pull[0]:.3f} once, {pull[1]:.0e} twice")

# %% [markdown]
# So what the focal part was for, the pixels that are quite wrong, is lost. In the public code, which
# trained 5000 steps, mending it was worth 1.3 points of image AUROC and 5.5 of pixel AUROC (by the
# tables of its own page, before and after; both are of checkpoints chosen on test images, the mistake below).
#
# ### A frozen part that moves
#
# The memory holds features, so the layers that make them must stay as they are. The public code freezes
# their weights. But batch normalization goes on updating its averages in training mode, and the first
# layer is still trained. A test: show the trained network *the very images that it remembers*. They differ
# from the memory by 0 if nothing has moved. We compare that with new good images.


# %%
def moved(name):
    """Mean difference to the memory of remembered images, and of new good ones, after training."""
    trainer = trainer_of(seed, variant=name, steps=lesson.pick(smoke=1, laptop=20, full=200))
    model = trainer.train(device=lesson.device, precision=lesson.precision).model.eval()
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(seed))
    remembered = [parts.train[int(i)].image for i in order[: settings["memory_size"]]]
    new = [sample.image for sample in parts.val]
    means = []
    for some in (remembered, new):
        with torch.no_grad():
            levels = model.encoder(torch.stack(some).to(lesson.device))[1:4]
            means.append(sum(d.mean().item() for d in model.memory.best_differences(levels)))
    return means


for name in ("memseg", "published_code"):
    remembered, new = moved(name)
    print(
        f"{VARIANTS[name].title:28} remembered images {remembered:.3f}, new good images {new:.3f}"
    )

# %% [markdown]
# In the stored run, after 20 steps, the remembered images differ from their own memory by 19, where it
# should be 0, and new good images by 51, where a frozen part has 35: nearly a third of the difference
# that a new good image shows is drift. (Sums over three levels of mean squared differences. One run each,
# with Lite0 in place of the public code's ResNet-18; the averages and the first layer were not told
# apart. What the drift costs in scores, we have not measured.)
#
# ### The limit that went away
#
# In November 2023 the public code dropped the limit of its AUPRO, 30 % false alarms. Between the two tables of
# its page around that date AUPRO jumps by 7 points, while the image AUROC falls by .7. (One table is of 13
# categories, the other of 15.)

# %%
limits = predict(
    "Maps of random numbers: which AUPRO do they get without the limit?",
    ["about 0", "about .15", "about .5"],
)

# %%
chance = torch.rand(test_masks.shape, generator=torch.Generator().manual_seed(seed))
candidates = {"MemSeg": ours[0].maps, "nearest patches": nearest.maps, "random numbers": chance}
areas = {
    name: [evaluation.aupro(one, test_masks, fpr_limit=limit) for limit in (0.3, 1.0)]
    for name, one in candidates.items()
}
for name, (limited, whole) in areas.items():
    print(f"{name:16} up to 30 %: {limited:.3f}   no limit: {whole:.3f}")

# %% tags=["hide-input"]
pro = {name: evaluation.pro_curve(one, test_masks) for name, one in candidates.items()}
at = np.linspace(0, 1, 201)
figure = plots.lines(
    at,
    {name: np.interp(at, curve.fpr, curve.pro) for name, curve in pro.items()},
    xlabel="share of clean pixels with a false alarm",
    ylabel="covered share of defects",
    markers={"the limit, 30 %": (0.3, float(np.interp(0.3, pro["MemSeg"].fpr, pro["MemSeg"].pro)))},
    title="Beyond 30 % of false alarms nobody would use a detector",
)
plots.show(figure, "Covered share of defects against false alarms for three kinds of maps")
record_metrics(
    {"aupro/no_limit": areas["MemSeg"][1], "aupro/chance_no_limit": areas["random numbers"][1]},
    note="test images, one run",
)

# %%
limits.reveal(
    "about .5",
    f"{areas['random numbers'][1]:.3f}, against {areas['random numbers'][0]:.3f} with the limit. The same "
    f"maps of MemSeg get {areas['MemSeg'][1]:.3f} instead of {areas['MemSeg'][0]:.3f}.",
)

# %% [markdown]
# A detector that raises a false alarm at half of all clean pixels is of no use, however much it covers. So ask of
# each AUPRO up to which limit it was taken.
#
# ### Exercise: the area up to a limit

# %%
exercise("limited_area")


# %%
def limited_area(fpr, pro, limit):
    return ...


exercise("limited_area").check(limited_area)

# %% [markdown]
# ### The best of many looks
#
# The public code evaluates on the **test** images every 100 steps, and keeps the checkpoint with the best
# scores. Over all of MVTec AD its best checkpoints lie .9 (image AUROC) to 1.2 points (pixel AUROC) above its
# last ones (computed from the log files that it publishes). How much of such a gain is true? We train seed 0
# on, at a *constant* learning rate, so that its scores go up and down, and look every second step. Then we cut
# the test *plates* into two halves at random, each with all its photographs: a half that shows the same plates
# could not contradict. We pick the best look by one half, ask the *other* half whether it is better, and
# repeat this with 100 cuts.

# %%
pick = predict(
    "The best of 20 looks, against their mean. The half of the plates that has picked it shows a gain in "
    "image AUROC. How much of it is left on the other half?",
    ["nearly all of it", "more than half of it", "less than half of it"],
)

# %%
model = deepcopy(ours[0].model)
batches = trainer_of(seed).build_batches()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
run_in, looks, every = lesson.pick(smoke=(1, 2, 1), laptop=(10, 20, 2), full=(100, 40, 50))
steps = run_in + looks * every
endless = (batch for _ in range(steps) for batch in batches)
seen = {}  # step -> scores of the test images
bf16 = torch.autocast(lesson.device.type, torch.bfloat16, enabled="bf16" in lesson.precision)
for step, batch in enumerate(islice(endless, steps), start=1):
    with bf16:
        logits = model.train()(batch.image.to(lesson.device))
    loss = memseg_loss(logits.float(), batch.mask.to(lesson.device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step > run_in and (step - run_in) % every == 0:
        probabilities, _ = predict_probabilities(model, parts.test, batch_size=8)
        seen[step] = evaluation.image_score(probabilities[:, 1])


# %%
def half_of_the_plates(rng):
    """The images of one half of the defective and one half of the good plates, at random."""
    chosen = [rng.permutation(names)[: len(names) // 2] for names in plates_of_both]
    return np.isin(plates, np.concatenate(chosen))


rng = np.random.default_rng(seed)
gains = {"promised": [], "kept": []}
for _ in range(100):
    half = half_of_the_plates(rng)
    picking, asked = (
        np.array([evaluation.image_auroc(one[part], test_labels[part]) for one in seen.values()])
        for part in (half, ~half)
    )
    best = picking.argmax()
    gains["promised"].append(100 * (picking[best] - picking.mean()))
    gains["kept"].append(100 * (asked[best] - asked.mean()))
promised, kept = (float(np.mean(one)) for one in gains.values())
print(f"gain of the best look over the mean of all, 100 cuts: promised {promised:.2f} points,")
print(f"kept on the other half {kept:.2f} points")

# %% tags=["hide-input"]
figure = plots.lines(
    list(seen),
    {"image AUROC": [evaluation.image_auroc(one, test_labels) for one in seen.values()]},
    xlabel="further steps at a constant learning rate",
    ylabel="image AUROC of all test images",
    title=f"{looks} looks at one training (seed {seed})",
)
plots.show(figure, "Image AUROC on the test images at each look")
record_metrics({"looks/promised": promised, "looks/kept": kept}, note="points of image AUROC")

# %%
left = kept / promised if promised else 0.0
pick.reveal(
    "less than half of it"
    if left < 0.5
    else "nearly all of it"
    if left > 0.9
    else "more than half of it",
    f"{promised:.2f} points were promised and {kept:.2f} are left. What is not left was chance: those who "
    "pick and report by the same images report it as well.",
)

# %% [markdown]
# In the stored run the looks scatter between .86 and .91. The best look promises 3.4 points more than the
# mean of all, and on plates that have not chosen nothing of it is left (-.3): its lead was chance.
# Choosing is fine. Choosing and reporting by the same images is not. (One training and few plates: in
# another, a part of such a gain may be true. And only half of the plates choose here; with all of them
# the choice would rest less on chance.)
#
# ## 7 · On real bottles
#
# *3 minutes.* The same without a notebook, on `mvtec_ad/bottle` at 256 pixels: 167 good images to train
# on, 83 to test with. No number was chosen on test images.
#
# | | seeds | image AUROC | pixel AUROC | AUPRO | pixel AP |
# |---|---|---|---|---|---|
# | nearest patches, ResNet-18 | 3 | 1.000 | .976 | .914 | .709 |
# | nearest patches, EfficientNet-Lite0 | 3 | 1.000 | .984 | .941 | .760 |
# | MemSeg, ResNet-18, product of maps, 400 steps | 3 | .999 | .975 | .920 | .835 |
# | MemSeg, EfficientNet-Lite0, scaled maps, 2700 steps | 3 | 1.000 | **.992** | **.975** | **.913** |
#
#     course train nearest --data mvtec_ad/bottle --encoder resnet18 --encoder efficientnet_lite0 --seed 0 --seed 1 --seed 2
#     course train memseg --data mvtec_ad/bottle --encoder resnet18 --steps 400 --eval-every 80 --seed 0 --seed 1 --seed 2
#     course train memseg --data mvtec_ad/bottle --variant scaled_maps --seed 0 --seed 1 --seed 2
#
# (Medians where there are three seeds; `docs/results.md` has ranges, devices and times. Elsewhere: the
# paper reports .996 image AUROC and .988 pixel AUROC as means over all of MVTec AD, the public code 1.000
# and .988 on bottle, with a checkpoint chosen on test images.) All of them tell good bottles from broken
# ones almost without an error; 83 images, 20 of them good, cannot tell .999 from 1.000. MemSeg's gain is
# in showing *where*: above the patches of the same encoder by .15 of pixel AP with Lite0, by .13 with
# ResNet-18. Between its two rows encoder, maps and the number of steps have all changed, so this table
# cannot say which of them it was. For the maps and the memory a shorter one can (Lite0, 128 pixels, 400
# steps, three seeds, `docs/results.md`). By the medians of AUPRO, the product of maps has .916, scaled
# maps .914, no maps .941, and no memory .918 (.910 to .930, against .917 to .947 for no maps). So on
# bottles three seeds show little worth of the memory; on the plate it decided. (Hardly any defect of a
# bottle needs a comparison to be seen: that may be why, and was not tested.) If all you need is a
# decision for each image, the baseline on this product is as good and needs no training.
#
# ## 8 · A threshold, and a detector that decides
#
# *7 minutes.* AUROC judges an order. A line needs a decision. We have no defects to choose a threshold
# with, only good validation images: so it is put **just above the highest score of these**. Then the test
# images say how often it is wrong.

# %%
result = ours[0]
trainer = trainer_of(seed)
work = TemporaryDirectory()
folder = Path(work.name) / "plate"
folder.mkdir()
trained = trainer.detector(result)
trained.save(folder)
print(f"threshold {trained.settings.threshold.value:.3f}")
errors = trainer.errors(result, trained)
wrong_of_patches = patches_trainer.errors(nearest, patches_trainer.detector(nearest))
for name, counted in (("MemSeg", errors), ("nearest patches", wrong_of_patches)):
    counts = "{false_alarms} false alarms of {good} good, {misses} misses of {defective}"
    print(f"test, {name:15}", counts.format(**counted))
record_metrics(
    {"decision/false_alarms": errors["false_alarms"], "decision/misses": errors["misses"]},
    note="test images, one run",
)

# %% [markdown]
# *Move the threshold. What do you pay for finding one more defect?*

# %% tags=["hide-input"]
scores = np.asarray(evaluation.image_score(result.maps))
grid = np.geomspace(0.003, 0.99, 200)
wrong = {
    "misses": [int((scores[test_labels] < t).sum()) for t in grid],
    "false alarms": [int((scores[~test_labels] >= t).sum()) for t in grid],
}


def show_decision(threshold):
    misses = int((scores[test_labels] < threshold).sum())
    alarms = int((scores[~test_labels] >= threshold).sum())
    return plots.lines(
        grid,
        wrong,
        xlabel="threshold of the image score",
        ylabel="test images",
        logx=True,
        markers={"missed here": (threshold, misses), "alarms here": (threshold, alarms)},
        title=f"Threshold {threshold:.3f}: {misses} misses of {test_labels.sum()}, "
        f"{alarms} false alarms of {(~test_labels).sum()}",
    )


# %% tags=["hide-input"]
value = float(trained.settings.threshold.value)
ladder = sorted({round(float(t), 3) for t in np.geomspace(0.005, 0.9, 24)} | {round(value, 3)})
explore(
    show_decision,
    alt="Misses and false alarms of the test images over the threshold of the image score",
    threshold=ladder,
    fallback=[{"threshold": round(value, 3)}, {"threshold": ladder[-4]}],
)

# %% [markdown]
# In the stored run the threshold of the validation images lets 15 of 57 defective photographs pass, for 4 false
# alarms on 43 good ones; the baseline, at a threshold of its own, 31 for 1. (After the 300 steps of section 5,
# `scaled_maps` misses 13 to 22, the baselines 22 to 31.) That no good validation image lies above the threshold
# says nothing, as it was put there. But they show 24 plates, and the good test images 21. The 4 false alarms
# are of at least two plates, and by chance alone the two highest of these 45 plates are both test plates with a
# probability of 21/45 x 20/44, one in five: no surprise. Lower, at about .07, both errors would be about 9. But
# *that* threshold was read from test images. On a line, someone has to say what a missed defect costs and what
# a false alarm; then a few true defects, kept for this alone, are worth more than any number of fakes.
#
# ### Exercise: what a threshold costs

# %%
exercise("count_errors")


# %%
def count_errors(good_scores, allowed, scores, labels):
    return ...


exercise("count_errors").check(count_errors)

# %% [markdown]
# ### Open it, and ask
#
# The folder holds all that is needed: weights, memory, sizes, thresholds. (`course train memseg` leaves
# such a folder, too.)

# %%
detector = load_detector(folder)
asked = [*defects[:: max(len(defects) // 6, 1)][:6], *np.flatnonzero(~test_labels)[:2]]
answers = list(detector.predict(parts.test[int(i)].image for i in asked))

# %% tags=["hide-input", "cover"]
figure = plots.montage(
    [answer.image for answer in answers],
    masks=[answer.mask if answer.mask.any() else None for answer in answers],
    titles=[
        f"{kind(i)}\n{'alarm' if answer.is_defective else 'passed'} {answer.score:.2f}"
        for i, answer in zip(asked, answers)
    ],
    fill=0,
    columns=4,
    title="Never shown a defect while it learned: truth, decision and score of eight test images",
)
plots.show(figure, "Eight test images with the marked pixels, and whether they raise an alarm")

# %% [markdown]
# In the stored run the first one passes: its print is shifted a little, and its score of .05 lies among those
# of good plates. On the five other defective ones the marks lie where the defect is; in the fifth it is mostly
# the broken edge that is marked. One of the two good plates raises an alarm, by a spot beside its print. For a
# folder of photographs, `course predict RUN PHOTOS --out answers` writes a page, a table and the overlays.
#
# ## 9 · Challenge
#
# Beat the best median AUPRO of section 5 on the same test images, with the same number of steps. You may
# change the form (`variant`), the learning rate, the loss, the size of the memory. **Choose by the
# validation images**: `try_out` shows only these. (Remember section 5: simulated anomalies could not
# choose the form. For the form you need a reason, not their score.) When you have chosen, enter the
# median of three seeds, once.

# %%
board = challenge(
    "06_memseg",
    score="AUPRO of the test images",
    to_beat={
        "nearest patches": nearest.scores["aupro"],
        **{FORMS[name]: middle[name]["aupro"] for name in FORMS},
    },
)


def try_out(**changes):
    row = train(seed, **changes).history.evaluations[-1]
    print(f"simulated: image AUROC {row['val/image_auroc']:.3f}, AUPRO {row['val/aupro']:.3f}")


def median_of_seeds(**changes):
    return float(np.median([train(run, **changes).scores["aupro"] for run in seeds]))


# %% [markdown]
# For example, in a cell of your own (half a minute for each training):
#
#     for rate in (0.0015, 0.003, 0.006):
#         try_out(learning_rate=rate)
#
# and, if .006 is the best of them:
#
#     board.enter("rate .006", median_of_seeds(learning_rate=0.006))
#
# ## Recap
#
# - Train on good images and fakes, choose on good images and fakes, judge by defects, once.
# - A baseline without training first: it may be all that you need.
# - An ablation takes away one part. If two go together, add a control.
# - Simulated anomalies can choose only among things that matter for simulated anomalies.
# - The best look at the test images promises more than it keeps: choose on other images than you report on.
# - Seeds say how much a training scatters. How much the test images scatter, only their plates can say.
# - Ask of every AUPRO up to which limit, and of every network whether what is frozen stays still.
# - A threshold comes from validation images; then count misses and false alarms.
#
# Lesson 07 has defects to learn from, and a network that decides in two stages.

# %%
predictions()

# %% [markdown]
# ## Quiz

# %%
quiz("06")

# %% [markdown]
# ## References
#
# - M. Yang, P. Wu, H. Feng: *MemSeg: a semi-supervised method for image surface defect detection
#   using differences and commonalities*, Engineering Applications of Artificial Intelligence 2023.
# - K. Roth and others: *Towards total recall in industrial anomaly detection*, CVPR 2022
#   (PatchCore).
# - P. Bergmann and others: *The MVTec anomaly detection dataset*, International Journal of Computer
#   Vision 2021 (AUPRO, section 5.2).
# - TooTouch/MemSeg on GitHub: the best known public code of MemSeg, with its tables and its history.
