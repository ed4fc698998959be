# ---
# jupyter:
#   course:
#     title: Start here
#     summary: What the course is about, how a lesson works, and whether this machine is ready.
#     minutes_reading: 12
#     minutes_exercises: 8
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
# **This course is about finding surface defects in images**: scratches on steel, cracks in tiles,
# stains on cloth. It goes from a question that sounds like a riddle (why does a network that never
# finds a defect reach 99 % accuracy?) to networks from the literature, rebuilt small and tested.
#
# After this lesson you can
#
# - tell whether this machine is ready for the course;
# - read an image and its mask;
# - work with a lesson: parameters, exercises, hints, quiz.
#
# You need a little Python. About 12 minutes of reading and 8 of exercises.
#
# Every lesson begins with its **parameters**. Change them here, or from outside with papermill.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "magnetic_tile", "sd_saliency_900", "folder:<path>"
seed = 0

# %% [markdown]
# - `profile` says how much work is done. *smoke* only shows that everything runs, in a minute.
#   *laptop* shows the effect that the lesson is about. *full* takes the settings of the papers and
#   wants a GPU.
# - `dataset` says on which images. The synthetic surfaces need no download.
# - `seed` fixes everything random. The same seed repeats its result.
#
# ## Is this machine ready?
#
# Each line is a check. What is missing comes with the command that mends it. Real data sets and a
# GPU make the course better; without them everything runs all the same.

# %%
from course_utils.doctor import show_doctor
from course_utils.lessons import exercise, predict, quiz, record_metric, start_lesson

lesson = start_lesson("00_start_here", profile=profile, dataset=dataset, seed=seed)
show_doctor()

# %% [markdown]
# ## What we look for
#
# `open_dataset` gives images with masks. *Cover the lower rows with your hand and find the defects
# yourself. Then uncover: which ones did you miss?*

# %%
import numpy as np

from course_utils import plots
from course_utils.data import open_dataset

surfaces = open_dataset(dataset, "train", size=192, seed=seed)
order = np.random.default_rng(seed).permutation(len(surfaces))
defective = [int(i) for i in order[:60] if (surfaces[int(i)].mask > 0).any()][:8]
figure = plots.samples(
    surfaces, defective, title="Some defects leap to the eye, others hide in the pattern"
)
plots.show(figure, "Eight surfaces with defects, and below each its mask in color on gray")

# %% [markdown]
# An item of a data set is a `Sample`: an image, its mask, the class of its largest defect, the group
# of images that show the same surface, and a name.

# %% tags=["nbval-check-output"]
example = open_dataset("synthetic", "train", size=192, seed=0)[8]
print("image", tuple(example.image.shape), example.image.dtype)
print("mask ", tuple(example.mask.shape), example.mask.dtype)
print("group", example.group)
print("name ", example.name)

# %% [markdown]
# ## A mask, number by number
#
# A mask holds a class $c_i$ for each pixel $i$: 0 is background, 1, 2, 3 … are kinds of defect. The
# share of defect in a mask with $H \times W$ pixels is
#
# $$s = \frac{1}{HW} \sum_{i} [\,c_i > 0\,].$$
#
# In words: count the pixels that are not 0, and divide by all. Here is a mask that is small enough
# to count by eye: a scratch of class 1 and a spot of class 2.

# %% tags=["nbval-check-output"]
mask = np.zeros((8, 10), dtype=int)
mask[[1, 2, 3], [1, 2, 3]] = 1
mask[5, 7:9] = 2
print(mask)

# %%
large = np.kron(mask, np.ones((24, 24), dtype=int))  # each pixel becomes 24 x 24 of them
plain = np.full(large.shape, 0.75)
figure = plots.montage(
    [plain, plain],
    masks=[None, large],
    titles=["a plain surface, 8 x 10 pixels", "its mask: 5 pixels are defect"],
    columns=2,
    class_names=["background", "scratch", "spot"],
)
plots.show(
    figure, "A gray surface of 8 by 10 pixels, and the same with its five mask pixels marked"
)

# %% [markdown]
# How large is the share on the surfaces above? A number that a lesson reports is *recorded*: it
# stands in the output, and is compared from run to run when the course is tested.

# %%
shares = [float((surfaces[int(i)].mask > 0).float().mean()) for i in order[:60]]
record_metric("defect_share", np.mean(shares), note="mean over 60 training images")

# %% [markdown]
# ## Built twice, proven equal
#
# Lessons derive an idea in a few lines, and then show that it equals the building block of
# `course_utils` that does the work later: in value, and in gradient where there is one. If the two
# ever drift apart, the lesson fails. Counting pixels is a first example.

# %% tags=["nbval-check-output"]
from course_utils.data import count_pixels

from_scratch = [int((mask == c).sum()) for c in range(3)]
assert from_scratch == count_pixels(mask, num_classes=3).tolist()
print("pixels of classes 0, 1, 2:", from_scratch)

# %% [markdown]
# ## Predict first
#
# Many sections ask for a prediction. Make one, even a bad one: what surprises us, we remember.

# %%
inspector = predict(
    "A network calls every pixel of every surface above “background”. What share of the pixels does "
    "it get right?",
    ["about 50 %", "about 90 %", "about 99 %"],
)

# %%
inspector.reveal(
    "about 99 %",
    "It is one minus the share of defect that is recorded above. And not a single defect is found.",
)

# %% [markdown]
# ## Exercises
#
# An exercise cell has a `...` for you to replace. Run it, and one of four things comes back: *not
# attempted yet*, *not correct yet* with a message for your mistake, *your code raised an error*, or
# *correct*. In a cell of your own, `exercise("defect_share").hint()` helps step by step, and
# `.solution()` shows one way to do it. You may leave exercises open: the notebook runs on.

# %%
exercise("defect_share")

# %%
share = ...

exercise("defect_share").check(share)

# %%
exercise("accuracy_of_nothing")


# %%
def accuracy_of_nothing(mask):
    return ...


exercise("accuracy_of_nothing").check(accuracy_of_nothing)

# %% [markdown]
# ## Recap
#
# - A sample is an image and a mask. 0 is background, larger numbers are classes of defects.
# - Lessons take `profile`, `dataset` and `seed`, and run from top to bottom with exercises open.
# - Defects are rare. Whoever answers "no defect" is nearly always right.
#
# The road from here: **01** asks what rare defects do to metrics and splits, **02** what they do to
# losses. Later lessons train a U-Net, invent anomalies from noise, and build networks that learn
# from good surfaces alone.
#
# ## Quiz
#
# Click on a choice to see whether it is right, and why.

# %%
quiz("00")

# %% [markdown]
# ## References
#
# - The code of every building block is in `course_utils`, with the source of each formula in its
#   docstring: `help(count_pixels)` shows one.
# - A. Paszke et al.: *PyTorch: an imperative style, high-performance deep learning library*, NeurIPS
#   2019.
