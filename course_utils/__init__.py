"""The tested building blocks of a hands-on course on finding surface defects in images."""

__version__ = "0.1.0"
