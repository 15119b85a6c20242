"""Tier 3: the best configuration of a design space."""
