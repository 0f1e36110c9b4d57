"""Metrics give a figure an image; ``MeanSums`` and ``SegmentationSums`` pool them exactly across sites.

Nothing is imported here: a hospital's daemon reads the sums (:mod:`hqgnet.scores`) without loading torch.
"""
