"""mlsysim: what an ML system will do, cost, emit and break on, over labelled arrays."""

__version__ = "0.1.0"
