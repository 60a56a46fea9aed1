"""The report: one self-contained HTML page about a run, its figures, and grids of images as PNG.

Only this package draws. matplotlib is imported when a page is made, not before.
"""

from elbox.report.document import page, write
from elbox.report.raster import grid_png, pixels

__all__ = ["grid_png", "page", "pixels", "write"]
