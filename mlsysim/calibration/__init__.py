"""Measured runs against predictions: `validate`."""

from mlsysim.calibration.validate import Validation, validate

__all__ = ["Validation", "validate"]
