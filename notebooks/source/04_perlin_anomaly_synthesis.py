# ---
# jupyter:
#   course:
#     title: Perlin anomaly synthesis
#     summary: Thousands of good parts and no bad one, so we make the defects ourselves, and look at how real they are.
#     minutes_reading: 35
#     minutes_exercises: 30
#     compared_cells: 4
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
# # 04 · Perlin anomaly synthesis
#
# **How do you train a detector when there is not a single defect to learn from?**
#
# After this lesson you can
#
# - build Perlin noise from a handful of gradients, and say why one library always draws the same;
# - turn noise into masks that lie on the object and are never empty;
# - fill a mask with a texture or with the image itself, laid in disorder, and blend it in;
# - feed a training with balanced batches of good and simulated images;
# - say how far the fakes are from real defects, with numbers.
#
# You need lesson 01. About 35 minutes of reading and 30 of exercises.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "mvtec_ad/bottle", "magnetic_tile", "folder:<path>"
seed = 0

# %%
import math
from itertools import islice

import cv2
import numpy as np
import torch
from noise import pnoise2
from torch.utils.data import DataLoader

from course_utils import anomaly, plots
from course_utils.config import data_root
from course_utils.data import BalancedBatches, CachedDataset, SimulatedAnomalies, open_dataset
from course_utils.lessons import (
    exercise, explore, predict, prove_equal, quiz, record_metric, start_lesson,
)  # fmt: skip

lesson = start_lesson("04_perlin_anomaly_synthesis", profile=profile, dataset=dataset, seed=seed)

# %% [markdown]
# ## Predict first

# %%
predict(
    "A mask is smooth random noise, cut off at a threshold. Out of 100 masks that the public "
    "code of MemSeg draws for its anomalies, how many are empty?",
    ["none", "about 5", "about 30"],
)

# %% [markdown]
# ## The idea
#
# A line that makes good parts shows you thousands of good parts. The defect that matters may not
# have happened yet. So we take what there is, good images, and spoil them ourselves, in a way
# that tells us *which pixels* we have spoiled. A network that learns to undo our mischief has
# learnt what the surface should look like. That is the hope. At the end we measure how far the
# fakes are from defects; lesson 06 measures how far the training carries.
#
# The recipe is that of MemSeg (2022). Its authors have released no code: what we call the *public
# code* are re-implementations by others, above all the best known one. Their masks are those of
# DRAEM (2021), whose authors did release theirs.
#
# These are good images, and the same ones spoiled by the code that this lesson takes apart.

# %%
size = lesson.pick(smoke=96, laptop=256, full=256)
options = dict(frequency=0.0) if dataset == "synthetic" else {}
images = open_dataset(dataset, "train", size=size, seed=seed, **options)
wanted = lesson.pick(smoke=8, laptop=40, full=200)
order = np.random.default_rng(seed).permutation(len(images)).tolist()
good_ones = (index for index in order if images[index].label == 0)
good = CachedDataset(images, indices=list(islice(good_ones, wanted)))
pictures = [np.ascontiguousarray(plots.to_picture(sample.image)) for sample in good]
print(f"{len(good)} good images of {size} x {size} pixels")

# %%
texture, foreground = anomaly.procedural_source, None
dtd = data_root() / "dtd" / "images"
if dataset != "synthetic" and dtd.is_dir():
    texture = anomaly.TextureSource(anomaly.TextureFolder(dtd))
if dataset.startswith("mvtec_ad/"):
    foreground = anomaly.MVTEC_FOREGROUNDS.get(dataset.removeprefix("mvtec_ad/"))
synthesizer = anomaly.AnomalySynthesizer((texture, anomaly.structure_source), foreground)
print("textures:", "made from noise" if texture is anomaly.procedural_source else "pictures of DTD")
print("anomalies lie", "on the object" if foreground else "anywhere in the image")

# %%
spoiled = [
    synthesizer(picture, np.random.default_rng([seed, i])) for i, picture in enumerate(pictures[:4])
]
figure = plots.montage(
    pictures[:4] + [one.image for one in spoiled] + pictures[:4],
    masks=[None] * 8 + [one.mask for one in spoiled],
    columns=4,
    title="Good images, the same ones spoiled, and where",
)
plots.show(figure, "Four good images, the same with simulated anomalies, and their masks")

# %% [markdown]
# ## Smooth noise, from scratch
#
# Where should the damage lie? Scratched-out squares would be easy to make and easy to learn by
# heart. We want blobs and streaks of every size, with no two alike. Ken Perlin's noise of 1985,
# with the fade curve of 2002, is made for that. Lay a coarse grid over the image. Give each point
# of the grid a random direction, its **gradient**: a plane through zero that rises that way. A
# pixel lies between four points and hears four planes; the nearer a point, the louder its plane.
# How loud is decided by the **fade curve** $6t^5 - 15t^4 + 10t^3$: it starts and ends so flat
# that nobody can see where the cells meet.
#
# At the end everything is multiplied by $\sqrt{2}$. In the middle of a cell all four points are
# $\sqrt{1/2}$ away, which is as high as a plane with a slope of 1 can be there. The factor brings
# the highest possible value to 1, so that the noise lies between -1 and 1.


# %%
def noise_from_scratch(gradients, shape):
    """The noise of (H, W) pixels between (R + 1, C + 1) points of the grid."""
    rows, columns = gradients.shape[0] - 1, gradients.shape[1] - 1
    y = torch.arange(shape[0]) * rows / shape[0]
    x = torch.arange(shape[1]) * columns / shape[1]
    row, column = y.long(), x.long()
    y, x = (y - row)[:, None], (x - column)[None, :]

    def plane(down, right):  # of the point at the upper or lower, left or right corner
        gradient = gradients[row + down][:, column + right]
        return gradient[..., 0] * (y - down) + gradient[..., 1] * (x - right)

    def fade(t):
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    above = torch.lerp(plane(0, 0), plane(0, 1), fade(x).expand(shape))
    below = torch.lerp(plane(1, 0), plane(1, 1), fade(x).expand(shape))
    return math.sqrt(2) * torch.lerp(above, below, fade(y).expand(shape))


# %% [markdown]
# The function of the course takes no loop over cells either, and computes what belongs to a row
# of the grid only once. ("Gradient" in the answer is the derivative, not the arrows of the grid.)
# It must give the same:

# %% tags=["nbval-check-output"]
angles = 2 * math.pi * torch.rand(5, 9, generator=torch.Generator().manual_seed(0))
gradients = torch.stack([angles.cos(), angles.sin()], dim=-1)
prove_equal(noise_from_scratch, anomaly.gradient_noise, gradients, (64, 96), tolerance=1e-5)

# %% [markdown]
# *Look at the scale of the blobs: the grid decides it. The two numbers need not be equal.*

# %%
grids = ((2, 2), (8, 8), (32, 32), (32, 2))
rng = np.random.default_rng(seed)
figure = plots.pixel_maps(
    {f"{r} x {c} cells": anomaly.perlin_noise((256, 256), (r, c), rng) for r, c in grids},
    diverging=True,
    label="noise",
    title="Few cells give large blobs, unequal ones give streaks",
)
plots.show(figure, "Perlin noise on grids of 2 x 2, 8 x 8, 32 x 32 and 32 x 2 cells")

# %% [markdown]
# ## The library that always draws the same
#
# There is a well-known package for this, called `noise`, and blog posts use its `pnoise2` to draw
# masks. It is written in C and fast. But its gradients come from a table that was fixed once and
# for all: what changes the picture is *where* you look, and an offset called `base`.


# %% tags=["nbval-check-output"]
def from_library(side=64, scale=10.0, base=0):
    return np.array(
        [[pnoise2(y / scale, x / scale, base=base) for x in range(side)] for y in range(side)]
    )


np.random.seed(1)  # noqa: NPY002
first = from_library()
np.random.seed(2)  # noqa: NPY002
second = from_library()
print("another seed, the same picture:", np.array_equal(first, second))
print("another base, the same picture:", np.array_equal(first, from_library(base=7)))
print("values at the points of the grid:", np.unique(np.abs(first[::10, ::10])))

# %% [markdown]
# A training on such masks sees its defects at **one** place, a thousand times. The third line
# shows a property of all gradient noise: at its own grid points it is 0.
#
# ## From noise to a mask
#
# MemSeg, and DRAEM before it, make a mask in three steps: noise on a grid whose sides are drawn
# from 1, 2, 4, ..., 32 cells; a turn by any angle up to 90 degrees; and everything above ½ is
# anomaly.

# %%
shape = (256, 256)
rng = np.random.default_rng([seed, 3])
steps = {}
for rows, columns in ((4, 4), (16, 2)):
    noise = anomaly.perlin_noise(shape, (rows, columns), rng)
    turn = cv2.getRotationMatrix2D((127.5, 127.5), rng.uniform(-90, 90), 1.0)
    turned = cv2.warpAffine(noise, turn, shape)
    grid = f"{rows} x {columns}"
    steps |= {f"{grid}: noise": noise, f"{grid}: turned": turned, f"{grid}: mask": turned > 0.5}
figure = plots.pixel_maps(
    steps, diverging=True, columns=3, label="noise, or mask", title="Noise, turned, cut off at 1/2"
)
plots.show(
    figure, "Two fields of noise, each turned about its center, and the masks above one half"
)

# %% [markdown]
# On a grid of a single cell more than half of the draws stay below ½. *How often is nothing left?*

# %%
draws = lesson.pick(smoke=200, laptop=2000, full=10_000)
rng = np.random.default_rng([seed, 4])
empty = {}
for cells in (1, 2, 4, 8):
    fields = anomaly.perlin_noise((64, 64), (cells, cells), rng, count=draws)
    empty[f"{cells} x {cells} cells"] = float((fields.max(axis=(1, 2)) <= 0.5).mean())
empty["grid drawn, turned"] = anomaly.empty_mask_chance((256, 256), rng, draws=draws)
figure = plots.bars(
    empty, xlabel="share of empty masks", fmt="{:.1%}", title="Coarse grids often stay below 1/2"
)
plots.show(figure, "Share of empty masks for grids of 1, 2, 4 and 8 cells, and as published")
record_metric("empty/published", empty["grid drawn, turned"])

# %% [markdown]
# About one mask in twenty is empty, and MemSeg's public re-implementations call the image
# *anomalous* all the same (DRAEM's code relabels it as good). The loss of each pixel does not
# mind: it sees an unchanged image and a mask of zeros. But the batch has fewer anomalies than it
# says, and whoever trains or counts by the label of the image is misled. `perlin_mask` draws
# again until a wanted share of the image is covered.
#
# Play with grid, threshold and opacity. *Which combinations look like a defect to you?*


# %%
def fake(cells_down, cells_across, threshold, opacity):
    rng = np.random.default_rng([seed, 5])
    picture = pictures[0]
    noise = anomaly.perlin_noise(picture.shape[:2], (cells_down, cells_across), rng)
    mask = (noise > threshold).astype(np.uint8)
    source = anomaly.procedural_texture(picture.shape[:2], rng)
    result = anomaly.blend(picture, source, mask, opacity)
    return plots.montage(
        [picture, picture, source, result],
        masks=[None, mask, None, None],
        titles=["good", "mask", "source", "spoiled"],
    )


# %%
cells = [1, 2, 4, 8, 16, 32]
explore(
    fake,
    alt="A good image, a mask, a source, and the spoiled image",
    fallback=[
        dict(cells_down=4, cells_across=4, threshold=0.5, opacity=1.0),
        dict(cells_down=16, cells_across=2, threshold=0.3, opacity=0.4),
    ],
    cells_down=cells,
    cells_across=cells,
    threshold=(0.0, 0.8, 0.1),
    opacity=(0.1, 1.0, 0.1),
)

# %% [markdown]
# ## On the object, not beside it
#
# A defect in mid-air teaches a network nothing, except to look at the background. So the mask is
# multiplied by the **foreground**. It comes from a threshold; the paper adds an *opening*, which
# takes dust away, and a *closing*, which fills reflexes. The two are missing from the public code.
#
# We put a round part on a bright and on a dark ground, with dust and a reflex. The dust is the
# specks, about 3 pixels wide, that Otsu's threshold takes for pieces of the part. An opening with
# a square of 5 pixels takes them away, since it does not fit on them. The reflex is 13 pixels
# across, so the closing must be larger than the opening: we take 15. A smaller square, such as
# that of the opening, would fit into the hole, and the hole would stay.


# %%
def part_on(ground, brightness, rng):
    picture = np.full((256, 256), ground, np.float32)
    cv2.circle(picture, (128, 128), 92, brightness, -1)
    cv2.circle(picture, (100, 104), 6, ground, -1)  # a reflex, as bright as the ground
    for y, x in rng.integers(8, 248, (25, 2)):
        cv2.circle(picture, (int(x), int(y)), 1, brightness, -1)  # dust
    grain = 6 * rng.standard_normal(picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + grain, 0, 255).astype(np.uint8)


rng = np.random.default_rng(seed)
parts = {"bright ground": part_on(225, 90, rng), "dark ground": part_on(30, 150, rng)}
shown, titles = [], []
for name, part in parts.items():
    raw = anomaly.foreground_mask(part, opening=1, closing=1)
    clean = anomaly.foreground_mask(part, opening=5, closing=15)
    shown += [part, raw * 255, clean * 255]
    titles += [name, "Otsu's threshold", "opened and closed"]
figure = plots.montage(shown, titles=titles, columns=3, title="The object, without dust and holes")
plots.show(figure, "A part on bright and dark ground, its mask by threshold, and the cleaned mask")

# %% [markdown]
# Which side of the threshold is the object? `foreground_mask` looks at the border of the image,
# which shows ground, unless it is told. A widely copied notebook always takes the **dark** side,
# and hands OpenCV a flag that makes it ignore the threshold that was chosen with care. *Look at
# where its anomalies lie on the dark ground:*

# %%
shown, titles = [], []
for name, part in parts.items():
    published = anomaly.foreground_mask(part, bright=False, opening=1, closing=1)
    ours = anomaly.foreground_mask(part, opening=5, closing=15)
    for who, region in (("always the dark side", published), ("found by the border", ours)):
        mask = anomaly.perlin_mask(
            part.shape, np.random.default_rng(seed + 8), foreground=region, area=(0.02, 0.3)
        )
        shown.append((part, mask))
        titles.append(f"{name}: {who}")
figure = plots.montage(
    [part for part, _ in shown],
    masks=[mask for _, mask in shown],
    titles=titles,
    columns=2,
    title="On dark ground, the published rule spoils the ground",
)
plots.show(figure, "Masks on the part for both grounds, by the published rule and by ours")

# %% [markdown]
# Surfaces that fill the image have no foreground at all: there an anomaly may lie anywhere, and we
# leave it out.
#
# ## What fills the mask
#
# Two sources, equally likely. **Texture**: a picture of something else. The papers take the
# Describable Textures (DTD); where they are not at hand, we make textures from noise.
# **Structure**: the image itself, mirrored, turned, in other colors, then cut into 4 x 8 tiles
# that are shuffled. Everything in it is real, and nothing is where it belongs.

# %%
rng = np.random.default_rng([seed, 6])
picture = pictures[1]
textures = [anomaly.procedural_texture(shape, rng, pattern=name) for name in anomaly.PATTERNS]
changed = anomaly.change_appearance(picture, rng)
disorder = anomaly.shuffle_tiles(changed, rng.permutation(32), rows=4, columns=8)
published = anomaly.pitfall_structure_source(picture, rng)
figure = plots.montage(
    [*textures, picture, changed, disorder, published],
    titles=[*anomaly.PATTERNS, "the image", "changed", "4 x 8 tiles", "published code"],
    columns=5,
    title="Six kinds of texture, and the image in disorder",
)
plots.show(figure, "Procedural textures, an image, the image changed, shuffled, and as published")

# %% [markdown]
# The last picture is what the public code does instead: three drawn from ten augmenters (one of
# the ten inverts), and a grid of 8 x 8. That is a fair choice, too. It is only not the paper's,
# and whoever compares with the paper should know.
#
# ## Blend
#
# Image $I$, source $I_n$, mask $M$, and an opacity $\delta$ between .15 and 1:
#
# $$I_A = (1 - M)\,I + M\,\bigl(\delta\, I_n + (1 - \delta)\, I\bigr)$$
#
# Outside of the mask, not one pixel changes. That makes $M$ the ground truth. Inside, some pixels
# change so little that nobody could see it, and they are called anomalous all the same: a label
# needs a rule that does not depend on the beholder. *From left to right, the same anomaly fades:*

# %%
rng = np.random.default_rng([seed, 7])
mask = anomaly.perlin_mask(picture.shape[:2], rng, area=(0.04, 0.2))
levels = (1.0, 0.6, 0.3, 0.15)
figure = plots.montage(
    [
        anomaly.blend(picture, cv2.resize(textures[3], picture.shape[1::-1]), mask, d)
        for d in levels
    ],
    titles=[f"opacity {d}" for d in levels],
    title="One anomaly at four opacities",
)
plots.show(figure, "The same anomaly blended with opacity 1, 0.6, 0.3 and 0.15")

# %% tags=["nbval-check-output"]
flat, other = np.full((64, 64), 100, np.uint8), np.full((64, 64), 200, np.uint8)
hole = np.zeros((64, 64), np.uint8)
hole[10:20, 30:50] = 1
blended = anomaly.blend(flat, other, hole, 0.25)
print("inside", np.unique(blended[hole == 1]), "outside", np.unique(blended[hole == 0]))
changed_pixels = blended != flat
print("changed pixels are the mask:", np.array_equal(changed_pixels, hole == 1))

# %% [markdown]
# ## Batches for a training
#
# MemSeg trains on batches of eight: four good images, four spoiled. `SimulatedAnomalies` holds
# each good image twice, once as it is and once with an anomaly, and `BalancedBatches` deals them
# out. An anomaly depends on seed, pass and index, and on nothing else. That matters more than it
# seems: a generator that the data set keeps, or a library's own, is copied into every worker, and
# unless each is seeded anew *all draw the same anomalies*.

# %% tags=["nbval-check-output"]
spoiling = SimulatedAnomalies(
    CachedDataset(open_dataset("synthetic", size=64, frequency=0.0, length=16))
)
batches = BalancedBatches(spoiling, batch_size=8)
seen = {}
for workers in (0, 2):
    batches.set_epoch(0)
    loader = DataLoader(spoiling, batch_sampler=batches, num_workers=workers)
    seen[workers] = list(loader)
first_batch = seen[0][0]
print("labels of a batch:", first_batch.label.tolist())
equal = all(torch.equal(a.image, b.image) for a, b in zip(seen[0], seen[2], strict=True))
print("with two workers, the same:", equal)
again = next(iter(DataLoader(spoiling, batch_sampler=batches)))  # the next pass
print("the next pass, the same:", torch.equal(again.image, first_batch.image))

# %%
data = SimulatedAnomalies(good, synthesizer, seed=seed)
batch = next(iter(DataLoader(data, batch_sampler=BalancedBatches(data, batch_size=8))))
figure = plots.montage(
    list(batch.image), masks=[None] * 4 + list(batch.mask[4:]), title="One batch: 4 good, 4 spoiled"
)
plots.show(figure, "A batch of four good images and four with simulated anomalies, masks drawn")

# %% [markdown]
# ## How real are the fakes?
#
# Look first, then count. Above are defects that the data set itself shows, below are our fakes,
# and below each image the same one with the defect marked. (The "real" defects of the synthetic
# surfaces are made, too, but by a program that knows materials: cracks follow the grain, dents
# have light and shade. On `mvtec_ad/bottle` they are as real as can be.)

# %%
defect_options = dict(frequency=1.0) if dataset == "synthetic" else {}
test = open_dataset(dataset, "test", size=size, seed=seed, **defect_options)
wanted = lesson.pick(smoke=12, laptop=150, full=400)
samples = (test[index] for index in np.random.default_rng(seed).permutation(len(test)).tolist())
real = list(islice((sample for sample in samples if (sample.mask > 0).any()), wanted))
fakes = [data[1, len(good) + (i + 5) % len(good)] for i in range(4)]
shown, masks, titles = [], [], []
for kind, row in (("defect", real[:4]), ("simulated", fakes)):
    shown += 2 * [sample.image for sample in row]
    masks += [None] * len(row) + [sample.mask > 0 for sample in row]
    titles += [kind] * len(row) + ["where"] * len(row)
figure = plots.montage(
    shown, masks=masks, titles=titles, title="Defects of the data set, then simulated ones"
)
plots.show(figure, "Four images with defects, four with simulated anomalies, and where they are")

# %% [markdown]
# Two numbers for each image. How much of it is defect? And how strongly does the defect differ from
# its surroundings: the difference of the mean gray inside and in a ring around it, in units of the
# spread of the gray in that ring. *Below, all images sorted by each number.*


# %%
def area_and_contrast(sample):
    gray = sample.image.mean(0).numpy()
    inside = (sample.mask > 0).numpy()
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    ring = grown & ~inside
    if not ring.any():
        return None
    difference = abs(gray[inside].mean() - gray[ring].mean())
    return 100 * inside.mean(), difference / max(gray[ring].std(), 1 / 255)


# %%
simulated = [data[n, len(good) + i] for n in range(4) for i in range(len(good))][: len(real)]
numbers = {
    name: np.array([pair for pair in map(area_and_contrast, found) if pair is not None])
    for name, found in (("defects", real), ("simulated", simulated))
}
for column, what in enumerate(("area, % of the image", "contrast to the surroundings")):
    x = {name: np.linspace(0, 100, len(pairs)) for name, pairs in numbers.items()}
    y = {name: np.sort(np.maximum(pairs[:, column], 1e-2)) for name, pairs in numbers.items()}
    title = f"{what[0].upper()}{what[1:]}: defects and fakes"
    figure = plots.lines(x, y, xlabel="% of the images", ylabel=what, logy=True, title=title)
    plots.show(figure, f"Sorted {what} of defects and simulated anomalies")
for name, pairs in numbers.items():
    record_metric(f"{name}/area", np.median(pairs[:, 0]), unit="%")
    record_metric(f"{name}/contrast", np.median(pairs[:, 1]))

# %% [markdown]
# In the stored run the fakes and the defects are worlds apart in size: half of the defects cover
# less than .5 % of the image, half of the fakes more than 4.5 %. The fakes stand out less, too:
# their median contrast is less than half of that of the defects. A low opacity and tiles from the
# same image may be why; we have not tested it. So the simulation is not *like* the defects:
# nearly all fakes cover a few per cent of the image, while defects run from a few pixels to a
# fifth of it. Does it help all the same? These curves cannot tell. Lesson 06 asks a network that
# has seen nothing but fakes, and scores it on defects.
#
# Two ways to come closer, both arguments of `AnomalySynthesizer`: a smaller `area`, and `sources`
# that look like what may go wrong. But whoever tunes them until the curves agree has used the
# defects of the **test** images to make the training data, and should say so.
#
# ## Exercises

# %%
exercise("draw_until")


# %%
def draw_until(draw, lowest):
    return ...


exercise("draw_until").check(draw_until)

# %%
exercise("blend")


# %%
def blend(image, source, mask, opacity):
    return ...


exercise("blend").check(blend)

# %%
exercise("clean_foreground")


# %%
def clean_foreground(mask):
    return ...


exercise("clean_foreground").check(clean_foreground)

# %%
exercise("shuffle_tiles")


# %%
def shuffle_tiles(image, order, rows, columns):
    return ...


exercise("shuffle_tiles").check(shuffle_tiles)

# %% [markdown]
# ## Recap
#
# - Perlin noise: gradients on a grid, four planes, one fade curve. The grid sets the size of blobs.
# - `pnoise2` has no seed: same arguments, same picture.
# - A twentieth of the masks of the public code is empty. Draw again, or relabel, but do not
#   ignore it.
# - Keep anomalies on the object: threshold, the right side of it, opening, closing.
# - The mask is the label, even where nothing can be seen.
# - Draw by seed, pass and index, and workers cannot repeat each other.
#
# Lesson 05 builds the network that learns from such images: MemSeg.
#
# ## Quiz

# %%
quiz("04")

# %% [markdown]
# ## References
#
# - K. Perlin: *Improving noise*, SIGGRAPH 2002.
# - V. Zavrtanik, M. Kristan, D. Skočaj: *DRAEM: a discriminatively trained reconstruction embedding
#   for surface anomaly detection*, ICCV 2021.
# - M. Yang, P. Wu, H. Feng: *MemSeg: a semi-supervised method for image surface defect detection
#   using differences and commonalities*, Engineering Applications of Artificial Intelligence 2023.
# - M. Cimpoi and others: *Describing textures in the wild*, CVPR 2014 (DTD).
# - N. Otsu: *A threshold selection method from gray-level histograms*, IEEE Transactions on
#   Systems, Man, and Cybernetics 1979.
