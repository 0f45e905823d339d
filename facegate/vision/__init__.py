"""Pixels to aligned crops: decode, detect, align, measure."""
