"""Real photographs in a lesson, where the data root has them: no lesson stores them."""

from course_utils import plots
from course_utils.data import ImageMaskDataset, open_dataset
from course_utils.lessons.cards import Tone, block_html, show_card

SHOWN = 4  # photographs of each set
SIZE = 192  # pixels


def show_real_photographs(*names: str) -> None:
    """Show some defective training photographs of each data set, with their masks.

    Where the training part has good ones alone, as in MVTec AD, these are shown.

    Of a set that is not in the data root, a card says how to get it. The lessons are stored
    without any real set, since their licenses do not allow to pass the pictures on.

    Raises:
        ValueError: for an unknown set.

    Example:
        >>> show_real_photographs("no_such_set")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: data set 'no_such_set' is unknown: choose one of ...
    """
    for name in names:
        try:
            images = open_dataset(name, "train", size=SIZE)
        except FileNotFoundError:
            text = (
                f"`course data fetch {name}` gets the photographs. Then run this cell again to see "
                "four of them."
            )
            show_card(Tone.INFO, f"{name}: not on this machine", block_html(text), lines=[text])
            continue
        if not isinstance(images, ImageMaskDataset):
            raise ValueError(f"{name} is drawn by the course: it has no photographs")
        everything = range(len(images.entries))
        some = [i for i in everything if images.entries[i].label] or everything
        # One of each class in turn, the first of them that come.
        seen: dict[int, int] = {}
        rank = {}
        for i in some:
            label = images.entries[i].label
            rank[i] = seen[label] = seen.get(label, 0) + 1
        chosen = sorted(some, key=lambda i: (rank[i], images.entries[i].label))[:SHOWN]
        figure = plots.samples(images, chosen, title=f"Photographs of {name}")
        plots.show(figure, f"Training photographs of {name}, and below each its mask in color")
