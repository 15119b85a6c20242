"""Tier 2: what is needed for a target, and what an input is worth."""
