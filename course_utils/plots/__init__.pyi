from .charts import bars, seed_dots
from .curves import roc_and_pr, training_curves
from .diagrams import flow_chart, unet_diagram
from .images import errors, heat_overlay, montage, overlay, samples, to_picture
from .line_charts import lines, lines_panels
from .maps import heat_maps, pixel_maps
from .matrices import confusion, heatmap
from .notebook import as_png, show

__all__ = [
    "as_png",
    "bars",
    "confusion",
    "errors",
    "flow_chart",
    "heat_maps",
    "heat_overlay",
    "heatmap",
    "lines",
    "lines_panels",
    "montage",
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
