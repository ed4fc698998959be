"""Every figure of the course: data in, a matplotlib figure out, in one style."""

from course_utils.plots.bar_charts import bars
from course_utils.plots.flow_chart import flow_chart
from course_utils.plots.heat_maps import heat_maps
from course_utils.plots.images import errors, montage, samples
from course_utils.plots.line_charts import lines, lines_panels
from course_utils.plots.matrices import confusion, heatmap
from course_utils.plots.network_diagram import unet_diagram
from course_utils.plots.notebook import as_png, show
from course_utils.plots.overlays import error_map, overlay, to_picture
from course_utils.plots.pixel_maps import pixel_maps
from course_utils.plots.rank_curves import roc_and_pr
from course_utils.plots.seed_charts import seed_dots
from course_utils.plots.style import class_color, course_style, new_figure
from course_utils.plots.training_curves import training_curves

__all__ = [
    "as_png",
    "bars",
    "class_color",
    "confusion",
    "course_style",
    "error_map",
    "errors",
    "flow_chart",
    "heat_maps",
    "heatmap",
    "lines",
    "lines_panels",
    "montage",
    "new_figure",
    "overlay",
    "pixel_maps",
    "roc_and_pr",
    "samples",
    "seed_dots",
    "show",
    "to_picture",
    "training_curves",
    "unet_diagram",
]
