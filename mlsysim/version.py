"""The version of this package, below everything that writes it into a result."""

__version__ = "0.1.0"
