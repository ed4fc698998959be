"""Hot-rolled steel strips, SD-saliency-900 (Song et al., 2020): four classes with background."""

from pathlib import Path

import numpy as np

from course_utils.data.image_files import list_images
from course_utils.data.image_set import Entry, ImageSet
from course_utils.data.near_duplicates import join_groups, survey_images
from course_utils.data.readers.masks import require_images, require_pairs, soft_mask_classes
from course_utils.data.registry import SD_SALIENCY_900

_FOLDERS = (("Source Images", "Ground truth"), ("images", "masks"))
_LABELS = {"In": 1, "Pa": 2, "Sc": 3}
_OVERLAPPING = {
    "In": """
        1 2 3 4 5; 6 7; 8 9; 11 12 13 14 15 16 17 18 19 26 27 28 29 31 40 43 44 45; 20 21 22 23 24
        25 39 41; 32 33 42; 36 37; 47 48 49 50; 51 52 53 54 55 56; 57 58 59 60 61 62 63 64 65 66 67
        68 69 72 74 75 76 77 78 79 80; 70 71; 81 82 83 84 85 86 87 88 89 90 91 92 108 109 110 111
        112 113 114 115 116 117 118 119 120 121 122 123 124 125 126 127 128 129 130 145 146 147 148
        149 150 151 152 153 154 155 156 162 163 164 165 166 167 168 175 176 178 179; 93 94 95 97
        107; 98 99 100 101 102 103 104 105 106 131 134; 132 135; 136 137; 138 139 140 141; 143 144;
        157 158; 160 161; 169 170 171; 172 173 174; 177 180; 182 183; 184 185 186 187 188 189 208
        209 210 211 224; 190 191; 192 193; 196 197 198 199 200 213 215 216 217; 201 202; 203 204 205
        206 207 212 220 221 222 223; 231 232 233 234 235 236 241 242 243 244 245; 237 238; 248 251;
        252 253; 254 255; 260 261; 262 264; 267 270; 282 286; 285 290 291; 288 289
    """,
    "Pa": """
        1 3; 2 5 6; 9 11; 15 16; 17 19 21; 20 24; 25 26 27 28; 29 30; 33 34 35 36 37 38; 40 44; 41
        42; 43 45; 47 50 51 53; 48 49; 54 55 58; 57 59 60; 61 62; 66 67 68; 70 72; 78 79 81; 83 84;
        87 88 89 90 91 92 93; 95 99; 101 105; 108 110 111 112 113 114; 115 116 118 119 120 121; 126
        127 128; 130 132; 133 134 137 138; 135 136; 139 140 141 142; 145 146 147 148 149 150 151
        152; 157 158; 165 166; 169 170 173; 171 174 175; 177 178; 182 183 185; 187 188; 189 191 193
        194 195; 198 200; 199 201; 209 210 211 212; 216 217; 220 221 222 223 224; 227 228 229 230
        231; 232 233; 234 235 237; 239 240; 242 243; 245 246 247 248; 261 262; 271 272; 279 280; 286
        287
    """,
    "Sc": """
        1 2 3 4 5 6 7 8 9 10 11 12; 13 14 15; 18 19; 21 22 23 24 25 26 27 28 29 30; 31 32 33; 34 35
        36; 37 38 39; 47 48 49; 50 51; 57 58; 60 61 65; 63 64; 66 67; 71 72 73; 74 75; 76 77 78 79
        80 81 82 83; 84 85; 88 89; 90 91 92; 93 95 97; 99 100 105; 102 103; 108 109; 110 111 141;
        112 113 114 115 116 117 118 119 120 121 130 131 142 143 144 145 146 147 148; 122 123 149;
        126 127 128 132; 134 135; 136 137 138 139 140; 151 152; 153 154 155 164 167 174; 157 158 163
        165 166 168 172; 159 160 161 162; 169 170; 178 185; 180 186; 187 188 189 190 191 192; 193
        194; 196 197 202 203; 199 200 204; 206 207 211 212 213 214 215 216 217 218 219 220 221 222
        223 224 225 227 230 231; 209 210; 226 228; 236 238 239 242; 240 243; 246 248; 249 250 254;
        251 252 253; 262 263; 264 265 271 272 273; 266 270 274 280; 267 269 275 279; 292 299; 294
        295 298 300
    """,
}
"""Numbers of the images of each class, one photograph after the other, separated by semicolons.

Measured on all pairs of one class at 100 x 100: what is left after high-pass and after taking out
the median of each row and column (scratches look alike when shifted along themselves) was clipped
and cross-correlated with zero padding, then correlated over the overlap at the best shift, if that
is 15 % of the image or more. Real overlaps and chance make two heaps, .7 lies between: 838 pairs
above it link 619 images to 150 photographs. The twelve lowest of each class were looked at: all but
one, too noisy to tell, plainly show the same marks. So the list is on the safe side, and some
overlaps below .7 are missing, as are smaller ones and photographs turned or mirrored.
"""


def read(folder: Path) -> ImageSet:
    """Return all images below `folder`, grouped by near-duplicates and known overlaps.

    Raises:
        FileNotFoundError: for a missing folder, class or mask.
        ValueError: for a mask without an image, a file that is no image, or a name without a class.
    """
    entries = list_entries(folder)
    duplicates = survey_images([entry.image for entry in entries]).groups
    photographs = photograph_numbers([entry.name for entry in entries])
    return ImageSet(
        entries=entries,
        groups=join_groups(duplicates, photographs),
        grouping="near-identical images and crops known to overlap",
        class_names=SD_SALIENCY_900.class_names,
        channels=1,
        read_mask=soft_mask_classes,
    )


def list_entries(folder: Path) -> list[Entry]:
    """Return all images below `folder` with their masks, opening none. Errors as above."""
    image_folder, mask_folder = _find_folders(folder)
    images, masks = list_images(image_folder), list_images(mask_folder)
    require_pairs(images, masks, mask_folder)
    entries = [Entry(image, masks[stem], _label(image), stem) for stem, image in images.items()]
    for prefix, label in _LABELS.items():
        count = sum(entry.label == label for entry in entries)
        require_images(
            count, image_folder, f"{prefix}_<i> for {SD_SALIENCY_900.class_names[label]}"
        )
    return entries


def photograph_numbers(names: list[str]) -> np.ndarray:
    """Return a number for each image name, (N,): crops known to overlap share it.

    Example:
        >>> photograph_numbers(["Sc_137", "In_137", "Sc_138"]).tolist()
        [1, 0, 1]
    """
    first = {
        f"{prefix}_{number}": f"{prefix}_{crops.split()[0]}"
        for prefix, photographs in _OVERLAPPING.items()
        for crops in photographs.split(";")
        for number in crops.split()
    }
    return np.unique([first.get(name, name) for name in names], return_inverse=True)[1]


def _find_folders(folder: Path) -> tuple[Path, Path]:
    for images, masks in _FOLDERS:
        if (folder / images).is_dir() and (folder / masks).is_dir():
            return folder / images, folder / masks
    raise FileNotFoundError(f"{folder} is not complete: want {SD_SALIENCY_900.layout}")


def _label(path: Path) -> int:
    prefix = path.stem.partition("_")[0]
    if prefix not in _LABELS:
        raise ValueError(
            f"{path} names no class: want a name that starts with {', '.join(_LABELS)} and _"
        )
    return _LABELS[prefix]
