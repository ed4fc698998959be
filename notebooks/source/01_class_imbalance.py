# ---
# jupyter:
#   course:
#     title: Class imbalance
#     summary: Why a network that never finds a defect reaches 99 % accuracy, and what to measure instead.
#     minutes_reading: 30
#     minutes_exercises: 25
#     compared_cells: 2
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
# # 01 · Class imbalance
#
# **Why does a network that never finds a defect reach 99 % accuracy?**
#
# After this lesson you can
#
# - say how rare defects are on a data set, and what the trivial answer scores on it;
# - compute IoU and Dice, read average precision and AUROC, and say which scores rare defects mislead;
# - recognize a network that has learned to say nothing, and find out whether it knows more than
#   it says;
# - choose a threshold, and split a data set, without fooling yourself.
#
# You need Python, a little NumPy, and lesson 00. About 30 minutes of reading and 25 of exercises.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "magnetic_tile", "sd_saliency_900", "folder:<path>"
seed = 0

# %%
import numpy as np
import torch
from torch.utils.data import DataLoader

from course_utils import evaluation, plots
from course_utils.data import CachedDataset, count_pixels, find_datasets, group_split, open_dataset
from course_utils.lessons import exercise, predict, quiz, record_metric, start_lesson
from course_utils.losses import binary_focal_loss
from course_utils.models import SmallSegmenter
from course_utils.training import fit, predict_probabilities

lesson = start_lesson("01_class_imbalance", profile=profile, dataset=dataset, seed=seed)

# %% [markdown]
# ## Predict first

# %%
predict(
    "A network answers “no defect” for every pixel of every image. What is its pixel accuracy?",
    ["about 50 %: it is a coin that always shows the same side", "about 80 %", "about 99 %"],
)


# %% [markdown]
# ## What we look for
#
# Each sample is an image and a mask. In the mask, 0 is background and 1, 2, 3 … are classes of
# defects. *Look at how small the colored regions are, and which of them you would have missed.*

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
defective = [i for i, sample in enumerate(train) if (sample.mask > 0).any()]
figure = plots.samples(
    train, defective[:8], title="Defects: a few pixels on a surface that has its own pattern"
)
plots.show(figure, "Eight images with a defect each, and below each its mask in color")

# %% [markdown]
# ## How rare is rare?
#
# We count the pixels of each class over the training images. *The axis is logarithmic: each line
# to the left is ten times rarer.*

# %%
counts = count_pixels(train, len(train.class_names))
shares = dict(zip(train.class_names, counts / counts.sum()))
figure = plots.bars(
    shares,
    xlabel="share of the training pixels",
    log=True,
    fmt="{:.2%}",
    title=f"{1 - shares['background']:.2%} of the pixels show a defect",
)
plots.show(figure, "Bars of the share of each class among the training pixels, logarithmic")
record_metric("defect_share", 1 - shares["background"])

# %% [markdown]
# How many images have a defect at all, and how much of an image does it cover? *The curve shows
# what share of the defective images has no more defect than this.*

# %%
print(f"{len(defective) / len(train):.0%} of {len(train)} training images have a defect")
areas = np.sort([(s.mask > 0).float().mean().item() for s in train if (s.mask > 0).any()])
figure = plots.lines(
    areas,
    {"defective images": np.arange(1, len(areas) + 1) / len(areas)},
    xlabel="area of the defect (share of the image)",
    ylabel="share of images up to this area",
    logx=True,
    direct_labels=False,
    title=f"In half of the defective images less than {np.median(areas):.2%} is defect",
)
plots.show(figure, "Cumulative curve of the area of defects, with a logarithmic area axis")

# %% [markdown]
# Real sets differ, so always count first. The table counts some of those that lie in your data root
# (the folder `COURSE_DATA_ROOT`); `course data list` says where that is, and `course data fetch` gets
# more.

# %%
shown = ("magnetic_tile", "sd_saliency_900", "kolektor_sdd", "mvtec_ad")
for name, found in find_datasets().items():
    if name.partition("/")[0] not in shown:
        continue
    if not found.images:
        print(f"{name:17}  not here")
        continue
    real = open_dataset(name, "train", size=128, seed=seed)
    pixels = count_pixels(real, len(real.class_names))
    images = np.mean([entry.label == 0 for entry in real.entries])
    print(f"{name:17}  {1 - pixels[0] / pixels.sum():6.2%} of the pixels are defect,", end=" ")
    print(f"{images:4.0%} of {len(real)} training images are good")

# %% [markdown]
# ## Four numbers, from scratch
#
# Compare a prediction with the truth, pixel by pixel. There are only four cases: true positives
# (TP, found), false positives (FP, false alarms), false negatives (FN, missed) and true negatives
# (TN, rightly left alone). All scores of yes-or-no answers are computed from these; IoU stands for
# intersection over union.

# %%
truth = np.zeros((8, 8), dtype=bool)
truth[2:4, 2:6] = True
answer = np.zeros((8, 8), dtype=bool)
answer[3:5, 2:6] = True


def four_numbers(answer, truth):
    tp = int((answer & truth).sum())
    fp = int((answer & ~truth).sum())
    fn = int((~answer & truth).sum())
    tn = int((~answer & ~truth).sum())
    return tp, fp, fn, tn


# %% tags=["nbval-check-output"]
tp, fp, fn, tn = four_numbers(answer, truth)
print(f"TP {tp}, FP {fp}, FN {fn}, TN {tn}")
print(f"accuracy  = (TP + TN) / all         = {(tp + tn) / (tp + fp + fn + tn):.3f}")
print(f"precision = TP / (TP + FP)          = {tp / (tp + fp):.3f}  right alarms")
print(f"recall    = TP / (TP + FN)          = {tp / (tp + fn):.3f}  found defects")
print(f"IoU       = TP / (TP + FP + FN)     = {tp / (tp + fp + fn):.3f}")
print(f"Dice      = 2 TP / (2 TP + FP + FN) = {2 * tp / (2 * tp + fp + fn):.3f}")

# %% [markdown]
# The answer is one row too low: half of it is right, half is wrong. IoU says 1/3, Dice says 1/2,
# accuracy says 7/8. IoU and Dice leave the true negatives out. **The package must agree:**

# %% tags=["nbval-check-output"]
assert evaluation.accuracy(answer, truth) == (tp + tn) / answer.size
assert evaluation.iou(answer, truth) == tp / (tp + fp + fn)
assert evaluation.dice(answer, truth) == 2 * tp / (2 * tp + fp + fn)
print("built twice, proven equal: accuracy, IoU, Dice")

# %% [markdown]
# ## What does the trivial answer score?
#
# Now the silent network: no defect, anywhere, ever.

# %%
masks = np.stack([sample.mask.numpy() > 0 for sample in test])
silence = np.zeros_like(masks)
print(f"accuracy {evaluation.accuracy(silence, masks):8.4f}")
print(f"IoU      {evaluation.iou(silence, masks):8.4f}")
print(f"Dice     {evaluation.dice(silence, masks):8.4f}")
record_metric("silent_accuracy", evaluation.accuracy(silence, masks))
record_metric("silent_iou", evaluation.iou(silence, masks))

# %% [markdown]
# There is the answer to the question above. Accuracy is nearly perfect because it asks "how many
# pixels are right?", and nearly all pixels are easy. IoU asks "of all pixels that anybody called
# defect, how many were called so by both?".
#
# How bad must an answer become before accuracy notices? We take the true masks and spoil them:
# push them aside, pixel by pixel (what leaves the image at the right comes back at the left).
# *Watch which line moves.*

# %%
shifts = np.arange(0, 13)
spoiled = [np.roll(masks, int(shift), axis=2) for shift in shifts]
figure = plots.lines(
    shifts,
    {
        "accuracy": [evaluation.accuracy(one, masks) for one in spoiled],
        "Dice": [evaluation.dice(one, masks) for one in spoiled],
        "IoU": [evaluation.iou(one, masks) for one in spoiled],
    },
    xlabel="the answer is the truth, pushed aside by … pixels",
    ylabel="score",
    ylim=(0, 1.02),
    title="Accuracy hardly moves while the answer slides off the defect",
)
plots.show(figure, "Accuracy, Dice and IoU against the number of pixels that the mask is shifted")

# %% [markdown]
# ## Rankings: ROC hides what precision shows
#
# A network does not say yes or no. It gives each pixel a score, and we cut at a threshold. Two
# curves describe all cuts at once. The **ROC** curve draws recall over the share of *good* pixels
# that are called defect; its area is the **AUROC**. The **precision-recall** curve draws how many
# alarms are right (precision) for each share of found defects (recall). The **average precision
# (AP)** is its area, summed in steps: $\mathrm{AP} = \sum_n (R_n - R_{n-1}) P_n$.
#
# We invent a detector: defect pixels score higher by two standard deviations. Then we show the
# *same* detector more and more clean surface. *Which of the two numbers notices?*


# %%
def scores_of(target, rng, separation=2.0):
    return rng.normal(size=target.shape) + separation * target


rng = np.random.default_rng(seed)
defects_only = np.ones(2_000, dtype=bool)
results = {}
for good in (2_000, 20_000, 200_000):
    target = np.concatenate([defects_only, np.zeros(good, dtype=bool)])
    results[f"1 defect pixel to {good // 2_000} good ones"] = (scores_of(target, rng), target)
figure = plots.roc_and_pr(
    results, title="One detector, three data sets: ROC cannot tell them apart, precision can"
)
plots.show(figure, "ROC curves that coincide, and precision-recall curves that fall apart")

# %% [markdown]
# The ROC curves lie on top of each other: the detector is the same, and both of its axes are
# *rates*. But at 1 to 100 a false-alarm rate of 1 % already means as many false alarms as there are
# defects. **On rare defects report AP, and the share of defects beside it: that share is the AP of
# pure chance.**
#
# ## A network that learns to say nothing
#
# Enough of invented detectors. We train a small network with plain cross entropy, on three seeds,
# and look at it while it learns. The loss is the course's focal loss with the focus switched off
# (gamma = 0); lesson 02 is about what happens when we switch it on.


# %%
def cross_entropy(logits, mask):
    # alpha = .5 weighs both classes by one half: twice that is plain cross entropy
    return 2 * binary_focal_loss(logits, (mask > 0).unsqueeze(1), alpha=0.5, gamma=0)


def scores_on(model, images):
    probabilities, masks = predict_probabilities(model, images)
    return probabilities.numpy(), masks.numpy() > 0


def evaluate(model):
    p, target = scores_on(model, val)
    threshold = evaluation.best_threshold(p, target, criterion="iou")
    return {
        "accuracy": evaluation.accuracy(p > 0.5, target),
        "IoU": evaluation.iou(p > 0.5, target),
        "IoU at best": evaluation.iou(p >= threshold, target),
        "AP": evaluation.average_precision(p, target),
        "called defect": float((p > 0.5).mean()),
    }


# %%
steps = lesson.pick(smoke=12, laptop=300, full=2000)
models, histories = [], []
for run in lesson.seeds(3):
    torch.manual_seed(run)
    model = SmallSegmenter(in_channels=train.channels, num_classes=1)
    batches = DataLoader(train, batch_size=8, shuffle=True, drop_last=True)
    history = fit(
        model,
        batches,
        cross_entropy,
        steps=steps,
        learning_rate=1e-2,
        evaluate=evaluate,
        evaluate_every=max(steps // 16, 1),
        device=lesson.device,
        precision=lesson.precision,
        progress=lesson.progress,
        description=f"seed {run}",
    )
    models.append(model)
    histories.append(history)

# %% [markdown]
# *Compare the network with the silent answer. In which panel does it leave it, and when?*

# %%
at = histories[0].metric("IoU")[0]
share = np.mean([(sample.mask > 0).float().mean().item() for sample in val])
silent = {"accuracy": 1 - share, "IoU": 0.0, "AP": share}
panels = [
    {
        "x": at,
        "series": {
            "silent answer (for AP: chance)": np.full(len(at), silent[name]),
            "network, threshold .5": [history.metric(name)[1] for history in histories],
        },
        "xlabel": "step",
        "ylabel": name,
        "title": name,
    }
    for name in silent
]
best = [history.metric("IoU at best")[1] for history in histories]
panels[1]["series"]["network, best threshold"] = best

# %%
panels[0]["ylim"] = (max(0, 1 - 3 * share), 1.0)
top = 1.2 * max(max(run) for run in best + panels[2]["series"]["network, threshold .5"])
panels[1]["ylim"] = panels[2]["ylim"] = (-0.02 * top, top)
figure = plots.lines_panels(
    panels,
    title="Three seeds, validation: accuracy stays near silence; the other two tell them apart",
)
plots.show(figure, "Accuracy, IoU and average precision while training, beside the silent answer")
names = ("accuracy", "IoU", "IoU at best", "AP", "called defect")
final = {name: np.median([h.evaluations[-1][name] for h in histories]) for name in names}
record_metric("accuracy_at_half", final["accuracy"], note="validation, median of 3 seeds")
record_metric("iou_at_half", final["IoU"], note="validation, median of 3 seeds")
record_metric("average_precision", final["AP"], note="validation, median of 3 seeds")
record_metric("called_defect_at_half", final["called defect"], note="share of the pixels")
record_metric("really_defect", share, note="share of the pixels")

# %% [markdown]
# Accuracy climbs to where silence is, and stays there. AP leaves chance behind early: the network
# *ranks* defects above background. But at a threshold of .5 it calls fewer pixels defect than there
# are (the last two numbers). For a rare class an honest probability is low nearly everywhere, so it
# seldom crosses .5. **It knows more than it says**: the gap between the two IoU curves is what a
# better threshold would be worth, at each step. (The upper one has seen these images: it is a bound,
# not a result. The honest version comes next.)
#
# ## An honest threshold
#
# We choose the threshold with the best IoU **on validation images**, then keep it for the test
# images. *Each dot is one seed.*

# %%
at_half, at_chosen, thresholds = [], [], []
for model in models:
    threshold = evaluation.best_threshold(*scores_on(model, val), criterion="iou")
    p, target = scores_on(model, test)
    at_half.append(evaluation.iou(p > 0.5, target))
    at_chosen.append(evaluation.iou(p >= threshold, target))
    thresholds.append(threshold)
figure = plots.seed_dots(
    {"threshold .5": at_half, "threshold chosen on validation": at_chosen},
    xlabel="IoU on test images",
    xlim=(0, 1.15 * max(at_half + at_chosen) + 0.001),
    title="The same three networks, cut at another place",
)
plots.show(figure, "IoU on test images at threshold one half and at the chosen threshold, per seed")
print("thresholds:", ", ".join(f"{threshold:.3f}" for threshold in thresholds))
record_metric("test_iou_at_half", np.median(at_half), note="3 seeds")
record_metric("test_iou_at_chosen", np.median(at_chosen), note="3 seeds")

# %% [markdown]
# Nothing was trained for this: it is a choice of where to cut.
#
# Numbers do not say what is missed. *Look at the bottom rows: what kind of defect is found, which
# one is not, and what does the network take for a defect?*

# %%
p, target = scores_on(models[0], test)
by_size = np.argsort(-target.mean((1, 2)))[: int(target.any((1, 2)).sum())]
shown = by_size[np.linspace(0, 0.7 * len(by_size), 4).astype(int)]  # from large to small
figure = plots.errors(
    [test[i].image for i in shown],
    [target[i] for i in shown],
    [p[i] >= thresholds[0] for i in shown],
    title="Found, missed and false alarms on four test images (one seed)",
)
plots.show(figure, "Four test images, their true masks, and hits, misses and false alarms")

# %% [markdown]
# ## The mistake: twins on both sides of the split
#
# Real data sets photograph one piece several times: under another light, or a moment later. In
# the magnetic-tile set most images have a near-identical twin, and the synthetic set imitates
# that. If twins are split at random, the test set asks questions whose answers were in training.
#
# *Each column shows two images of one group.*

# %%
pool = open_dataset(dataset, "all", size=64, seed=seed)
limit = lesson.pick(smoke=300, laptop=1500, full=1500)
pool = CachedDataset(pool, indices=range(min(len(pool), limit)))
groups = np.array([sample.group for sample in pool])
names, sizes = np.unique(groups, return_counts=True)
twins = [np.flatnonzero(groups == name)[:2] for name in names[sizes > 1]]
print(f"{len(groups)} images of {len(names)} surfaces; {sizes[sizes > 1].sum()} have a twin")

# %%
if twins:
    marked = sorted(twins, key=lambda pair: -(pool[pair[0]].mask > 0).sum().item())[:6]
    pairs = [pool[i] for side in (0, 1) for i in (pair[side] for pair in marked)]
    figure = plots.montage(
        [one.image for one in pairs],
        columns=len(marked),
        title="Twins: two photographs of one surface, above and below",
    )
    plots.show(figure, "Pairs of nearly identical images, one above the other")
else:
    print("no two images of this data set show the same thing")

# %% [markdown]
# How much does a leak inflate a score? We measure it with the most ignorant method there is: a
# **memorizer** that finds the most similar training image and copies its mask. It knows nothing
# about defects. On new surfaces it should fail; let us see what a random split says about it.

# %%
thumbnails = np.stack([sample.image.mean(0)[::2, ::2].flatten().numpy() for sample in pool])
thumbnails -= thumbnails.mean(1, keepdims=True)
thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True) + 1e-6
pool_masks = np.stack([sample.mask.numpy() > 0 for sample in pool])
labels = [sample.label for sample in pool]


def memorizer_iou(units, split_seed):
    """IoU of copied masks when `units` are dealt out to train and test."""
    train_half, test_half = group_split(units, labels, fractions=(0.8, 0.2), seed=split_seed)
    nearest = (thumbnails[test_half] @ thumbnails[train_half].T).argmax(1)
    return evaluation.iou(pool_masks[train_half[nearest]], pool_masks[test_half])


# %%
leaking = [memorizer_iou(np.arange(len(groups)), s) for s in lesson.seeds(5)]
honest = [memorizer_iou(groups, s) for s in lesson.seeds(5)]
figure = plots.seed_dots(
    {"images split at random": leaking, "groups kept together": honest},
    xlabel="IoU of copied masks",
    title="A method that knows nothing about defects, under two splits (5 seeds)",
)
plots.show(figure, "IoU of the memorizer under a leaking and under a leakage-safe split, per seed")
record_metric("memorizer_iou_leaking", np.median(leaking), note="5 splits")
record_metric("memorizer_iou_honest", np.median(honest), note="5 splits")

# %% [markdown]
# The upper row is an illusion: copying earns it. Try `dataset="magnetic_tile"`, where each tile was
# photographed several times, and see how far copying gets there. In `sd_saliency_900` many images
# are overlapping crops of one photograph; shifted twins do not help a copier, but a network may
# recognize them all the same.
#
# **Every data set that `open_dataset` returns is split by groups**, and its `split_note` says so.
# `split_by="image"` gives the leaking split, for experiments such as this one.
#
# ## Exercises
#
# Replace the `...`, run the cell, read what comes back. `hint()` helps in steps, `solution()` shows
# one way to do it.

# %%
exercise("iou_from_counts")


# %%
def iou_from_counts(tp, fp, fn, tn):
    return ...


exercise("iou_from_counts").check(iou_from_counts)

# %%
exercise("ap_of_chance")

# %%
ap = ...

exercise("ap_of_chance").check(ap)

# %%
exercise("choose_threshold")

# %%
from course_utils.evaluation import iou


def choose_threshold(scores, target):
    return ...


exercise("choose_threshold").check(choose_threshold)

# %%
exercise("split_by_tile")


# %%
def split_by_tile(groups, rng):
    return ...


exercise("split_by_tile").check(split_by_tile)

# %% [markdown]
# ## Recap
#
# - Defects cover few pixels, even where many images have one. The silent answer is then nearly
#   always right, and worth nothing.
# - IoU and Dice leave the true negatives out. AP notices false alarms on a large background; AUROC
#   does not. Say the share of defects beside an AP: it is the AP of chance.
# - A network trained with plain cross entropy says little at a threshold of .5 and may know much
#   more. Look at AP before you change the loss, and choose the threshold on validation data.
# - Split what was photographed, not the photographs.
#
# Lesson 02 changes the loss, and asks what that is worth once the threshold is chosen well.
#
# ## Quiz

# %%
quiz("01")

# %% [markdown]
# ## References
#
# - T. Saito, M. Rehmsmeier: *The precision-recall plot is more informative than the ROC plot when
#   evaluating binary classifiers on imbalanced datasets*, PLOS ONE 2015.
# - J. Davis, M. Goadrich: *The relationship between precision-recall and ROC curves*, ICML 2006.
# - Y. Huang, C. Qiu, K. Yuan: *Surface defect saliency of magnetic tile*, The Visual Computer 2020
#   (the magnetic-tile data set).
# - S. Kapoor, A. Narayanan: *Leakage and the reproducibility crisis in machine-learning-based
#   science*, Patterns 2023.
