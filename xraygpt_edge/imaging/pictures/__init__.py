"""Everyday picture files: PNG, JPEG, TIFF, WebP, BMP, JPEG 2000 to grey pixels.

picture         the stages in order
raster          what a decoder gives: samples, and what the alpha channel means
pillow          every decoder, with all 16 bits
tiff            what a TIFF file says of its pixels, checked before it is decoded
tiff_directory  the bytes of its directories
containers      the same care for the other formats: cut files, and pixels that would be misread
"""

from xraygpt_edge.imaging.pictures.picture import read

__all__ = ["read"]
