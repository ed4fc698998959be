"""Images, masks and classes: the item, the data sets, how they are split and counted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
