"""Questions to an answer that is stored: the same reductions as while sweeping, one configuration of it, files."""
