# ---
# jupyter:
#   course:
#     title: Start here
#     summary: A detector at work in the first minute, then how a lesson works and how to read a mask.
#     minutes_reading: 15
#     minutes_exercises: 12
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
# # 00 · Start here
#
# **This course is about finding surface defects in images**: scratches on steel, cracks in tiles, a
# hole that was never drilled. It starts with simple questions (which score notices a network that finds
# nothing?) and ends with networks from the literature, rebuilt, tested, and ready for your own
# photographs.
#
# After this lesson you can
#
# - run a defect detector, and say what a threshold does to it;
# - work with a lesson: parameters, predictions, exercises, live figures;
# - read a mask, and tell whether this machine is ready for the course.
#
# You need a little Python. 15 minutes of reading, 12 of exercises, about one of running.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic_product/plate"  # or .../washer, .../cap, "magnetic_tile", "folder:<path>"
seed = 0

# %%
import numpy as np
import torch

from course_utils import plots
from course_utils.data import count_pixels, open_dataset
from course_utils.doctor import show_doctor
from course_utils.lessons import (
    exercise, explore, predict, predictions, quiz, record_metric, show_real_photographs,
    start_lesson,
)  # fmt: skip
from course_utils.models import NearestPatches

lesson = start_lesson("00_start_here", profile=profile, dataset=dataset, seed=seed)

# %% [markdown]
# ## A detector in one minute
#
# A camera looks at metal plates, one after the other. We have photographs of good plates, and nobody
# has told us what a defect looks like. (The plates are drawn by the course, so that this lesson runs
# at once, without a download. For this test we take as many defective plates as good ones or more; on
# a real line they are rare.)
#
# So we use a detector that remembers. It cuts each good photograph into small patches and keeps the
# descriptions of many of them, computed by a network that has seen a million photographs of other
# things (ImageNet). For a new photograph it asks, patch by patch: *how far is the nearest patch that
# I know from good plates?* The answer is a **map**: high where the new plate looks like no good one.


# %%
size = lesson.pick(smoke=128, laptop=192, full=256)
good = open_dataset(dataset, "train", size=size, seed=seed, normal_only=True)
test = open_dataset(dataset, "test", size=size, seed=seed)
few, many = lesson.pick(smoke=(12, 24), laptop=(40, 80), full=(150, 200))

torch.manual_seed(seed)
detector = NearestPatches(weights="offline")
detector.fill([good[i].image for i in range(min(few, len(good)))])

drawn = np.random.default_rng(seed).permutation(len(test))[:many]
parts = [test[int(i)] for i in drawn]
maps = torch.cat([detector(part.image.unsqueeze(0)) for part in parts])
scores = maps.amax((1, 2)).numpy()  # of a whole photograph: the highest value of its map
defective = np.array([part.label > 0 for part in parts])
print(f"{len(parts)} new plates, {defective.sum()} of them defective")

# %% [markdown]
# That was all: nothing was trained. *Look at each photograph of the upper row, and find what is wrong
# with it.* The row below names the defect, and shows in color where the detector sees a difference:
# none where the plate is as near to good plates as they are to each other, yellow where it is half as
# far again.

# %% tags=["hide-input", "cover"]
usual = float(np.median(scores[~defective]))  # the score of a good plate
one_kind = np.array([len(np.unique(part.mask)) == 2 for part in parts])  # background, one class
shown = [i for i in np.argsort(-scores) if one_kind[i]]
shown = [shown[i] for i in np.linspace(0, 0.7 * (len(shown) - 1), 4).astype(int)]
pictures = [parts[i].image for i in shown]
pictures += [plots.heat_overlay(parts[i].image, maps[i], (0.8 * usual, 1.5 * usual)) for i in shown]
kinds = [test.class_names[parts[i].label].replace("_", " ") for i in shown]
figure = plots.montage(
    pictures,
    titles=[*[""] * len(shown), *kinds],
    title="Photographs, and where they differ from all good ones",
)
plots.show(figure, "Four defective parts, and the same with the map of the detector in color")

# %% [markdown]
# ## From a map to a decision
#
# A map is not yet an answer. The **score** of a plate is the highest value of its map, and we have to
# choose how high a score may be: the **threshold**. A plate is rejected if its score is at least the
# threshold. Two things can go wrong: a defective plate passes (a **miss**), or a good one is rejected
# (a **false alarm**).

# %% tags=["hide-input"]
threshold_guess = predict(
    "We raise the threshold, so that fewer plates are rejected. What happens to the two mistakes?",
    [
        "both become fewer",
        "misses grow, false alarms become fewer",
        "misses fall, false alarms grow",
    ],
)

# %% [markdown]
# *Drag the threshold in JupyterLab. At which value is the cost lowest, if a miss costs ten times as
# much as a false alarm?* Shown are the eight plates whose scores lie nearest to the
# threshold; colored pixels are at the threshold or above it.


# %% tags=["hide-input"]
def at_threshold(threshold):
    missed = int((scores[defective] < threshold).sum())
    alarms = int((scores[~defective] >= threshold).sum())
    near = np.argsort(np.abs(scores - threshold))  # those that a small change decides
    some = [*near[defective[near]][:4], *near[~defective[near]][:4]]
    figure = plots.montage(
        [parts[i].image for i in some],
        masks=[(maps[i] >= threshold).long() for i in some],
        titles=[("defective" if defective[i] else "good") + f", {scores[i]:.1f}" for i in some],
        title=f"Threshold {threshold:.1f}: {missed} of {defective.sum()} defective ones missed, "
        f"{alarms} of {(~defective).sum()} good ones rejected, cost {10 * missed + alarms}",
    )
    return figure


low, high = float(np.floor(10 * scores.min()) / 10), float(np.ceil(10 * scores.max()) / 10)
middle = round(float(np.median(scores)), 1)
explore(
    at_threshold,
    alt="Eight parts with the pixels at or above the threshold in color",
    threshold=(low, high, 0.1),
    fallback=[{"threshold": middle}],
)

# %% tags=["hide-input"]
threshold_guess.reveal(
    "misses grow, false alarms become fewer",
    "Fewer plates are rejected, good ones and defective ones alike. How to choose a threshold "
    "without fooling yourself is a part of lesson 01.",
)

# %% [markdown]
# No threshold avoids both mistakes here. *These are the defective plates with the lowest scores. Would
# you have found them?* Their defects are drawn in color.

# %% tags=["hide-input"]
lowest = [i for i in np.argsort(scores) if defective[i]][:4]
figure = plots.montage(
    [parts[i].image for i in lowest] * 2,
    masks=[*[None] * 4, *[parts[i].mask for i in lowest]],
    titles=[*[f"score {scores[i]:.1f}" for i in lowest], *[""] * 4],
    title="What looks most like a good plate to the detector",
    class_names=[name.replace("_", " ") for name in test.class_names],
)
plots.show(figure, "The four defective parts with the lowest scores, and below each its defect")

# %% [markdown]
# Your turn. An **exercise** cell has a `...` for you to replace. Run it, and one of four things comes
# back: *not attempted yet*, *not correct yet* with a message for your mistake, *your code raised an
# error*, or *correct*. You may leave exercises open: the notebook runs on.

# %%
exercise("misses_and_false_alarms")


# %%
def misses_and_false_alarms(scores, defective, threshold):
    return ...


exercise("misses_and_false_alarms").check(misses_and_false_alarms)

# %% [markdown]
# One number says how well the scores separate good from defective, whatever the threshold: the
# **AUROC**, the chance that a defective plate scores higher than a good one. Guessing reaches .5, a
# perfect ranking 1. This is one run, with one seed.

# %%
from course_utils.evaluation import image_auroc

record_metric("image_auroc", image_auroc(scores, defective), note=f"{len(parts)} new photographs")

# %% [markdown]
# ## How a lesson works
#
# - **Parameters** stand in the first code cell. `profile` says how much work is done: *smoke* only
#   shows that everything runs, in a minute; *laptop* shows what the lesson is about, and is what you
#   see stored here; *full* takes the settings of the papers and wants a GPU. `dataset` says on which
#   images, and `seed` fixes everything random: the same seed repeats its result.
# - **Predictions** ask before they tell. Make one, even a bad one, and say how sure you are: what
#   surprises us, we remember.
# - **Exercises** follow what they are about. `exercise("...").hint()` helps step by step, and
#   `.solution()` shows one way to do it.
# - **Live figures** have sliders when you run the notebook in JupyterLab.
# - **Code that only draws or asks is folded.** Click on the three dots to see it.
# - **A gray line** such as `image_auroc = …` above is a recorded number. The tests of the course
#   compare it from run to run.
#
# Results differ from seed to seed, so a lesson shows several seeds, or says that it was one run.
#
# ## A mask, number by number
#
# To judge a detector, the defects must be marked: here by the program that drew them, in real sets by
# people. A **mask** holds a class
# $c_i$ for each pixel $i$: 0 is background, 1, 2, 3 … are kinds of defect. Here is one that is small
# enough to count by eye: a scratch of class 1 and a spot of class 2.

# %% tags=["nbval-check-output"]
mask = np.zeros((8, 10), dtype=int)
mask[[1, 2, 3], [1, 2, 3]] = 1
mask[5, 7:9] = 2
print(mask)

# %% tags=["hide-input"]
large = np.kron(mask, np.ones((24, 24), dtype=int))  # each pixel becomes 24 x 24 of them
plain = np.full(large.shape, 0.75)
figure = plots.montage(
    [plain, plain],
    masks=[None, large],
    titles=["a plain surface, 8 x 10 pixels", "the same with its mask"],
    columns=2,
    class_names=["background", "scratch", "spot"],
)
plots.show(figure, "A gray surface of 8 by 10 pixels, and the same with its mask in color")

# %% [markdown]
# An item of a data set is a `Sample`: an image, its mask, the class of its largest defect, the group
# of images that show the same thing, and a name.

# %% tags=["nbval-check-output"]
example = open_dataset("synthetic", "train", size=192, seed=0)[8]
print("image", tuple(example.image.shape), example.image.dtype)
print("mask ", tuple(example.mask.shape), example.mask.dtype)
print("group", example.group)
print("name ", example.name)

# %% [markdown]
# Lessons derive an idea in a few lines, and then show that it equals the part of `course_utils` that
# does the work later. If the two ever differ, the lesson fails. Counting pixels is a first example.

# %% tags=["nbval-check-output"]
from_scratch = [int((mask == c).sum()) for c in range(3)]
assert from_scratch == count_pixels(mask, num_classes=3).tolist()
print("pixels of classes 0, 1, 2:", from_scratch)

# %% [markdown]
# How much of an image is defect? With $H \times W$ pixels the share is
#
# $$s = \frac{1}{HW} \sum_{i} [\,c_i > 0\,].$$
#
# In words: count the pixels that are not 0, and divide by all.

# %%
exercise("defect_share")


# %%
def defect_share(mask):
    return ...


exercise("defect_share").check(defect_share)

# %% [markdown]
# ## The answer “no defect”

# %% tags=["hide-input"]
silence = predict(
    "A network calls every pixel of every new plate “background”. What share of the pixels does it "
    "get right?",
    ["about 50 %", "about 80 %", "about 99 %"],
)

# %%
masks = np.stack([part.mask.numpy() for part in parts])
background, *kinds = count_pixels(masks, len(test.class_names))
record_metric("right_pixels_of_no_defect", background / masks.size, note="share of all pixels")

# %% tags=["hide-input"]
silence.reveal(
    "about 99 %",
    "Defects cover few pixels, so “no defect” is right nearly everywhere.",
)

# %% [markdown]
# That number is called **accuracy**, and it hides that not a single defect was found. So we ask for a
# second number beside it: which share of the *defect* pixels is found? It is called **recall**, and
# for the answer “no defect” it is 0.

# %%
exercise("accuracy_and_recall")


# %%
def accuracy_and_recall(mask, prediction):
    return ...


exercise("accuracy_and_recall").check(accuracy_and_recall)

# %% [markdown]
# ## Drawn parts and real photographs
#
# Drawn plates have exact masks and need no download. Real photographs are what counts in the end.
# Their licenses do not let us store them in a notebook, so this cell shows them if they are on your
# disk, and otherwise the command that gets them. What the networks of this course reach on them is
# measured in `docs/results.md`.

# %%
show_real_photographs("magnetic_tile", "sd_saliency_900")

# %% [markdown]
# ## Is this machine ready?
#
# Each line is a check, and says what to do about what is missing. Real data sets and a GPU make the
# course better; without them everything runs all the same.

# %%
show_doctor()

# %% [markdown]
# ## Recap
#
# - A detector gives a map; a threshold makes a decision of it, and trades misses for false alarms.
# - A sample is an image and a mask. 0 is background, larger numbers are classes of defects.
# - Defects cover few pixels. The answer “no defect” has a high accuracy, and a recall of 0.
#
# **01** asks what rare defects do to metrics, thresholds and splits, **02** what they do to losses, and
# **03** trains a U-Net that finds them. **04** to **06** learn from good images alone, **07** decides
# about whole images. Your own photographs come in with `dataset="folder:<path>"`.

# %%
predictions()

# %% [markdown]
# ## Quiz
#
# Click on a choice to see whether it is right, and why.

# %%
quiz("00")

# %% [markdown]
# ## References
#
# - K. Roth and others: *Towards total recall in industrial anomaly detection* (PatchCore), CVPR 2022:
#   the detector above is a small relative of it.
# - The code of every building block is in `course_utils`, with the source of each formula in its
#   docstring: `help(count_pixels)` shows one.
# - A. Paszke and others: *PyTorch: an imperative style, high-performance deep learning library*,
#   NeurIPS 2019.
