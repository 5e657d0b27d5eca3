"""A look at the picture itself, since headers lie: whether it is a frontal chest radiograph, and a good one.

look       all of it in order: what is refused, what is warned of
features   a coarse picture, and the numbers that describe it
classifier the learnt weights: numbers into a verdict
quality    plain statistics: exposure, contrast, sharpness, noise
"""

from xraygpt_edge.imaging.gate.look import look, require_chest

__all__ = ["look", "require_chest"]
