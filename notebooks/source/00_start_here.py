# ---
# jupyter:
#   course:
#     title: Start here
#     summary: How a lesson works, and whether this machine is ready for the course.
#     minutes_reading: 10
#     minutes_exercises: 5
#     compared_cells: 1
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
# # Start here
#
# After this lesson we can read a mask, and we know that this machine is ready.

# %% tags=["parameters"]
profile = "auto"
dataset = "synthetic"
seed = 0

# %%
from course_utils.doctor import show_doctor
from course_utils.lessons import exercise, quiz, record_metric, start_lesson

lesson = start_lesson("00_start_here", profile=profile, dataset=dataset, seed=seed)
show_doctor()

# %% [markdown]
# ## A mask
#
# A mask gives each pixel a class $c \in \{0, \dots, K\}$: 0 is background. The share of defect is
#
# $$s = \frac{1}{HW} \sum_{i=1}^{HW} [\,c_i > 0\,]$$
#
# In words: defect pixels over all pixels.

# %%
from course_utils.data import open_dataset

data = open_dataset(dataset, "train", seed=seed)
shares = [float((data[index].mask > 0).float().mean()) for index in range(20)]
record_metric("defect_share/mean", sum(shares) / len(shares), note="20 training images")

# %% tags=["nbval-check-output"]
mask = [[0, 0, 1], [0, 2, 0]]
print(sum(pixel > 0 for row in mask for pixel in row), "of 6 pixels are defect")

# %% [markdown]
# ## Exercises

# %%
exercise("defect_share").check(...)

# %% [markdown]
# ## Recap
#
# - A mask is an image of class numbers.
#
# ## Quiz

# %%
quiz("00")

# %% [markdown]
# ## References
#
# Huang et al., Saliency of magnetic tile surface defects, The Visual Computer, 2020.
