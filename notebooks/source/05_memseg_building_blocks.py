# ---
# jupyter:
#   course:
#     title: MemSeg building blocks
#     summary: Remember thirty good parts, look at what differs from them, and weigh it; every block from scratch, proven equal.
#     minutes_reading: 40
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
# # 05 · MemSeg building blocks
#
# **How can a network know what is wrong, when all it was ever shown is what is right?**
#
# After this lesson you can
#
# - say what an encoder sees at five scales, and what *frozen* must mean;
# - find the nearest of 30 remembered images, and draw how a new one differs from it;
# - build both attentions of MemSeg, and say what each can point at and what it cannot;
# - put the whole network together from its blocks;
# - show three mistakes of published code, and a fourth that is easy to make.
#
# You need lessons 01, 03 and 04. Nothing is trained here: that is lesson 06. About 40 minutes of
# reading and 35 of exercises.

# %% tags=["parameters"]
profile = "auto"  # "smoke", "laptop" or "full"; "auto" asks COURSE_PROFILE, else "laptop"
dataset = "synthetic"  # or "mvtec_ad/bottle", "folder:<path>"
seed = 0

# %%
import numpy as np
import torch
from einops import pack, rearrange, reduce
from torch import nn
from torch.nn import functional as F

from course_utils import plots
from course_utils.data import open_dataset
from course_utils.evaluation import pixel_auroc
from course_utils.lessons import (
    exercise, explore, predict, prove_equal, quiz, record_metric, start_lesson,
)  # fmt: skip
from course_utils.models import ResNetEncoder
from course_utils.models.memseg import (
    CoordinateAttention, MemoryBank, MemSeg, MultiScaleFeatureFusion, spatial_attention,
)  # fmt: skip

lesson = start_lesson("05_memseg_building_blocks", profile=profile, dataset=dataset, seed=seed)

# %% [markdown]
# ## Predict first

# %%
predict(
    "All weights of a ResNet-18 are frozen: `requires_grad` is False, and no optimizer knows them. "
    "You show it batches in training mode, twenty times, and switch back to eval mode. Is its "
    "output for one and the same image the same as before?",
    ["to the last bit", "up to rounding", "no"],
)

# %% [markdown]
# ## The idea
#
# Hand somebody a part and ask: is it good? They will take a good one from the shelf, hold the two
# side by side, and look at what differs. MemSeg (2023) does that. The shelf is called the
# **memory**. It holds 30 good images, and nothing on it has a defect.
#
# We open the good images of one product, and some images with defects to try things on. (These
# serve for looking, here. Nothing is learned from them.)

# %%
size = lesson.pick(smoke=96, laptop=256, full=256)
synthetic = dataset == "synthetic"
product = dict(surfaces=["brushed_steel"]) if synthetic else {}


def some(part, wanted, with_defect, **options):
    images = open_dataset(dataset, part, size=size, seed=seed, **product, **options)
    found = {}  # one image of each part: some parts were photographed twice
    for index in np.random.default_rng(seed).permutation(len(images)).tolist():
        sample = images[index]
        if bool(sample.mask.any()) == with_defect:
            found.setdefault(sample.group, sample)
        if len(found) == wanted:
            break
    return list(found.values())


good = some("train", 30, False, **(dict(frequency=0.0) if synthetic else {}))
wanted = lesson.pick(smoke=8, laptop=24, full=60)
bad = some("test", wanted, True, **(dict(frequency=1.0) if synthetic else {}))
good_images = torch.stack([sample.image for sample in good])  # (30, C, H, W)
bad_images = torch.stack([sample.image for sample in bad])
masks = torch.stack([sample.mask > 0 for sample in bad])
print(f"{len(good)} good images to remember, {len(bad)} with defects, {size} x {size} pixels")

# %% [markdown]
# For the pictures we take the images with the largest defects. Large is not the same as easy: a
# stain can be so faint that one looks twice.

# %%
shown = masks.flatten(1).sum(1).argsort(descending=True)[:4].tolist()
figure = plots.montage(
    [good_images[i] for i in range(4)] + [bad_images[i] for i in shown] * 2,
    masks=[None] * 8 + [masks[i] for i in shown],
    titles=["good"] * 4 + ["defect"] * 4 + ["where"] * 4,
    title="Four of thirty good images, four with defects",
)
plots.show(figure, "Four good images, four with defects, and where the defects are")

# %% [markdown]
# ## Why not compare pixels?
#
# Take the nearest good image, pixel by pixel, and subtract. The two parts never lie in exactly the
# same place, and no two surfaces have the same grain. *Look at what else lights up, besides the
# defect.*

# %%
pixels = MemoryBank(num_levels=1)
pixels.fill([good_images])
(pixel_difference,) = pixels.best_differences([bad_images])
pixel_map = pixel_difference.mean(1)  # (N, H, W), the mean over the colors
first = shown[0]
nearest = int(pixels.nearest_indices([bad_images])[first, 0])
figure = plots.pixel_maps(
    {"squared difference": pixel_map[first]},
    pictures={
        "defect": bad_images[first],
        "where": plots.overlay(bad_images[first], masks[first]),
        "nearest by pixels": good_images[nearest],
    },
    label="squared difference",
    title="The nearest good image by pixels, and the difference",
)
plots.show(figure, "An image with a defect, the nearest good image by pixels, their difference")

# %% [markdown]
# So MemSeg does not compare pixels. It compares **features**: what a network sees that has learned,
# on a hundred thousand small photographs, to tell two hundred kinds of things apart. Here is the
# whole of it, for an image of 256 x 256 pixels. *Follow one path: how does the memory get its say?*
# It speaks twice: its differences are joined to the features, and they weigh them.

# %%
boxes = {
    "image": (0, 1), "encoder": (1, 1), "join": (2, 1), "fusion": (3, 1), "weigh": (4, 1),
    "decoder": (5, 0), "f0 and f4": (1, 0), "answer": (5, 1), "memory": (1, 2),
    "differences": (2, 2), "spatial maps": (4, 2),
}  # fmt: skip
arrows = [
    ("image", "encoder", "3 · 256"),
    ("encoder", "join", "64 · 64\n128 · 32\n256 · 16"),
    ("encoder", "memory", "f1, f2, f3"),
    ("memory", "differences", "nearest\nof 30"),
    ("differences", "join", "as f1, f2, f3"),
    ("join", "fusion", "128 · 64\n256 · 32\n512 · 16"),
    ("fusion", "weigh", "64 · 64\n128 · 32\n256 · 16"),
    ("differences", "spatial maps", "as f1, f2, f3"),
    ("spatial maps", "weigh", "1 · 64, 32, 16"),
    ("weigh", "decoder"),
    ("encoder", "f0 and f4"),
    ("f0 and f4", "decoder", "64 · 128 and 512 · 8"),
    ("decoder", "answer", "2 · 256"),
]
figure = plots.flow_chart(
    boxes, arrows, strong=["memory"], title="MemSeg: channels · side in pixels"
)
plots.show(figure, "Boxes and arrows: encoder, memory, fusion, spatial maps and decoder of MemSeg")

# %% [markdown]
# ## The encoder: five scales
#
# The encoder is a ResNet-18. On its way to the end it halves the image five times, and we keep
# what it has at each stop. (For an image of 256 x 256 pixels:)

# %% tags=["nbval-check-output"]
encoder = ResNetEncoder("offline")
encoder.freeze()
encoder.eval()
print("weights:", encoder.weights_used)
with torch.no_grad():
    maps = encoder(torch.rand(1, 3, 256, 256))
for name, f in zip(("f0", "f1", "f2", "f3", "f4"), maps, strict=True):
    print(name, "channels", f.shape[1], "height", f.shape[2], "width", f.shape[3])

# %% [markdown]
# The weights named `offline` come with the course. They were trained on Tiny-ImageNet, so no
# download is needed. (The paper takes those of ImageNet. `ResNetEncoder("imagenet")` loads them
# where there is a network, and says so where there is none.)
#
# *Of each map we draw the channel that varies most in this image. Small things are seen at the
# first stops. At the last ones a pixel stands for a whole region.*

# %%
with torch.no_grad():
    maps = encoder(bad_images[first : first + 1])
strongest = {}
for name, f in zip(("f0", "f1", "f2", "f3", "f4"), maps, strict=True):
    channel = int(f[0, :, 1:-1, 1:-1].flatten(1).std(1, correction=0).argmax())  # edges apart
    strongest[f"{name}, channel {channel}"] = f[0, channel]
figure = plots.pixel_maps(
    strongest,
    pictures={"image": plots.overlay(bad_images[first], masks[first])},
    shared=False,
    columns=3,
    label="feature",
    title="The same image at five scales",
)
plots.show(figure, "An image, and one channel of each of the five feature maps")

# %% [markdown]
# The memory is made of f1, f2 and f3. They, and f0 below them, are **frozen**: they never change, for a remembered
# feature and a new one can only be compared if the same network has made both. f4 is free to learn.
#
# We let the encoder see all images once.


# %%
@torch.no_grad()
def three_levels(images):
    parts = [encoder.first_four(part)[1:] for part in images.split(8)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


good_features = three_levels(good_images)  # f1, f2, f3: (30, C, H, W)
bad_features = three_levels(bad_images)
floats = sum(level[0].numel() for level in good_features)
print(f"one image in the memory: {floats:,} numbers")

# %% [markdown]
# ## The memory, from scratch
#
# How far is a new image from a remembered one? At each level, the mean of the squared differences
# of all features. Then the sum over the three levels. The remembered image with the smallest sum is
# the **nearest**, and what we hand on is how each single feature differs from it:
#
# $$\text{distance}_j = \sum_{i=1}^{3} \frac{1}{|f_i|} \| f_i - m_{i,j} \|^2,
# \qquad D_i = (f_i - m_{i,n})^2 .$$
#
# Here $|f_i|$ is how many numbers a level holds, and $n$ the memory $j$ of the smallest distance.
# (The paper writes the sum without $1/|f_i|$; level 1 has four times the numbers of level 3 and would
# count more. We take the mean, as the public code does: `MemoryBank(nearest="joint_sum")` is the
# paper's way.)
#
# `reduce`, `rearrange` and `pack`, here and below, are from einops, which names axes:
# `reduce(x, "n c h w -> n c h 1", "mean")` averages over `w`. `pack` only joins several results into
# one tensor, so that `prove_equal` can compare them.


# %%
def differences_from_scratch(f1, f2, f3):
    """Loops over images and memories: slow, and easy to check."""
    found = []
    for f in zip(f1, f2, f3, strict=True):
        distances = [
            sum((a - b).square().mean() for a, b in zip(f, m, strict=True))
            for m in zip(*remembered, strict=True)
        ]
        n = int(torch.stack(distances).argmin())
        differences = [(a - level[n]).square() for a, level in zip(f, remembered, strict=True)]
        found.append(pack(differences, "*")[0])
    return torch.stack(found)


def best_differences(f1, f2, f3):
    return pack(bank.best_differences([f1, f2, f3]), "n *")[0]


# %% tags=["nbval-check-output"]
rng = torch.Generator().manual_seed(0)
shapes = ((8, 16, 16), (16, 8, 8), (32, 4, 4))
remembered = [torch.rand(5, *shape, generator=rng) for shape in shapes]
bank = MemoryBank()
bank.fill(remembered)
some_features = [torch.rand(3, *shape, generator=rng) for shape in shapes]
prove_equal(differences_from_scratch, best_differences, *some_features, tolerance=1e-5)

# %% [markdown]
# Why does `MemoryBank` not loop over images and memories? Since
# $\| f - m \|^2 = \| f \|^2 - 2 f \cdot m + \| m \|^2$. The first term is the same for all memories, so it cannot change who is
# nearest. The last one is known beforehand. What is left is the product of a matrix of all new
# images with a matrix of all memories: one call per level for the whole batch.
#
# Now the real memory. *Above each good image stands its number on the shelf. Below, how each level
# differs: the mean over channels, and a white line around the true defect.*

# %%
memory = MemoryBank()
memory.fill(good_features)
indices = memory.nearest_indices(bad_features)  # (N, 3), equal columns: one choice for all levels
differences = memory.best_differences(bad_features)  # D1, D2, D3


def at_full_size(level):
    """(N, C, h, w) -> (N, H, W): the mean over channels, in the size of the image."""
    mean = reduce(level, "n c h w -> n 1 h w", "mean")
    return F.interpolate(mean, size=(size, size), mode="bilinear")[:, 0]


level_maps = {f"D{i + 1}": at_full_size(d) for i, d in enumerate(differences)}
numbers = [int(indices[i, 0]) for i in shown]
figure = plots.montage(
    [bad_images[i] for i in shown] + [good_images[n] for n in numbers],
    titles=["image"] * 4 + [f"nearest: number {n}" for n in numbers],
    title="Four images, and the nearest good one of each",
)
plots.show(figure, "Four images with defects, and below each the nearest normal image")

# %%
figure = plots.heat_maps(
    [bad_images[i] for i in shown],
    [masks[i] for i in shown],
    {name: [one[i] for i in shown] for name, one in level_maps.items()},
    title="What differs from the nearest good image, at three levels",
)
plots.show(figure, "Difference maps of three levels for four images with defects")

# %% [markdown]
# How well does a map show the defect? One number: take a pixel of the defect and any other pixel of
# the same image, at random. How often has the defect the higher value? A map that knows nothing gives
# .5, a perfect one 1. (It is the area under the ROC curve of the pixels of one image.) We take the
# median over all images with defects.


# %%
def clarity(maps):
    """(N, H, W) -> (N,): chance that a pixel of the defect lies above another one, per image."""
    pairs = zip(maps.numpy(), masks.numpy(), strict=True)
    return torch.tensor([pixel_auroc(one[None], mask[None]) for one, mask in pairs])


clear = {"pixels": clarity(pixel_map).median().item()}
clear |= {name: clarity(one).median().item() for name, one in level_maps.items()}
figure = plots.bars(
    clear,
    xlabel="chance that a defect pixel lies higher (median)",
    fmt="{:.3f}",
    title="How well each difference shows the defects",
)
plots.show(figure, "Median clarity of the pixel difference and of the three feature levels")
record_metric("clarity/pixels", clear["pixels"])
record_metric("clarity/d2", clear["D2"])

# %% [markdown]
# In the stored run the pixels put the defect higher in 7 of 10 draws, each level of features in
# about 9 of 10, and nothing was trained for it. Look back at two pictures to see why. The nearest
# steel *by pixels* that we drew has its grain running across the image: two grains never match pixel
# by pixel, so brightness decides. The four nearest *by features* all have the grain of their image.
# (The four pictures show the largest stains, not typical images. And clarity counts order, not
# brightness: a defect that looks dark here can still lie above most of its background.) But see what
# is missed as well. Large, faint stains leave hardly a trace at any level.
#
# ## Two ways to read a paper
#
# The formula leaves choices, and the two best known re-implementations have filled it differently.
# Does an image have **one** nearest neighbor for all levels, or one **per level**? And is the
# difference squared, or absolute? `MemoryBank` does it all. *Do the three levels agree?*

# %%
alone = MemoryBank(nearest="per_level")
alone.fill(good_features)
own = alone.nearest_indices(bad_features)  # (N, 3)
agree = (own == own[:, :1]).all(1)
torn = int((~agree).nonzero()[0]) if not bool(agree.all()) else first
choice = [int(indices[torn, 0]), *own[torn].tolist()]
figure = plots.montage(
    [bad_images[torn], *[good_images[n] for n in choice]],
    titles=["image", *[f"{who}: {n}" for who, n in zip(("joint", "f1", "f2", "f3"), choice)]],
    columns=5,
    title="One nearest image for all levels, or one for each",
)
plots.show(figure, "An image, its joint nearest normal image, and the nearest one of each level")
print(f"all three levels choose the same for {int(agree.sum())} of {len(agree)} images")

# %%
both = {}
for difference in ("absolute", "squared"):
    for who in ("joint", "per_level"):
        option = MemoryBank(nearest=who, difference=difference)
        option.fill(good_features)
        found = option.best_differences(bad_features)
        both[difference, who] = found
        row = [f"{clarity(at_full_size(d)).median().item():.3f}" for d in found]
        print(f"{difference:8}  {who:9}  clarity of D1, D2, D3: {'  '.join(row)}")
figure = plots.pixel_maps(
    {name: at_full_size(both[name, "joint"][1])[first] for name in ("absolute", "squared")},
    pictures={"image": plots.overlay(bad_images[first], masks[first])},
    shared=False,
    label="D2",
    title="The same difference, absolute and squared",
)
plots.show(figure, "Level 2 of one image, absolute and squared difference")

# %% [markdown]
# In the stored run the levels agree for 8 of 24 images. How much hangs on it? One neighbor per level
# changes the clarity by at most .023: D1 and D3 gain, D2 loses. Squaring costs at most .012 and never
# gains. With 24 images neither is decisive, and both are worth saying aloud when results are compared. What the square does change
# is the scale: a small difference shrinks beside a large one, and the ground gets calmer.
#
# Play with it. *Which image, which level, which option shows the defect best?*


# %%
def draw(image, level, difference, nearest):
    one = at_full_size(both[difference, nearest][level - 1])[image]
    return plots.pixel_maps(
        {f"D{level}": one},
        pictures={
            "image": bad_images[image],
            "where": plots.overlay(bad_images[image], masks[image]),
        },
        label=f"{difference} difference",
    )


explore(
    draw,
    alt="An image, its defect, and a difference map",
    fallback=[
        dict(image=shown[1], level=1, difference="squared", nearest="joint"),
        dict(image=shown[1], level=2, difference="absolute", nearest="per_level"),
    ],
    image=(0, len(bad) - 1, 1),
    level=[1, 2, 3],
    difference=["squared", "absolute"],
    nearest=["joint", "per_level"],
)

# %% [markdown]
# ## Coordinate attention
#
# Features and differences are laid on top of each other: $C_i = [f_i, D_i]$, twice the channels.
# Some of these matter more than others, and more in some places. **Coordinate attention** (2021)
# gives each channel a weight for each row and a weight for each column. Where do the weights come
# from? Average the map along each row and along each column. Send both averages through one narrow
# layer, then through a layer each, and squeeze the results between 0 and 1. (The narrow layer is a 1x1
# convolution to max(8, channels / 32) channels, batch normalization, and h-swish, a smooth relative of
# ReLU.)
#
# $$y = x \cdot a^{\text{row}} \cdot a^{\text{column}} .$$


# %%
def attention_from_scratch(x):
    of_rows = reduce(x, "n c h w -> n c h 1", "mean")
    of_columns = rearrange(reduce(x, "n c h w -> n c w", "mean"), "n c w -> n c w 1")
    narrow = attention.squeeze(torch.cat([of_rows, of_columns], dim=2))
    of_rows, of_columns = narrow.split(list(x.shape[2:]), dim=2)
    a_rows = attention.rows(of_rows).sigmoid()
    a_columns = rearrange(attention.columns(of_columns).sigmoid(), "n c w 1 -> n c 1 w")
    return x * a_rows * a_columns


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
attention = CoordinateAttention(64).eval()
prove_equal(attention_from_scratch, attention, torch.rand(2, 64, 12, 8), tolerance=1e-5)

# %% [markdown]
# Untrained, its weights are drawn at random and mean nothing. To see what it *can* say we set them
# by hand: a row or a column counts when its mean is clearly above 0. The map below has two bright
# spots, as a difference map may have. *Look for a third
# and a fourth in the weights, rows x columns.*

# %% tags=["nbval-check-output"]
by_hand = CoordinateAttention(1).eval()
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
    of_rows, of_columns = spots.mean(3, keepdim=True), spots.mean(2, keepdim=True)
    a_rows = by_hand.rows(by_hand.squeeze(of_rows)).sigmoid()
    a_columns = by_hand.columns(by_hand.squeeze(of_columns)).sigmoid()
    weight = a_rows * a_columns
    assert torch.allclose(by_hand(spots), spots * weight)
print(f"weight at the spots {weight[0, 0, 14, 16]:.2f} and {weight[0, 0, 48, 46]:.2f}")
print(f"at the other two crossings {weight[0, 0, 14, 46]:.2f} and {weight[0, 0, 48, 16]:.2f}")

# %%
figure = plots.pixel_maps(
    {
        "map": spots[0],
        "rows": a_rows[0].expand(1, 64, 64),
        "columns": a_columns[0].expand(1, 64, 64),
        "rows x columns": weight[0],
    },
    label="value, or weight",
    title="Rows times columns: every crossing is meant",
)
plots.show(figure, "Two bright spots; weights by row and by column; their product has four spots")

# %% [markdown]
# A row factor and a column factor can frame one rectangle. With two spots they mean all four
# crossings. In this clean map that does no harm, since 0 times any weight is 0; real features are not
# 0 there, and are let through as if they belonged to a spot. It costs little (two vectors instead of a map), and it sees the whole width and height
# of the image at once. But it cannot outline a defect. That is left to others, below.
#
# ## Multi-scale fusion
#
# Each level now passes a convolution, its coordinate attention, and two convolutions that halve the
# channels. Then the coarse levels lend the fine ones what they know: doubled in size (the corner
# pixels of the small map and of the large one lie on each other), brought to the right number of
# channels, and added.


# %%
def doubled(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def fusion_from_scratch(c1, c2, c3):
    def fuse(part, x):
        return part.narrow(part.attention(part.convolve(x)))

    c3 = fuse(fusion.fuse3, c3)
    c2 = fuse(fusion.fuse2, c2) + fusion.up32(doubled(c3))
    c1 = fuse(fusion.fuse1, c1) + fusion.up21(doubled(c2))
    return pack([c.flatten(1) for c in (c1, c2, c3)], "n *")[0]


def multi_scale_fusion(*levels):
    return pack([c.flatten(1) for c in fusion(levels)], "n *")[0]


# %% tags=["nbval-check-output"]
torch.manual_seed(0)
fusion = MultiScaleFeatureFusion((16, 32, 64)).eval()
levels = [torch.rand(2, 16, 16, 16), torch.rand(2, 32, 8, 8), torch.rand(2, 64, 4, 4)]
prove_equal(fusion_from_scratch, multi_scale_fusion, *levels, tolerance=1e-5)

# %% [markdown]
# ## Spatial attention: the differences point
#
# Nothing has to be learned to know *where* to look: the differences tell. The deepest map is the
# mean of $D_3$ over its channels. Each finer one is its own mean, times the deeper map in double
# size. $M_1$ is large only where the product of all three
# is: one level near 0 is enough to silence a place.
#
# $$M_3 = \overline{D_3}, \qquad M_2 = \overline{D_2} \cdot M_3{\uparrow}, \qquad
# M_1 = \overline{D_1} \cdot M_2{\uparrow} .$$


# %% tags=["nbval-check-output"]
def maps_from_scratch(d1, d2, d3):
    m3 = reduce(d3, "n c h w -> n 1 h w", "mean")
    m2 = reduce(d2, "n c h w -> n 1 h w", "mean") * doubled(m3)
    m1 = reduce(d1, "n c h w -> n 1 h w", "mean") * doubled(m2)
    return pack([m1, m2, m3], "*")[0]


def spatial_maps_of_the_course(*d):
    return pack(spatial_attention(d), "*")[0]


prove_equal(maps_from_scratch, spatial_maps_of_the_course, *levels)

# %% [markdown]
# *Compare M1 with D1, the mean of the difference at the same level.*

# %%
m1, m2, m3 = (at_full_size(m) for m in spatial_attention(differences))
drawn = {"D1": level_maps["D1"], "M3": m3, "M2": m2, "M1": m1}
figure = plots.heat_maps(
    [bad_images[i] for i in shown],
    [masks[i] for i in shown],
    {name: [(one[i] / one[i].max()) for i in shown] for name, one in drawn.items()},
    limit=1.0,
    title="Spatial attention: three levels that must agree (each map: share of its largest value)",
)
plots.show(figure, "D1 and the spatial maps M3, M2 and M1 of four images with defects")
clear |= {"M3": clarity(m3).median().item()}
clear |= {"M2": clarity(m2).median().item(), "M1": clarity(m1).median().item()}
figure = plots.bars(
    clear,
    xlabel="chance that a defect pixel lies higher (median)",
    fmt="{:.3f}",
    title="How well each map shows the defects",
)
plots.show(figure, "Median clarity of pixels, differences and spatial maps")
record_metric("clarity/m1", clear["M1"])

# %% [markdown]
# In the stored run M1 is clearer than each difference alone: grain that lights up in D1 goes dark
# where the deeper levels find nothing unusual. There is a price, in every column: one strong spot
# outshines the rest. The upper defect of the first image and the large stains of the second and third
# are almost gone, and in the fourth no level sees the faint stain, so the product points elsewhere. It can sharpen what the differences know, and
# cannot add to it.
#
# ## Decoder, and the whole
#
# The decoder is the right side of a U-Net: double, convolve, join the next finer level, convolve
# twice. Four times, and once more to the full size. At its end stand two numbers for each pixel,
# background and defect.

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
model = MemSeg(weights=None, memory_size=2).eval()
for name in ("encoder", "fusion", "decoder"):
    counts = [(p.numel(), p.requires_grad) for p in getattr(model, name).parameters()]
    total, learn = sum(n for n, _ in counts), sum(n for n, wanted in counts if wanted)
    print(f"{name:8} {total:>10,} parameters, {learn:>10,} of them learn")

# %% [markdown]
# Three quarters of the encoder learn: layer 4 alone is larger than all that is frozen. The memory has
# no parameters: nothing in it learns. Here are all boxes, joined by hand:


# %%
def memseg_from_scratch(image):
    f0, f1, f2, f3, f4 = model.encoder(image)
    d = model.memory.best_differences([f1, f2, f3])
    joined = [torch.cat(pair, dim=1) for pair in zip((f1, f2, f3), d, strict=True)]
    fused = model.fusion(joined)
    looked_at = [c * m for c, m in zip(fused, spatial_attention(d), strict=True)]
    return model.decoder(f4, looked_at, f0)


# %% tags=["nbval-check-output"]
model.fill_memory(torch.rand(2, 3, 64, 64, generator=rng))
prove_equal(memseg_from_scratch, model, torch.rand(2, 3, 64, 64, generator=rng), tolerance=1e-4)

# %% [markdown]
# ## Mistake 1: frozen, and drifting
#
# Back to the question at the top. `requires_grad=False` stops the optimizer. It does not stop
# **batch normalization**: in training mode it goes on averaging what passes through, and the
# layer's output in eval mode moves with these averages. The best known re-implementation of MemSeg
# (`TooTouch/MemSeg` on GitHub, as it was until December 2023) freezes layers 1 to 3 of its encoder like that. Our `freeze` also keeps them in eval mode.
#
# We show two encoders eight images in training mode, twenty times. All weights of the first one are
# frozen, so that only the statistics can move, and no optimizer is there at all.
# After each time we look, in eval mode, at an image **that is in the memory itself**.


# %%
def frozen_like_the_public_code():
    encoder = ResNetEncoder("offline")
    return encoder.requires_grad_(False)


ways = {"public code": frozen_like_the_public_code(), "ours": ResNetEncoder("offline")}
ways["ours"].freeze()
passes = lesson.pick(smoke=5, laptop=20, full=20)
remembered_image, batch = good_images[:1], bad_images[:8]
drift, after = {}, {}
with torch.no_grad():
    for name, one in ways.items():
        before = one.eval().first_four(remembered_image)[1:]
        drift[name] = [0.0]
        for _ in range(passes):
            one.train().first_four(batch)
            after[name] = one.eval().first_four(remembered_image)[1:]
            drift[name].append(float((after[name][1] - before[1]).norm() / before[1].norm()))
        print(f"{name}: the same to the last bit: {torch.equal(after[name][1], before[1])}")

# %%
figure = plots.lines(
    range(passes + 1),
    drift,
    xlabel="passes in training mode",
    ylabel="change of f2 / size of f2",
    title="The same image, the same weights, other features",
)
plots.show(
    figure, "Change of features over the passes: it grows in the public code, ours stays at 0"
)
found = {name: memory.best_differences(list(after[name])) for name in ways}
figure = plots.pixel_maps(
    {f"D2, {name}": at_full_size(d[1])[0] for name, d in found.items()},
    pictures={"in the memory": remembered_image[0]},
    label="difference",
    title="An image that is in the memory, and how it differs from the memory",
)
plots.show(figure, "Difference of a remembered image to the memory: with drift, and without")
typical = differences[1].mean()
record_metric("drift/published", drift["public code"][-1])
record_metric("drift/ours", drift["ours"][-1])
share = float(found["public code"][1].mean() / typical)
print(f"mean D2 with drift: {share:.2f} times that of images with defects, without drift")

# %% [markdown]
# So the answer is *no*. In the stored run f2 has changed by six tenths of its size. The image lies on
# the shelf, its difference should be 0, and with drift it is larger than that of images with
# defects was before. Memory and encoder no longer belong together.
#
# ## Mistake 2: features times features
#
# In the public fusion the convolved features are multiplied by the *attended input*,
# $\mathrm{conv}(x) \cdot x \cdot a$, where $\mathrm{conv}(x) \cdot a$ is meant. So the input is in
# there twice. And between its convolutions there is nothing: no normalization, no ReLU. Two linear
# maps in a row are one linear map. We can test both. Double the input: what comes out? And is the
# sum of two outputs the output of the sum? (The second question is for the last two convolutions,
# their biases taken into account. The first matters because a strong difference then drowns all
# others, and the training hangs on the scale of the features.)

# %%
torch.manual_seed(seed)
fusions = {
    "public code": MultiScaleFeatureFusion(published_code=True).eval(),
    "ours": MultiScaleFeatureFusion().eval(),
}
joined = torch.cat([good_features[0][:2], differences[0][:2]], dim=1)  # (2, 128, h, w)
scales = np.array([0.25, 0.5, 1, 1.5, 2, 3, 4])
growth = {}
with torch.no_grad():
    for name, one in fusions.items():
        nothing = one.fuse1(torch.zeros_like(joined))  # what the biases alone give
        sizes = [float((one.fuse1(float(s) * joined) - nothing).norm()) for s in scales]
        growth[name] = np.array(sizes) / sizes[2]
figure = plots.lines(
    scales,
    growth,
    xlabel="input, times",
    ylabel="output, times",
    title="Features times features: twice the input, about four times the output",
)
plots.show(figure, "Growth of the output of both fusions with the size of the input")
record_metric("growth/published", growth["public code"][4])
print(f"ours, with twice the input: {growth['ours'][4]:.2f} times the output")

# %% tags=["nbval-check-output"]
a, b = torch.randn(2, 1, 128, 8, 8, generator=rng)
with torch.no_grad():
    for name, one in fusions.items():
        sum_of_both = one.fuse1.narrow(a) + one.fuse1.narrow(b)
        of_the_sum = one.fuse1.narrow(a + b) + one.fuse1.narrow(torch.zeros_like(a))
        print(
            f"{name}: two convolutions act as one:",
            torch.allclose(of_the_sum, sum_of_both, atol=1e-4),
        )

# %% [markdown]
# Ours doubles with its input, since relu(2x) = 2 relu(x). It is not linear all the same: relu(a + b)
# is not relu(a) + relu(b). What two linear convolutions can learn, a single one with a larger kernel could have learned (the
# edge of the image apart). Depth needs something that is not linear in between.
#
# ## Mistake 3: a memory that is not saved
#
# In the public code the memory is a plain Python object. PyTorch does not know it, so it is neither
# saved nor moved to the GPU with the model. Whoever loads the weights gets a network with no memory.


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
other = MemSeg(weights=None, memory_size=2)
print("MemSeg, before loading:", len(other.memory), "images")
other.load_state_dict(model.state_dict())
print("MemSeg, after loading:", len(other.memory), "images")
print("bit by bit the same:", torch.equal(other.memory.level1, model.memory.level1))

# %% [markdown]
# No error is raised for the plain one: `load_state_dict` cannot miss what it never knew. In ours the
# features are **buffers** (`register_buffer`): tensors of the module that are saved and moved with it,
# but not learned.
#
# ## Mistake 4: other weights under the same memory
#
# A memory belongs to the weights that made it. Change them, and differences mean nothing. So MemSeg
# keeps a checksum of its frozen part beside the memory, statistics included, and refuses:

# %% tags=["nbval-check-output"]
image = torch.rand(1, 3, 64, 64, generator=rng)
with torch.no_grad():
    other.eval()(image)
    other.encoder.layer2[0].conv1.weight.mul_(1.01)
try:
    other(image)
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# ## Exercises

# %%
exercise("difference_map")


# %%
def difference_map(features, remembered):
    return ...


exercise("difference_map").check(difference_map)

# %%
exercise("nearest_image")


# %%
def nearest_image(memory, features):
    return ...


exercise("nearest_image").check(nearest_image)

# %%
exercise("spatial_maps")


# %%
def spatial_maps(d1, d2, d3):
    return ...


exercise("spatial_maps").check(spatial_maps)

# %%
exercise("freeze")


# %%
def freeze(layers):
    return ...


exercise("freeze").check(freeze)

# %% [markdown]
# ## Recap
#
# - A memory of good images, and the difference to the nearest: what is unusual, without a defect.
# - Features, not pixels; three levels, not one.
# - Coordinate attention weighs rows and columns: cheap, and every crossing is meant.
# - Spatial maps multiply the levels: a place counts when all find it unusual.
# - Frozen means no gradient **and** no new statistics.
# - What belongs to a model is a buffer, and what depends on weights checks them.
#
# Lesson 06 trains this network, on the images of lesson 04.
#
# ## Quiz

# %%
quiz("05")

# %% [markdown]
# ## References
#
# - M. Yang, P. Wu, H. Feng: *MemSeg: a semi-supervised method for image surface defect detection
#   using differences and commonalities*, Engineering Applications of Artificial Intelligence 2023.
# - Q. Hou, D. Zhou, J. Feng: *Coordinate attention for efficient mobile network design*, CVPR 2021.
# - K. He, X. Zhang, S. Ren, J. Sun: *Deep residual learning for image recognition*, CVPR 2016.
# - S. Ioffe, C. Szegedy: *Batch normalization: accelerating deep network training by reducing
#   internal covariate shift*, ICML 2015.
