"""Measured runs against predictions: `validate`, `calibrate`."""

from mlsysim.calibration.fit import Calibration, calibrate
from mlsysim.calibration.validate import Validation, validate

__all__ = ["Calibration", "Validation", "calibrate", "validate"]
