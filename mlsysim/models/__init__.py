"""Tier 1: one file a resolver, each of which assembles equations."""
