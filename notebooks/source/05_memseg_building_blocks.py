# ---
# jupyter:
#   course:
#     title: MemSeg building blocks
#     summary: Remember thirty good parts and look at what differs; each block written, proven equal, and asked what it is worth.
#     minutes_reading: 55
#     minutes_exercises: 45
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
# # 05 · MemSeg building blocks
#
# **How can a network know what is wrong, when all it was ever shown is what is right?**
#
# After this lesson you can
#
# - say what an encoder hands on at five scales, and what *frozen* must mean;
# - find the nearest of 30 remembered images, and measure when such a memory is worth having;
# - follow every block of MemSeg in short code that is proven equal to the package: memory, spatial maps,
#   coordinate attention, fusion and decoder (look-up and maps you write yourself);
# - test whether a block earns its place, with controls and more than one seed;
# - recognize three mistakes of published code, and a fourth that is easy to make.
#
# You need lessons 01 and 03, and the idea of lesson 04: defects that are made, not found. About 55
# minutes of reading and 45 of exercises. Running all cells takes about 5 minutes of a CPU core, most of
# them in section 8.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic_product/plate"  # or "mvtec_ad/bottle", "kolektor_sdd", "folder:<path>"
seed = 0

# %%
from collections import namedtuple
from copy import deepcopy
from itertools import pairwise

import numpy as np
import torch
from einops import rearrange
from torch import nn
from torch.nn import functional as F

from course_utils import plots
from course_utils.data import is_synthetic, open_dataset
from course_utils.evaluation import average_precision, pixel_auroc
from course_utils.lessons import (
    challenge, exercise, explore, predict, predictions, prove_equal, quiz, record_metrics,
    show_real_photographs, start_lesson,
)  # fmt: skip
from course_utils.models import EfficientNetEncoder, ResNetEncoder
from course_utils.models.memseg import (
    CoordinateAttention, MemoryBank, MemSeg, MemSegDecoder, MultiScaleFeatureFusion,
    spatial_attention,
)  # fmt: skip
from course_utils.trainers import MemSegConfig, MemSegTrainer, open_normal_splits

lesson = start_lesson("05_memseg_building_blocks", profile=profile, dataset=dataset, seed=seed)

# %% [markdown]
# ## 1 · Something to compare with
#
# *6 minutes.* Hand somebody a part and ask: is it good? They take a good one from the shelf, hold the two
# side by side, and look at what differs. MemSeg (2022, in print 2023) works like this. Its shelf is
# called the **memory**: it holds 30 good images, and no image with a defect is needed to fill it.
#
# Two kinds of things are inspected. On a **surface** places mean nothing: what is normal at one place of a
# sheet of steel is normal at any other. A **product** has places: this plate has a small hole in each
# corner, and each belongs where it is. We look at both, and at one defect by itself: a small hole that is
# **missing**. (The images with defects serve to look at and to measure; nothing is learned from them.)

# %%
size = lesson.pick(smoke=64, laptop=128, full=256)


def pick(name, part, wanted, *, defective, **options):
    """Images of a data set in random order; of parts that were photographed twice only one."""
    options = options | {"frequency": float(defective)} if is_synthetic(name) else {}
    images = open_dataset(name, part, size=size, seed=seed, **options)
    found = {}
    for index in np.random.default_rng(seed).permutation(len(images)).tolist():
        sample = images[index]
        if bool(sample.mask.any()) == defective:
            found.setdefault(sample.group, sample)
        if len(found) == wanted:
            break
    return list(found.values())


# %%
Case = namedtuple("Case", "good_images images masks kinds")


def read(name, **options):
    good = pick(name, "train", 60, defective=False, **options)
    bad = pick(name, "test", lesson.pick(smoke=8, laptop=32, full=60), defective=True, **options)
    if not good or not bad:
        raise ValueError(f"{name}: wants good images for training, defects with masks for testing")
    return Case(
        torch.stack([sample.image for sample in good]),  # (60, C, H, W)
        torch.stack([sample.image for sample in bad]),  # (N, C, H, W)
        torch.stack([sample.mask > 0 for sample in bad]),  # (N, H, W)
        np.array([sample.label for sample in bad]),  # (N,), the class of the defect
    )


product = dataset.split(":")[0].removeprefix("synthetic_")
cases = {
    product: read(dataset),
    "a missing hole": read("synthetic_product/plate", defects=["missing_hole"]),
    "brushed steel": read("synthetic", surfaces=["brushed_steel"]),
}
for name, case in cases.items():
    print(f"{name}: {len(case.good_images)} good images, {len(case.images)} with defects")

# %% [markdown]
# *Find the defect in each middle image before you look at the right one. For which of them did you need
# the good image on the left?*

# %% tags=["hide-input"]
pictures, marks, titles = [], [], []
for name, case in cases.items():
    by_size = case.masks.flatten(1).sum(1).argsort(descending=True).tolist()
    place = by_size[0 if titles else len(by_size) // 2]
    good = case.good_images[len(titles) % len(case.good_images)]
    pictures += [good, case.images[place], case.images[place]]
    marks += [None, None, case.masks[place]]
    titles += ["good", "with a defect", name]
figure = plots.montage(
    pictures,
    masks=marks,
    titles=titles,
    columns=3,
    title="A good image, one with a defect, and where it is",
)
plots.show(figure, "Good images and images with defects of a product and a surface, with the masks")

# %% [markdown]
# Photographs of a real product, if they are on your machine:

# %%
show_real_photographs("kolektor_sdd")

# %% [markdown]
# ## 2 · The encoder: five scales
#
# *6 minutes.* Two parts never lie in exactly the same place, and no two surfaces have the same grain. So
# MemSeg does not compare pixels (section 4 tries it). It compares **features**: the numbers that the inner
# layers of a network compute which has been trained to name the objects in a million photographs (ImageNet).
#
# The network is called the **encoder**. In the paper it is a ResNet-18. We use EfficientNet-Lite0, as
# `course train memseg` does: its ImageNet weights come with the course, while those of ResNet-18 have
# to be downloaded. On its way it halves the image five times, and at each scale we keep a **feature map**,
# f0 to f4. It has many channels and fewer pixels than the image; we call its pixels **cells**.

# %% tags=["nbval-check-output"]
encoder = EfficientNetEncoder().eval()
print("weights:", encoder.weights_used)
with torch.no_grad():
    maps = encoder(torch.rand(1, 3, 256, 256))
for name, f in zip(("f0", "f1", "f2", "f3", "f4"), maps):
    side = f.shape[2]
    print(f"{name}: {f.shape[1]:3d} channels, {side:3d} x {side} cells of {256 // side} px")

# %% [markdown]
# *Of each map we draw the channel that varies most. (Our images have 128 pixels, so each map has half the
# side of the table.) A small hole of the plate is about 10 pixels wide. From which scale on is it hardly
# larger than a cell?*

# %% tags=["hide-input"]
example = int(cases[product].masks.flatten(1).sum(1).argmax())
with torch.no_grad():
    maps = encoder(cases[product].images[example : example + 1])
strongest = {}
for name, f in zip(("f0", "f1", "f2", "f3", "f4"), maps):
    channel = int(f[0].flatten(1).std(1, correction=0).argmax())
    strongest[f"{name}, channel {channel}"] = f[0, channel]
figure = plots.pixel_maps(
    strongest,
    pictures={
        "image": plots.overlay(cases[product].images[example], cases[product].masks[example])
    },
    shared=False,
    columns=3,
    label="feature",
    title="The same image at five scales",
)
plots.show(figure, "An image, and one channel of each of the five feature maps")

# %% [markdown]
# From f2 on, with cells of 8 pixels: a cell then says that something is there, and hardly its outline.
#
# The memory is made of f1, f2 and f3: its **levels** 1, 2 and 3. They never change (they are **frozen**), since
# a remembered feature and a new one can only be compared if the same network has made both. f4 goes to
# the decoder, past the memory, and is free to learn.
#
# Here is the whole network. The next sections build it box by box: memory and differences (3, 4),
# spatial maps (5), the attention of the fusion (6), fusion and decoder (7). *How often does the memory
# get a say?*

# %% tags=["hide-input"]
boxes = {
    "image": (0, 1), "encoder": (1, 1), "join": (2, 1), "fusion": (3, 1), "weigh": (4, 1),
    "decoder": (5, 0), "f0 and f4": (1, 0), "answer": (5, 1), "memory": (1, 2),
    "differences": (2, 2), "spatial maps": (4, 2),
}  # fmt: skip
arrows = [
    ("image", "encoder", "3 · 256"),
    ("encoder", "join", "24 · 64\n40 · 32\n112 · 16"),
    ("encoder", "memory", "f1, f2, f3"),
    ("memory", "differences", "nearest\nof 30"),
    ("differences", "join", "as f1, f2, f3"),
    ("join", "fusion", "48 · 64\n80 · 32\n224 · 16"),
    ("fusion", "weigh", "24 · 64\n40 · 32\n112 · 16"),
    ("differences", "spatial maps", "as f1, f2, f3"),
    ("spatial maps", "weigh", "1 · 64, 32, 16"),
    ("weigh", "decoder"),
    ("encoder", "f0 and f4"),
    ("f0 and f4", "decoder", "16 · 128 and 320 · 8"),
    ("decoder", "answer", "2 · 256"),
]
figure = plots.flow_chart(
    boxes, arrows, strong=["memory"], title="MemSeg: channels · side in cells, for 256 x 256 pixels"
)
plots.show(figure, "Boxes and arrows: encoder, memory, fusion, spatial maps and decoder of MemSeg")

# %% [markdown]
# Twice: its differences are joined to the features, one tensor after the other along the channels, and
# as spatial maps they weigh the fused features.

# %%
Features = namedtuple("Features", "good new")  # each a list of f1, f2, f3: (N, C, h, w)


@torch.no_grad()
def three_levels(images):
    parts = [encoder.first_four(part)[1:] for part in images.split(8)]
    return [torch.cat(level) for level in zip(*parts)]


features = {
    name: Features(three_levels(case.good_images), three_levels(case.images))
    for name, case in cases.items()
}
floats = sum(level[0].numel() for level in features[product].good)
print(f"one image in the memory: {floats:,} numbers, for {3 * size * size:,} in its pixels")

# %% [markdown]
# ## 3 · The memory, from scratch
#
# *12 minutes.* How far is a new image from a remembered one? At each level, take the mean of the squared
# differences of all features. Then add up the three levels. The remembered image with the smallest sum
# is the **nearest**. What is handed on is how each single feature differs from it:
#
# $$\text{distance}_j = \sum_{i=1}^{3} \frac{1}{|f_i|} \| f_i - m_{i,j} \|^2,
# \qquad D_i = (f_i - m_{i,n})^2 .$$
#
# Here $|f_i|$ is how many numbers a level holds, and $n$ is the memory $j$ with the smallest distance.


# %%
class OurMemory:
    def __init__(self, levels):
        self.levels = levels  # of each level (M, C, h, w)

    def best_differences(self, features):
        """Loops over images and memories: slow, and easy to check."""
        found = []
        for f in zip(*features):  # the three maps of one image
            distances = [
                sum((a - b).square().mean() for a, b in zip(f, m)) for m in zip(*self.levels)
            ]
            n = int(torch.stack(distances).argmin())
            found.append([(a - level[n]).square() for a, level in zip(f, self.levels)])
        return [torch.stack(level) for level in zip(*found)]  # D1, D2, D3


def flat(maps):
    """Several maps as one tensor: `prove_equal` compares single tensors."""
    return torch.cat([one.flatten() for one in maps])


# %% tags=["nbval-check-output"]
rng = torch.Generator().manual_seed(0)
shapes = ((8, 16, 16), (16, 8, 8), (32, 4, 4))
remembered = [torch.rand(5, *shape, generator=rng) for shape in shapes]
few = [torch.rand(3, *shape, generator=rng) for shape in shapes]
ours, bank = OurMemory(remembered), MemoryBank()
bank.fill(remembered)


def best_differences(*features):
    return flat(bank.best_differences(features))


prove_equal(lambda *f: flat(ours.best_differences(f)), best_differences, *few, tolerance=1e-5)

# %% [markdown]
# `MemoryBank` has no loop over images and memories, since
# $\| f - m \|^2 = \| f \|^2 - 2 f \cdot m + \| m \|^2$. The first term is the same for all memories, the
# last one is known beforehand, and all the $f \cdot m$ of a batch are one product of two matrices.
#
# The formula above is that of a public re-implementation, `TooTouch/MemSeg`. As far as we know the paper
# (its full text was not at hand), it adds up all elements without $1/|f_i|$, so that level 1 counts
# more (`nearest="joint_sum"`), and writes a norm where that code squares (`difference="absolute"`). Another
# code looks for a nearest image of *each level* (`"per_level"`). All are options of `MemoryBank`; what they
# change is measured at the end of section 4.
#
# ### Exercise: the nearest image

# %%
exercise("nearest_image")


# %%
def nearest_image(memory, features):
    return ...


exercise("nearest_image").check(nearest_image)

# %% [markdown]
# ## 4 · Why a memory?
#
# *20 minutes.* A memory costs work: someone must collect good images, and keep them. So let us see what
# one gets without it. A defect can be unusual **within its own image**: take the mean of all cells, and
# see how far each cell is from it. No other image is needed.

# %% tags=["hide-input"]
missing = predict(
    "A plate has a small hole in each of its four corners, and one is missing: there is plain metal in its "
    "place. We mark each cell by the distance of its features from the mean of its own image. How often "
    "does a pixel of the missing hole lie higher than another pixel? (1 is perfect, .5 is chance.)",
    ["more than .9", "between .8 and .9", "less than .8"],
)
on_steel = predict(
    "And on brushed steel, where places mean nothing: does the nearest of 30 remembered images show the "
    "defects better than the mean of the image itself?",
    ["yes, by as much as on the product", "yes, but by less than on the product", "no"],
)

# %% [markdown]
# The number of the question is the **pixel AUROC** of an image, the area under the ROC curve of its
# pixels (lesson 01): take a pixel of the defect and another pixel of the image, at random; how often does
# the defect have the higher value? We take the median over the images.


# %%
def at_full_size(maps):
    """(N, h, w) -> (N, H, W)"""
    return F.interpolate(maps[:, None], size=(size, size), mode="bilinear")[:, 0]


def auroc_of_each(maps, masks):
    """(N, h, w), (N, H, W) -> the pixel AUROC of each image, (N,)."""
    pairs = zip(at_full_size(maps).numpy(), masks.numpy())
    return np.array([pixel_auroc(one[None], mask[None]) for one, mask in pairs])


# %% [markdown]
# We compare nine references, all at level 2: the image's **own mean**; the **nearest** of 1, 3, 10 and 30
# good images. Two controls for *nearest*: **one** of the 30 **at random** for each new image, and the
# **mean** of the 30. Last, **each cell chooses** its image among the 30, first at the **same place**,
# then **anywhere**: it is compared with all cells of all 30 images, as nearest patches are (Roth and
# others), and so does not know places. From the nearest image to *anywhere* two things change: each cell
# chooses, and the place is forgotten. *Same place* changes the first alone.


# %%
def nearest_anywhere(f, stored):
    """Squared distance of each cell to the nearest stored cell: (N, C, h, w) -> (N, h, w)."""
    cells = rearrange(f, "n c h w -> n (h w) c")
    known = rearrange(stored, "m c h w -> (m h w) c")
    nearest = torch.stack([torch.cdist(one, known).amin(1) for one in cells])
    return (nearest.square() / f.shape[1]).view(len(f), *f.shape[2:])


def differences(features, order):
    """D1, D2 and D3 with the good images `order` as the memory."""
    bank = MemoryBank()
    bank.fill([level[order] for level in features.good])
    return bank.best_differences(features.new)


# %%
def reference_maps(features, rng):
    """Level 2 and each kind of reference; `rng` draws which 30 good images are remembered."""
    f, good = features.new[1], features.good[1]
    order = torch.randperm(len(good), generator=rng)[:30]
    one_each = order[torch.randint(len(order), (len(f),), generator=rng)]
    maps = {
        "own mean": (f - f.mean((2, 3), keepdim=True)).square().mean(1),
        "one at random": (f - good[one_each]).square().mean(1),
        "mean of 30": (f - good[order].mean(0)).square().mean(1),
    }
    for count in (1, 3, 10, 30):
        maps[f"nearest of {count}"] = differences(features, order[:count])[1].mean(1)
    of_each = torch.stack([(f - stored).square().mean(1) for stored in good[order]])
    maps["cell by cell, same place"] = of_each.amin(0)
    return maps | {"cell by cell, anywhere": nearest_anywhere(f, good[order])}


memory_seeds = range(seed, seed + lesson.pick(smoke=2, laptop=5, full=5))
clear = {name: {} for name in cases}
for name, case in cases.items():
    for draw in memory_seeds:
        maps = reference_maps(features[name], torch.Generator().manual_seed(draw))
        for reference, one in maps.items():
            found = np.median(auroc_of_each(one, case.masks))
            clear[name].setdefault(reference, []).append(found)

# %% tags=["hide-input"]
of_cells = ("nearest of 30", "cell by cell, same place", "cell by cell, anywhere")
of_images = [reference for reference in clear[product] if reference not in of_cells[1:]]
for title, references in (
    ("What to compare with: one reference for all cells of an image", of_images),
    ("One image for all cells, or one for each cell, of the same 30", of_cells),
):
    figure = plots.seed_dots(
        {name: {one: rows[one] for one in references} for name, rows in clear.items()},
        xlabel="pixel AUROC at level 2: median over images, a dot for each draw of the memory",
        title=title,
    )
    plots.show(figure, f"{title}: pixel AUROC on a product, on missing holes and on a surface")
middle = {name: {k: np.median(v) for k, v in rows.items()} for name, rows in clear.items()}
slugs = dict(zip(cases, ("product", "missing_hole", "surface")))
kept = {"own mean": "own", "one at random": "random", "nearest of 30": "nearest",
        "cell by cell, same place": "same_place", "cell by cell, anywhere": "patch"}  # fmt: skip
record_metrics(
    {
        f"auroc/{slugs[name]}/{kept[reference]}": rows[reference]
        for name, rows in middle.items()
        for reference in kept
    },
    note="median over images and draws of the memory",
)

# %% tags=["hide-input", "cover"]
hole, seen = cases["a missing hole"], features["a missing hole"]
four = list(range(min(4, len(hole.images))))
own = (seen.new[1] - seen.new[1].mean((2, 3), keepdim=True)).square().mean(1)
with_memory = differences(seen, slice(30))[1].mean(1)
figure = plots.heat_maps(
    [hole.images[i] for i in four],
    [hole.masks[i] for i in four],
    {
        "own mean": at_full_size(own)[four],
        "memory of 30": at_full_size(with_memory)[four],
    },
    title="A missing hole is not unusual metal: only a good plate tells that it is missing",
)
plots.show(figure, "Four plates with a missing hole: distance to their own mean, and to a memory")

COUNTS = [1, 3, 10, 30]
every = {count: differences(features[product], slice(count)) for count in COUNTS}
tops = [float(np.quantile(every[1][level].mean(1), 0.999)) for level in range(3)]

# %%
at = middle["a missing hole"]
on_plate = (hole.images.mean(1) > 0.35) | hole.masks  # the plate is bright, and the cloth dark
alone = [
    pixel_auroc(one[on][None].numpy(), mask[on][None].numpy())
    for one, mask, on in zip(at_full_size(own), hole.masks, on_plate)
]
print(f"own mean, a missing hole, on the pixels of the plate alone: {np.median(alone):.2f}")
missing.reveal(
    "more than .9" if at["own mean"] > 0.9
    else "between .8 and .9" if at["own mean"] >= 0.8 else "less than .8",
    f"It is {at['own mean']:.2f}: what lights up are the edges of the holes that are there. With one good "
    f"image it is {at['nearest of 1']:.3f}, and {at['one at random']:.3f} with one at random of 30.",
)  # fmt: skip
gains = {name: at["nearest of 30"] - at["own mean"] for name, at in middle.items()}
on_steel.reveal(
    "no" if gains["brushed steel"] <= 0
    else "yes, but by less than on the product" if gains["brushed steel"] < gains[product]
    else "yes, by as much as on the product",
    f"It changes the AUROC by {gains['brushed steel']:+.3f} on steel, and by {gains[product]:+.3f} on the product.",
)  # fmt: skip

# %% [markdown]
# In the stored run:
#
# - **On the plate a memory is needed.** The image's own mean has an AUROC of .64. One good image gives
#   .90, the nearest of 30 gives .97, and all five draws of 30 lie above all draws of one. Choosing the
#   *nearest* is worth it: one at random of the same 30 stays at .89, and their mean at .92.
# - **The missing hole needs a good image, but not a memory of 30.** One at random has .996 already. The
#   own mean has .72, most of it from dark cloth against metal: on the pixels of the plate alone it is
#   .53, which is chance. Cells that choose anywhere are lower (.979): plain metal is found elsewhere on a
#   plate. It is the place that they lack: choosing at the same place gives .999 again.
# - **On steel a memory of whole images hardly earns its place.** One good image is *worse* than none (.76
#   against .90), and it takes 30 to gain .02. Letting each cell choose gains .05 over the own mean,
#   whether the place counts or not.
# - **Choosing cell by cell, at the same place,** lies above the nearest image in all five draws on the plate
#   and on steel, and is as good on the hole (.999 both). Whole images choose too coarsely, and cells that
#   look anywhere forget the place.
#
# The images of all draws are the same. With other test images all numbers would move. From here on the
# memory is the first 30 good images.
#
# *Now turn the two knobs: how many images are remembered, and at which level we look. Watch the plate
# around the defect: it gets darker, not the defect brighter. Why can a larger memory change nothing, as
# from 3 to 10 images below?* (The fixed image is a hard one, a shifted print. Its AUROC rises from .71 to
# .86, yet with 30 images, too, other places stand out more than the defect. With 10 images the nearest
# one is still the same as with 3.)


# %% tags=["hide-input"]
def show_memory(image, remembered, level):
    case, maps = cases[product], every[remembered][level - 1].mean(1)[image : image + 1]
    score = auroc_of_each(maps, case.masks[image : image + 1])[0]
    where = plots.overlay(case.images[image], case.masks[image])
    return plots.pixel_maps(
        {f"D{level}": at_full_size(maps)[0]}, pictures={"image": case.images[image], "where": where},
        label="squared difference", lower=0.0, limit=tops[level - 1],
        title=f"{remembered} remembered: pixel AUROC {score:.3f}",
    )  # fmt: skip


order = np.argsort(auroc_of_each(every[1][1].mean(1), cases[product].masks))
faint = int(order[len(order) // 4])
explore(
    show_memory,
    alt="An image, its defect, and its difference to the nearest remembered image",
    image=(0, len(cases[product].images) - 1, 1),
    remembered=COUNTS,
    level=[1, 2, 3],
    fallback=[{"image": faint, "remembered": count, "level": 2} for count in COUNTS],
)

# %% [markdown]
# And the other readings of the paper, one change at a time? Below them, for comparison, the nearest of 30
# images by **pixels**.

# %%
readings = {"as above": {}, 'nearest="joint_sum"': dict(nearest="joint_sum"),
            'nearest="per_level"': dict(nearest="per_level"),
            'difference="absolute"': dict(difference="absolute")}  # fmt: skip
for reading, options in readings.items():
    bank = MemoryBank(**options)
    bank.fill([level[:30] for level in features[product].good])
    found = bank.best_differences(features[product].new)
    row = [np.median(auroc_of_each(d.mean(1), cases[product].masks)) for d in found]
    print(f"{reading:22} AUROC of D1, D2, D3: " + "  ".join(f"{value:.3f}" for value in row))
bank = MemoryBank(num_levels=1)
bank.fill([cases[product].good_images[:30]])
(by_pixels,) = bank.best_differences([cases[product].images])
print(f"pixels: {np.median(auroc_of_each(by_pixels.mean(1), cases[product].masks)):.3f}")

# %% [markdown]
# In the stored run the plain sum gives the same numbers, and the other two readings change a level by at most
# .011, up or down. Other 30 images change D2 as much (.959 with these, .961 to .973 in the five draws above).
# So none of this is decisive here, but it should be said when results are compared. Pixels reach .85, less
# than any level of features.
#
# ### Exercise: the nearest patch, with a sense of place
#
# A remembered image compares each cell with the cell at the *same* place, and the nearest patch with
# cells *anywhere*. In between lies a small window: parts are shifted a little, but a hole does not
# travel across the plate.

# %%
exercise("nearest_patch")


# %%
def nearest_patch(memory, features, radius):
    return ...


exercise("nearest_patch").check(nearest_patch)

# %% [markdown]
# ## 5 · Why spatial maps?
#
# *14 minutes.* Now the second say of the differences: MemSeg multiplies its fused features by **spatial
# maps**, which are large where the image differs from the memory. The deepest map is the mean of $D_3$
# over its channels. Each finer one is its own mean times the deeper map in double size:
#
# $$M_3 = \overline{D_3}, \qquad M_2 = \overline{D_2} \cdot M_3{\uparrow}, \qquad
# M_1 = \overline{D_1} \cdot M_2{\uparrow} .$$
#
# Nothing in them is learned. $M_1$ is large only where all three levels differ; one level near 0 is
# enough to silence a place.


# %%
def doubled(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def our_maps(d1, d2, d3):
    m3 = d3.mean(1, keepdim=True)
    m2 = d2.mean(1, keepdim=True) * doubled(m3)
    m1 = d1.mean(1, keepdim=True) * doubled(m2)
    return [m1, m2, m3]


# %% tags=["nbval-check-output"]
levels = [torch.rand(2, 16, 16, 16), torch.rand(2, 32, 8, 8), torch.rand(2, 64, 4, 4)]


def spatial_maps_of_the_package(*d):
    return flat(spatial_attention(d))


prove_equal(lambda *d: flat(our_maps(*d)), spatial_maps_of_the_package, *levels)

# %% [markdown]
# Is a product the best way to let three levels agree? We compare it with the **sum** of the three maps,
# each divided by its mean so that all count. 32 images are few, so each median comes with its 95 %
# interval: we draw the images again with replacement, 1000 times (the **bootstrap**).


# %%
def compared(name):
    """Pixel AUROC of each image by each level, by the product, and by the sum."""
    d = differences(features[name], slice(30))
    means = [one.mean(1, keepdim=True) for one in d]
    scaled = [one / one.mean((2, 3), keepdim=True) for one in means]
    fine = means[0].shape[-2:]
    total = sum(F.interpolate(one, size=fine, mode="bilinear") for one in scaled)
    maps = {f"D{i + 1}": one for i, one in enumerate(means)}
    maps |= {"product (M1)": our_maps(*d)[0], "sum": total}
    return {what: auroc_of_each(one[:, 0], cases[name].masks) for what, one in maps.items()}


def interval(values):
    """Median, and the ends of its 95 % interval over images drawn with replacement."""
    draws = np.random.default_rng(0).choice(len(values), (1000, len(values)))
    low, high = np.quantile(np.median(values[draws], axis=1), [0.025, 0.975])
    return low, np.median(values), high


by_map = {name: compared(name) for name in (product, "brushed steel")}

# %% tags=["hide-input"]
figure = plots.seed_dots(
    {name: {what: interval(v) for what, v in rows.items()} for name, rows in by_map.items()},
    xlabel="pixel AUROC: dots at the lower end, median and upper end of the 95 % interval",
    title="Single levels, their product and their sum",
)
plots.show(figure, "Pixel AUROC of three levels, their product and their sum, with intervals")
for name, rows in by_map.items():
    print(f"{name}: the product, image by image,")
    for other in ("D1", "D2", "D3", "sum"):
        low, mid, high = interval(rows["product (M1)"] - rows[other])
        print(f"  less {other:3}  {mid:+.4f} ({low:+.4f} to {high:+.4f})")
record_metrics(
    {
        f"maps/{slug}/{what}": np.median(by_map[name][key])
        for name, slug in slugs.items()
        if name in by_map
        for what, key in (("product", "product (M1)"), ("sum", "sum"))
    },
    note="pixel AUROC, median over images",
)

# %% [markdown]
# In the stored run the joined maps have the highest medians. Image by image the product lies above level
# 1 and level 2 in both groups, and above level 3 on steel only: on the plate the interval against level 3
# includes 0 (-.010 to +.016). Against the sum the interval includes 0 in both groups. So these images do
# not show that multiplying is better than adding, nor, on the plate, that three levels are better than
# the best one.
#
# Which level is best depends on the defect. Here is the plate by kind:

# %%
names = open_dataset(dataset, "test", size=size, seed=seed).class_names
by_level = {level: by_map[product][level] for level in ("D1", "D2", "D3")}
for kind in np.unique(cases[product].kinds):
    of_kind = cases[product].kinds == kind
    row = "  ".join(f"{np.median(v[of_kind]):.3f}" for v in by_level.values())
    print(f"{names[kind]:15} {of_kind.sum():2d} images   D1, D2, D3: {row}")

# %% [markdown]
# In the stored run level 1 is the best for the shifted print, and level 3 for the stain; the missing hole is
# clear at all three. With one to eleven images of a kind, take the order as a hint.
#
# An AUROC looks at the order of the values in one image alone. Their **size** matters, too: the network
# multiplies its features by them. Here is $M_1$, of good images that are not in the memory and of images
# with defects.

# %%
good_levels = [level[30:] for level in features[product].good]
held_out = Features(
    features[product].good, good_levels if len(good_levels[0]) else features[product].new
)
sizes = {}
for scaled in (False, True):
    for who, found in (("good", held_out), ("defect", features[product])):
        m1, _, _ = spatial_attention(differences(found, slice(30)), scaled=scaled)
        sizes[scaled, who] = m1.flatten(1)  # (N, cells)

# %% tags=["hide-input"]
shown, ranked = {}, {}
for scaled, form in ((False, "the paper's"), (True, "divided by its mean")):
    good, bad = sizes[scaled, "good"], sizes[scaled, "defect"]
    shown[f"{form}: good, median of all cells"] = float(good.median())
    shown[f"{form}: good, largest cell"] = float(good.amax(1).median())
    shown[f"{form}: defect, largest cell"] = float(bad.amax(1).median())
    ranked[form] = float((bad.amax(1)[:, None] > good.amax(1)[None]).float().mean())
figure = plots.bars(
    shown, xlabel="value of M1 (largest cell: median over the images)", log=True, fmt="{:,.1f}",
    title="How large M1 is in good images and in images with a defect",
)  # fmt: skip
plots.show(figure, "Sizes of the finest spatial map in both forms, on a logarithmic axis")
largest = [f"{who} {sizes[False, who].max():,.0f}" for who in ("good", "defect")]
print("largest of all, the paper's:", ", ".join(largest))
for form, share in ranked.items():
    print(f"{form}: a defective image has the larger largest cell in {share:.0%} of the pairs")

# %% [markdown]
# In the stored run $M_1$ goes from 480 in the median of good images to 41 000 in the largest cell of a good
# image: two powers of ten without any defect. In an image with a defect the largest cell is about four times as
# high. (Over all images, the largest values are 195 thousand and 4.7 million.) The features are multiplied by
# these numbers, and the decoder has to cope with them.
#
# Divided by its own mean, each map has a scale of 1. The order of its cells stays, and so does the AUROC of
# the image. The price: a good image, too, gets maps of mean 1, so its noise is lifted as well. Of all pairs
# of a good and a defective image, the defective one has the higher largest cell in 78 % instead of 82 %.
# `MemSeg` can do both: `spatial_maps="product"` is the paper's form, `"scaled"` the other one, and `None`
# leaves the maps out. Whether scaled maps train better is a question for lesson 06.
#
# ### Exercise: maps of one scale

# %%
exercise("spatial_maps")


# %%
def spatial_maps(d1, d2, d3):
    return ...


exercise("spatial_maps").check(spatial_maps)

# %% [markdown]
# ## 6 · Coordinate attention
#
# *14 minutes.* Features and differences are joined: $C_i = [f_i, D_i]$ has twice the channels.
# **Coordinate attention** (2021) then gives each channel a weight for each row and one for each column.
# It averages the map along each row and along each column, sends both through one narrow layer, then
# through a layer each, and squeezes the results between 0 and 1:
#
# $$y = x \cdot a^{\text{row}} \cdot a^{\text{column}} .$$


# %%
class OurCoordinateAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        narrow = max(8, channels // 32)
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, narrow, 1), nn.BatchNorm2d(narrow), nn.Hardswish()
        )
        self.rows, self.columns = nn.Conv2d(narrow, channels, 1), nn.Conv2d(narrow, channels, 1)

    def weights(self, x):
        of_rows = x.mean(3, keepdim=True)  # (N, C, H, 1)
        of_columns = x.mean(2, keepdim=True).transpose(2, 3)  # (N, C, W, 1)
        both = self.squeeze(torch.cat([of_rows, of_columns], dim=2))
        of_rows, of_columns = both.split(list(x.shape[2:]), dim=2)
        a_rows = self.rows(of_rows).sigmoid()  # (N, C, H, 1)
        a_columns = self.columns(of_columns).sigmoid().transpose(2, 3)  # (N, C, 1, W)
        return a_rows, a_columns

    def forward(self, x):
        a_rows, a_columns = self.weights(x)
        return x * a_rows * a_columns


# %% [markdown]
# **Hard-swish** is a relative of ReLU: 0 below -3, $x$ above 3, and a parabola in between. To compare with the
# package we carry its weights over, here and in the next sections, which are built of the usual block
# of lesson 03.


# %%
def block(inputs, outputs):
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def carry(ours, theirs):
    """Copy weights and statistics into ours: layer for layer, in the order of the package."""
    values = [*theirs.parameters(), *theirs.buffers()]
    for mine, given in zip([*ours.parameters(), *ours.buffers()], values, strict=True):
        mine.data = given.data.clone()
    return ours.eval()


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
theirs = CoordinateAttention(64).eval()
ours = carry(OurCoordinateAttention(64), theirs)
prove_equal(ours, theirs, torch.rand(2, 64, 12, 8), tolerance=1e-5)

# %% [markdown]
# What can a row factor times a column factor say? We set the weights by hand: a row or a column counts
# when its mean is clearly above 0. The map has two bright spots, as a difference map may have. *Look for
# a third and a fourth spot in the weights.*

# %% tags=["nbval-check-output"]
by_hand = OurCoordinateAttention(1).eval()
with torch.no_grad():
    for layer in (by_hand.squeeze[0], by_hand.rows, by_hand.columns):
        layer.weight.zero_()
        layer.bias.zero_()
    by_hand.squeeze[0].weight[0] = 1.0
    for layer in (by_hand.rows, by_hand.columns):
        layer.weight[0, 0] = 100.0
        layer.bias.fill_(-4.0)
    spots = torch.zeros(1, 1, 64, 64)
    spots[..., 8:20, 10:22] = 1.0
    spots[..., 42:54, 40:52] = 1.0
    a_rows, a_columns = by_hand.weights(spots)
    weight = a_rows * a_columns
print(f"weight at the spots {weight[0, 0, 14, 16]:.2f} and {weight[0, 0, 48, 46]:.2f}")
print(f"at the other two crossings {weight[0, 0, 14, 46]:.2f} and {weight[0, 0, 48, 16]:.2f}")

# %% tags=["hide-input"]
figure = plots.pixel_maps(
    {
        "map": spots[0],
        "rows": a_rows[0].expand(1, 64, 64),
        "columns": a_columns[0].expand(1, 64, 64),
        "rows x columns": weight[0],
    },
    label="value, or weight",
    title="Two spots give four crossings",
)
plots.show(figure, "Two bright spots; weights by row and by column; their product has four spots")

# %% [markdown]
# Row and column factors can frame one rectangle. With two spots all four crossings get a high weight, and
# whatever lies there is let through. Is that why MemSeg puts 3 x 3 convolutions behind the attention? We
# can test it on a toy: noise, with two faint squares of 5 x 5 pixels. Four small networks are to mark
# them: with the attention alone, with a 3 x 3 convolution alone, with both, and with neither. (All have
# 1 x 1 convolutions before and after, and learn for the same number of steps.)


# %%
def two_squares(count, rng):
    """Noise with two squares: (N, 1, 32, 32), and where they are."""
    truth = torch.zeros(count, 1, 32, 32)
    corners = torch.randint(27, (count, 2, 2), generator=rng).tolist()
    for one, places in zip(truth, corners):
        for y, x in places:
            one[:, y : y + 5, x : x + 5] = 1.0
    return truth + torch.randn(truth.shape, generator=rng), truth


def train_toy(kind, run_seed):
    torch.manual_seed(run_seed)
    rng, network = torch.Generator().manual_seed(run_seed), toy(kind)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(lesson.pick(smoke=20, laptop=200, full=300)):
        images, truth = two_squares(16, rng)
        loss = F.binary_cross_entropy_with_logits(network(images), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


# %%
def toy(kind):
    middle = {
        "attention": [OurCoordinateAttention(8)],
        "3 x 3": [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()],
        "attention, 3 x 3": [OurCoordinateAttention(8), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()],
        "neither": [],
    }
    return nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), *middle[kind], nn.Conv2d(8, 1, 1))


kinds = ("attention", "3 x 3", "attention, 3 x 3", "neither")
toy_test, toy_truth = two_squares(100, torch.Generator().manual_seed(999))
toys = {kind: [train_toy(kind, run) for run in lesson.seeds(3)] for kind in kinds}
toy_maps = {
    kind: [network(toy_test).sigmoid().detach()[:, 0] for network in networks]
    for kind, networks in toys.items()
}
toy_ap = {
    kind: [average_precision(one.numpy(), toy_truth[:, 0].numpy()) for one in maps]
    for kind, maps in toy_maps.items()
}

# %% tags=["hide-input"]
plots.show(
    plots.seed_dots(toy_ap, xlabel="average precision of the pixels, three seeds",
                    title="Two faint squares in noise, marked by four small networks"),
    "Average precision of four toy networks, three seeds each",
)  # fmt: skip
figure = plots.pixel_maps(
    {kind: maps[0][0] for kind, maps in toy_maps.items()},
    pictures={"where": toy_truth[0, 0], "image": (toy_test[0, 0] / 6 + 0.5).clamp(0, 1)},
    label="probability",
    columns=3,
    title="One test image, and what the four networks mark (seed 0)",
)
plots.show(figure, "A noisy image, its two squares, and the probabilities of four networks")
record_metrics(
    {f"toy/{slug}": np.median(toy_ap[kind]) for slug, kind in zip(("attention", "convolution", "both"), kinds)},
    note="average precision, median of the seeds",
)  # fmt: skip

# %% [markdown]
# Average precision does not say what becomes of the crossings. So we look at them: the mean probability at
# the squares, where the row of one square crosses the column of the other, and in rows and columns
# without a square.

# %%
truth = toy_truth[:, 0]
in_rows, in_columns = truth.amax(2, keepdim=True), truth.amax(1, keepdim=True)
parts = {
    "squares": truth > 0,
    "crossings": in_rows * in_columns * (1 - truth) > 0,
    "elsewhere": in_rows + in_columns == 0,
}
for kind, maps in toy_maps.items():
    for part, where in parts.items():
        values = "  ".join(f"{float(one[where].mean()):.3f}" for one in maps)
        print(f"{kind:17} {part:10} {values}")

# %% [markdown]
# In the stored run the attention alone has an average precision of .24, more than neither (.14); it brightens
# rows and columns. The convolution alone has .55, and both together .51 with seeds that overlap those of the
# convolution: in this toy the attention adds nothing to it that three seeds could show.
#
# And the crossings: with the attention alone they are 1.6 to 1.9 times as bright as the rest, and the
# squares 1.9 times as bright as the crossings. With a convolution behind it the squares are 3.4 to 5.2
# times as bright as the crossings, but the crossings still 2.4 to 3.5 times as bright as the rest; the
# convolution alone hardly has them (1.2 to 1.3 times). So a 3 x 3 convolution, which looks at the
# neighbors of a cell, lifts spots further above crossings; but the crossings rise further above the rest,
# too. In MemSeg two such convolutions follow each attention.
#
# ### Exercise: what else passes?

# %%
exercise("crossings")


# %%
def crossings(masks):
    return ...


exercise("crossings").check(crossings)

# %% [markdown]
# ## 7 · Fusion, decoder, and the whole
#
# *8 minutes.* Back to the chart at the end of section 2: two boxes are left. **Fusion.** Each level
# passes a convolution, its coordinate attention, and two convolutions that halve the channels. Then the
# coarse levels lend the fine ones what they know: doubled in size, brought to the right number of
# channels, and added.


# %%
class OurLevel(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convolve, self.attention = block(channels, channels), OurCoordinateAttention(channels)
        half = channels // 2
        self.narrow = nn.Sequential(block(channels, half), block(half, half))

    def forward(self, x):
        return self.narrow(self.attention(self.convolve(x)))


class OurFusion(nn.Module):
    def __init__(self, channels):
        super().__init__()
        one, two, three = channels
        self.level1, self.level2, self.level3 = OurLevel(one), OurLevel(two), OurLevel(three)
        self.up32, self.up21 = block(three // 2, two // 2), block(two // 2, one // 2)

    def forward(self, levels):
        c1, c2, c3 = levels
        c3 = self.level3(c3)
        c2 = self.level2(c2) + self.up32(doubled(c3))
        c1 = self.level1(c1) + self.up21(doubled(c2))
        return c1, c2, c3


# %% [markdown]
# **Decoder.** It is the right side of a U-Net: double, convolve, join the next finer level, convolve
# twice. Four times, from f4 over the three fused levels to f0. Then once more to the full size, and at
# the end two numbers for each pixel, background and defect. (Public implementations leave out the two
# convolutions after each join, except `souxun2015/MemSeg`, from which we took their widths.)


# %%
class OurDecoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        c0, *others = channels
        widths = [*reversed(others), 48]  # c4, c3, c2, c1, 48
        steps = []
        for inputs, outputs in pairwise(widths):
            twice = nn.Sequential(block(2 * outputs, outputs), block(outputs, outputs))
            steps.append(nn.ModuleList([block(inputs, outputs), twice]))
        self.steps = nn.ModuleList(steps)
        self.stem = nn.Conv2d(c0, 48, 3, padding=1)
        self.to_size = nn.Sequential(block(48, 48), block(48, 24), block(24, 24))
        self.head = nn.Sequential(block(24, 24), nn.Conv2d(24, 2, 3, padding=1))

    def forward(self, f4, fused, f0):
        x = f4
        for (grow, join), skip in zip(self.steps, [*reversed(fused), self.stem(f0)]):
            x = join(torch.cat([grow(doubled(x)), skip], dim=1))
        return self.head(self.to_size(doubled(x)))


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
theirs = MultiScaleFeatureFusion((16, 32, 64)).eval()
our_fusion = carry(OurFusion((16, 32, 64)), theirs)
inputs = [torch.rand(2, c, side, side) for c, side in ((16, 16), (32, 8), (64, 4))]


def fusion(*levels):
    return flat(theirs(levels))


prove_equal(lambda *levels: flat(our_fusion(levels)), fusion, *inputs, tolerance=1e-5)

decoder = MemSegDecoder(channels=(4, 8, 16, 32, 64)).eval()
our_decoder = carry(OurDecoder((4, 8, 16, 32, 64)), decoder)
f0, f4 = torch.rand(2, 4, 32, 32), torch.rand(2, 64, 2, 2)
fused = [torch.rand(2, c, side, side) for c, side in ((8, 16), (16, 8), (32, 4))]


def decode(f4, f0):
    return decoder(f4, fused, f0)


prove_equal(lambda f4, f0: our_decoder(f4, fused, f0), decode, f4, f0, tolerance=1e-5)

# %% [markdown]
# **The whole**, of nothing but our own blocks and the encoder:


# %%
class OurMemSeg(nn.Module):
    def __init__(self, encoder, memory):
        super().__init__()
        _, *middle, _ = channels = encoder.channels
        self.encoder, self.memory = encoder, memory
        self.fusion = OurFusion([2 * c for c in middle])
        self.decoder = OurDecoder(channels)

    def forward(self, image):
        f0, *f, f4 = self.encoder(image)
        d = self.memory.best_differences(f)
        fused = self.fusion([torch.cat(pair, dim=1) for pair in zip(f, d)])
        weighed = [c * m for c, m in zip(fused, our_maps(*d))]
        return self.decoder(f4, weighed, f0)


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
model = MemSeg(encoder="efficientnet_lite0", memory_size=3).double().eval()
normal, image = torch.rand(5, 3, 64, 64, generator=rng).double().split([3, 2])
model.fill_memory(normal)
with torch.no_grad():
    stored = OurMemory(model.encoder.first_four(normal)[1:])
ours = OurMemSeg(model.encoder, stored).eval()
carry(ours.fusion, model.fusion)
carry(ours.decoder, model.decoder)
prove_equal(ours, model, image)

# %% tags=["nbval-check-output"]
for name in ("encoder", "fusion", "decoder"):
    counts = [(p.numel(), p.requires_grad) for p in getattr(model, name).parameters()]
    total, learn = sum(n for n, _ in counts), sum(n for n, wanted in counts if wanted)
    print(f"{name:8} {total:>10,} parameters, {learn:>10,} of them learn")

# %% [markdown]
# Most of the encoder's parameters are in its last stage, which makes f4, and that one learns. The memory
# has no parameters: nothing in it learns. Lesson 06 trains the network.
#
# ## 8 · Does coordinate attention earn its place?
#
# *6 minutes.* A block that is in a paper need not help on your product. We leave it out, **and nothing
# else**: memory and spatial maps stay. Both networks see the same good images and the same simulated
# anomalies (lesson 04) in the same order. We score by average precision (lesson 01) and by **AUPRO**: for
# each threshold take the share of every defect region that is covered, and average over the regions, so
# that a small defect counts as much as a large one. Draw this over the share of good pixels that raise
# an alarm, up to 30 %, and take the area under the curve, divided by .3. 1 is perfect.

# %% tags=["hide-input"]
earns = predict(
    "Two networks, with and without coordinate attention, three seeds each, trained briefly on the plate. "
    "Which has the higher AUPRO on test images?",
    ["each run with it above each run without", "the runs overlap", "each run without it above each run with it"],
)  # fmt: skip

# %%
settings = dict(
    data=dataset,
    height=lesson.pick(smoke=64, laptop=96, full=256),
    width=lesson.pick(smoke=64, laptop=96, full=256),
    steps=lesson.pick(smoke=2, laptop=80, full=2700),
    memory_size=min(lesson.pick(smoke=3, laptop=30, full=30), len(cases[product].good_images)),
    split_seed=seed,
)
most = lesson.pick(smoke=12, laptop=200, full=None)
splits = open_normal_splits(MemSegConfig(**settings), most=most)
with_and_without = {"memseg": [], "no_coordinate_attention": []}
for run in lesson.seeds(3):
    for variant, results in with_and_without.items():
        config = MemSegConfig(**settings, variant=variant, seed=run)
        trainer = MemSegTrainer(config, splits, progress=lesson.progress)
        results.append(trainer.train(device=lesson.device, precision=lesson.precision))

# %% tags=["hide-input"]
labels = {"memseg": "with", "no_coordinate_attention": "without"}
METRICS = {"AUPRO": "aupro", "average precision": "ap"}
scores = {
    metric: {labels[v]: [run.scores[key] for run in runs] for v, runs in with_and_without.items()}
    for metric, key in METRICS.items()
}
figure = plots.seed_dots(
    scores, xlabel=f"test images, {len(lesson.seeds(3))} seeds of {settings['steps']} steps",
    title="MemSeg with and without coordinate attention",
)  # fmt: skip
plots.show(figure, "AUPRO and average precision with and without coordinate attention")
defective = sum(bool((splits.test[i].mask > 0).any()) for i in range(len(splits.test)))
print(f"{len(splits.test)} test images, {defective} of them with a defect")
for metric, rows in scores.items():
    pairs = zip(rows["with"], rows["without"])
    print(f"{metric}, with less without, seed by seed:", *(f"{a - b:+.3f}" for a, b in pairs))
record_metrics(
    {
        f"attention/{labels[v]}/aupro": np.median([run.scores["aupro"] for run in runs])
        for v, runs in with_and_without.items()
    },
    note="test images, median of the seeds",
)

# %%
yes, no = scores["AUPRO"]["with"], scores["AUPRO"]["without"]
earns.reveal(
    "each run with it above each run without" if min(yes) > max(no)
    else "each run without it above each run with it" if min(no) > max(yes) else "the runs overlap",
    f"AUPRO lies between {min(yes):.3f} and {max(yes):.3f} with it, and between {min(no):.3f} and "
    f"{max(no):.3f} without.",
)  # fmt: skip

# %% [markdown]
# In the stored run no gain by coordinate attention can be shown. The seeds overlap, and the medians point
# in opposite directions: AUPRO .855 with it and .892 without, average precision .307 and .283. Seed by
# seed, two of three networks score lower with it, in both metrics. (Lesson 06 trains the form with
# attention with the same settings, on the same images in another order: there its medians are .914 and
# .258.) This is said of 80 steps on one product. After 300 steps (`docs/results.md`) the seeds overlap
# again: AUPRO .869 (.856 to .917) with it and .865 (.744 to .905) without, average precision .351 and
# .368. With seeds that lie .04 to .16 apart, a gain of a few hundredths cannot be seen. The paper trains
# for 2700 steps.
#
# What have the weights learned to look at? In the trained networks we take the weights of rows and
# columns at level 2, channel by channel, and divide them by the mean weights of good test images at the
# same place. Then we compare the rows and columns that hold a defect with those that do not. A channel
# that points at defects has the first above the second. The control is an attention that has learned
# nothing: its convolutions are as they were drawn.


# %%
@torch.no_grad()
def attended(model, images):
    """Weights of rows and columns at level 2: (N, C, h), (N, C, w)."""
    attention, seen = model.fusion.fuse2.attention, []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: seen.append(out.sigmoid()[..., 0]))
        for layer in (attention.rows, attention.columns)
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return seen


test = [splits.test[i] for i in range(len(splits.test))]
good_test = torch.stack([s.image for s in test if not s.mask.any()][:50])
bad_test = [s for s in test if s.mask.any()][:50]
bad_images = torch.stack([s.image for s in bad_test])
bad_masks = torch.stack([(s.mask > 0).float() for s in bad_test])

# %%
trained = [result.model.cpu().eval() for result in with_and_without["memseg"]]
untrained = deepcopy(trained[-1])
torch.manual_seed(seed)
untrained.fusion = MultiScaleFeatureFusion([2 * c for c in untrained.encoder.channels[1:4]]).eval()
pointed = {"rows": {}, "columns": {}}
for who, model in [*(("trained", model) for model in trained), ("untrained", untrained)]:
    for name, good, bad, axis in zip(
        pointed, attended(model, good_test), attended(model, bad_images), (2, 1)
    ):
        held = F.adaptive_max_pool1d(bad_masks.amax(axis), bad.shape[2]) > 0  # (N, h)
        ratio = (bad / good.mean(0)).transpose(0, 1)  # (C, N, h)
        more = ratio[:, held].mean(1) - ratio[:, ~held].mean(1)
        for percent in (5, 50, 95):
            row = pointed[name].setdefault(f"{who}, {percent} % of the channels below", [])
            row.append(float(more.quantile(percent / 100)))

# %% tags=["hide-input"]
figure = plots.seed_dots(
    pointed, xlabel="weight where a defect is, less weight elsewhere (relative to good images)",
    higher_is_better=None, fmt="{:+.3f}", title="Do the weights of a channel point at defects?",
)  # fmt: skip
plots.show(figure, "Differences of relative weights over the channels, trained and untrained")

# %% [markdown]
# In the stored run the median channel does not point at defects: its difference is at most .03, with a
# sign that changes with the seed. Around it the channels spread: 5 % of them have weights that are lower
# by .16 or more where a defect is, and 5 % have weights that are higher by .17 or more. (A mean over the
# channels hides both.) But an attention that has learned nothing spreads as well, from -.34 or less to
# +.09 or more: its weights, too, depend on what they see. In all three trained networks the upper end is
# higher (.17 to .20 against .09 and .11) and the lower end nearer to 0. With a single untrained network
# as control, that is a hint. So a channel that reacts to defects is no proof that it has learned to.
# Whatever a block is called, look at what it does, and at what it does untrained.

# %% [markdown]
# ## 9 · Mistake 1: what frozen means
#
# *8 minutes.* Three mistakes of published code follow, and a fourth that is easy to make. The first hides
# in one word.

# %% tags=["hide-input"]
frozen = predict(
    "All weights of an encoder are frozen: `requires_grad` is False, and no optimizer knows them. You "
    "show it batches in training mode, twenty times, and switch back to eval mode. Is its output for one "
    "and the same image the same as before?",
    ["to the last bit", "up to rounding", "no"],
)

# %% [markdown]
# `TooTouch/MemSeg`, the best known re-implementation, sets `requires_grad = False` for the three blocks that
# fill the memory, and leaves their batch normalization in training mode. (It also goes on training the
# stem before them, which changes everything behind it.) We set it for a whole ResNet-18, so that nothing at
# all learns, beside one that was frozen by our `freeze`. (Their weights come with the course; they were
# trained on Tiny-ImageNet.) Both see eight images in training mode, and no optimizer is there. After each
# pass we look, in eval mode, at an image **that is in the memory itself**.

# %%
ways = {
    "requires_grad alone": ResNetEncoder("offline").requires_grad_(False),
    "freeze": ResNetEncoder("offline"),
}
ways["freeze"].freeze()
passes = lesson.pick(smoke=5, laptop=20, full=20)
on_shelf, batch = cases[product].good_images[:1], cases[product].images[:8]
drift, typical = {}, {}
with torch.no_grad():
    for name, one in ways.items():
        before = one.eval().first_four(on_shelf)[2]
        bank = MemoryBank(num_levels=1)
        bank.fill([one.first_four(cases[product].good_images[:30])[2]])
        typical[name] = float(bank.best_differences([one.first_four(batch)[2]])[0].mean())
        drift[name] = [0.0]
        for _ in range(passes):
            one.train().first_four(batch)
            after = one.eval().first_four(on_shelf)[2]
            drift[name].append(float((after - before).norm() / before.norm()))
        typical[name] = float(bank.best_differences([after])[0].mean()) / typical[name]
        print(f"{name}: the same to the last bit: {torch.equal(after, before)}")

# %% tags=["hide-input"]
figure = plots.lines(
    range(passes + 1),
    drift,
    xlabel="passes in training mode",
    ylabel="change of f2 / size of f2",
    title="The same image, the same weights, other features",
)
plots.show(figure, "Change of the features over the passes: it grows, or stays at 0 when frozen")
record_metrics(
    {"drift/published": drift["requires_grad alone"][-1], "drift/freeze": drift["freeze"][-1]}
)

# %%
frozen.reveal(
    "no",
    f"After {passes} passes f2 has changed by {drift['requires_grad alone'][-1]:.0%} of its size. The image "
    "is in the memory, so its difference should be 0. It is "
    f"{typical['requires_grad alone']:.1f} times the mean difference of images with defects before.",
)

# %% [markdown]
# `requires_grad=False` stops the optimizer. It does not stop **batch normalization**: in training mode it
# goes on averaging what passes through, and its output in eval mode moves with these averages. Memory and
# encoder then no longer belong together.
#
# ### Exercise: freeze

# %%
exercise("freeze")


# %%
def freeze(layers):
    return ...


exercise("freeze").check(freeze)

# %% [markdown]
# ## 10 · Mistakes 2 to 4
#
# *6 minutes.* **Mistake 2: one factor too many.** In the public fusion the convolved features are multiplied
# by the *attended input*, $\mathrm{conv}(x) \cdot x \cdot a$, where $\mathrm{conv}(x) \cdot a$ is meant. And
# between its convolutions there is no normalization and no ReLU.

# %% tags=["hide-input"]
twice = predict(
    "The input of this fusion is doubled. What happens to its output (biases left aside)?",
    ["it doubles", "about four times as much", "about eight times as much"],
)

# %%
torch.manual_seed(seed)
fusions = {
    "public code": MultiScaleFeatureFusion((48, 80, 224), published_code=True).eval(),
    "ours": MultiScaleFeatureFusion((48, 80, 224)).eval(),
}
first = features[product]
joined = torch.cat([first.new[0][:2], differences(first, slice(30))[0][:2]], dim=1)
scales = np.array([0.25, 0.5, 1, 1.5, 2, 3, 4])


@torch.no_grad()
def grown(fuse):
    nothing = fuse(torch.zeros_like(joined))  # what the biases alone give
    sizes = [float((fuse(float(s) * joined) - nothing).norm()) for s in scales]
    return np.array(sizes) / sizes[2]


growth = {name: grown(one.fuse1) for name, one in fusions.items()}
bare = {name: deepcopy(one.fuse1) for name, one in fusions.items()}
for one in bare.values():
    one.attention = nn.Identity()  # all weights are 1

# %% tags=["hide-input"]
figure = plots.lines(
    scales, growth, xlabel="input, times", ylabel="output, times",
    title="Features times features grow with the square of the input",
)  # fmt: skip
plots.show(figure, "Growth of the output of both fusions with the size of the input")
record_metrics({"growth/published": growth["public code"][4], "growth/ours": growth["ours"][4]})

# %%
factor = growth["public code"][4]
choices = {2: "it doubles", 4: "about four times as much", 8: "about eight times as much"}
twice.reveal(
    choices[min(choices, key=lambda one: abs(one - factor))],
    f"It grows {factor:.2f} times, ours {growth['ours'][4]:.2f} times. It is not exactly 4 and 2 since the "
    "weights of the attention change with the input, too: without them it is "
    f"{grown(bare['public code'])[4]:.2f} and {grown(bare['ours'])[4]:.2f}.",
)

# %% [markdown]
# A second fault of the same fusion: without a ReLU in between, two convolutions in a row are one linear
# map: a single one with a larger kernel could have learned the same (the edge of the image apart). That
# can be tested: is the sum of two outputs the output of the sum?

# %% tags=["nbval-check-output"]
a, b = torch.randn(2, 1, 48, 8, 8, generator=rng)
with torch.no_grad():
    for name, one in fusions.items():
        sum_of_both = one.fuse1.narrow(a) + one.fuse1.narrow(b)
        of_the_sum = one.fuse1.narrow(a + b) + one.fuse1.narrow(torch.zeros_like(a))
        linear = torch.allclose(of_the_sum, sum_of_both, atol=1e-4)
        print(f"{name}: two convolutions act as one: {linear}")

# %% [markdown]
# **Mistake 3: a memory that is not saved.** In the public code the memory is a plain Python object.
# PyTorch does not know it, so it is neither saved nor moved to the GPU. Ours is made of **buffers**
# (`register_buffer`): tensors that are saved and moved with the module, but not learned.


# %% tags=["nbval-check-output"]
class WithPlainMemory(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolve = nn.Conv2d(3, 4, 1)
        self.memory = {"level1": None}


plain = WithPlainMemory()
plain.memory["level1"] = torch.rand(30, 4, 8, 8)
restored = WithPlainMemory()
restored.load_state_dict(plain.state_dict())
print("plain object, after loading:", restored.memory["level1"])
filled = MemSeg(encoder="efficientnet_lite0", memory_size=3).eval()
filled.fill_memory(normal.float())
other = MemSeg(encoder="efficientnet_lite0", memory_size=3).eval()
print("MemSeg, before loading:", len(other.memory), "images")
other.load_state_dict(filled.state_dict())
print("MemSeg, after loading:", len(other.memory), "images, bit by bit the same:",
      torch.equal(other.memory.level1, filled.memory.level1))  # fmt: skip

# %% [markdown]
# For the plain object no error is raised: `load_state_dict` cannot miss what it never knew.
#
# **Mistake 4, which is easy to make: other weights under the same memory.** A memory belongs to the
# weights that made it. MemSeg keeps a checksum of its frozen part beside the memory, statistics included,
# and refuses others:

# %% tags=["nbval-check-output"]
with torch.no_grad():
    other.encoder.stage2[0].layers[0].weight.mul_(1.01)
try:
    other(image.float())
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# ## 11 · Challenge: fewer images
#
# Thirty images of 42,000 numbers each have to be kept and searched. Do as well with **five**. You may choose
# which five of the 60 good images, align them, average them, use your `nearest_patch` with a small
# window, or combine levels.
#
# Your function gets the features of the five images and of the new ones, each a list of f1, f2, f3, and
# returns maps (N, h, w) of any size. **Choose by washers**: `try_out` shows the pixel AUROC on these. When you
# have chosen, `final` gives that on plates: run it once, and enter that number.

# %%
washers = read("synthetic_product/washer")
washer_features = Features(three_levels(washers.good_images), three_levels(washers.images))


def five_nearest(good, new):
    """The memory of the lesson at level 2."""
    bank = MemoryBank()
    bank.fill(good)
    return bank.best_differences(new)[1].mean(1)


def score_of(maps_of, features, masks, keep=slice(5)):
    good = [level[keep] for level in features.good]
    return float(np.median(auroc_of_each(maps_of(good, features.new), masks)))


# %%
def try_out(maps_of, keep=(0, 1, 2, 3, 4)):
    """Show the pixel AUROC on washers, to choose by."""
    assert len(keep) <= 5, "five images at most"
    shown = score_of(maps_of, washer_features, washers.masks, list(keep))
    print(f"pixel AUROC on washers: {shown:.3f}")


def final(maps_of, keep=(0, 1, 2, 3, 4)):
    """The pixel AUROC on the product, for the board: once, when you have chosen."""
    assert len(keep) <= 5, "five images at most"
    return score_of(maps_of, features[product], cases[product].masks, list(keep))


# %%
here = dict(features=features[product], masks=cases[product].masks)
board = challenge(
    "05_memory",
    score="pixel AUROC, five remembered images",
    to_beat={
        "five images, level 2": score_of(five_nearest, **here),
        "thirty images, level 2": score_of(five_nearest, **here, keep=slice(30)),
    },
)

# %% [markdown]
# For example, in a cell of your own:
#
#     def each_cell_alone(good, new):
#         return nearest_patch(good[1], new[1], radius=0)
#
#     try_out(each_cell_alone)
#     # and when you have chosen:
#     # board.enter("level 2, each cell chooses its image", final(each_cell_alone))
#
# ## Recap
#
# - Compare with something good. On a product one good image shows a missing hole that the image itself cannot
#   show; for all kinds of defects together, the nearest of 30 is better than one.
# - On brushed steel, where places mean nothing, a memory of whole images adds little. Letting each cell
#   choose its image adds more, and at the same place it keeps what shows the missing hole.
# - Image by image the product of three levels is better than levels 1 and 2; on the plate it is not shown
#   to be better than level 3, nor than a sum. It spans powers of ten, in good images, too. Dividing each
#   map by its mean takes its scale away; the largest cell then told a defective image from a good one in
#   78 % of the pairs, instead of 82 %.
# - Coordinate attention weighs rows and columns: two spots give four crossings. In a toy a 3 x 3
#   convolution behind it lifted the spots further above the crossings, and these further above the rest.
# - Leave out one block and nothing else, with several seeds, before you say what it is worth.
# - Frozen means no gradient **and** no new statistics. What belongs to a model is a buffer, and what
#   depends on weights checks them.
#
# Lesson 06 trains this network, on the images of lesson 04.

# %%
predictions()

# %% [markdown]
# ## Quiz

# %%
quiz("05")

# %% [markdown]
# ## References
#
# - M. Yang, P. Wu, H. Feng: *MemSeg: a semi-supervised method for image surface defect detection
#   using differences and commonalities*, Engineering Applications of Artificial Intelligence 2023.
# - Q. Hou, D. Zhou, J. Feng: *Coordinate attention for efficient mobile network design*, CVPR 2021.
# - K. Roth and others: *Towards total recall in industrial anomaly detection*, CVPR 2022 (nearest
#   patches).
# - M. Tan, Q. Le: *EfficientNet*, ICML 2019; K. He, X. Zhang, S. Ren, J. Sun: *Deep residual learning for
#   image recognition*, CVPR 2016.
# - S. Ioffe, C. Szegedy: *Batch normalization: accelerating deep network training by reducing
#   internal covariate shift*, ICML 2015.
# - B. Efron, R. Tibshirani: *An introduction to the bootstrap*, 1993.
