"""What exists: variables, options and records, each declared once."""
