"""Every figure of the course: data in, a matplotlib figure out, in one style.

A figure is imported when it is first used: matplotlib takes its time.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
