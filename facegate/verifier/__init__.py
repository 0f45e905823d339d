"""Crops to templates to sightings, with ONNX Runtime."""
