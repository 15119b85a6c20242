"""One call, from inputs to labelled results: bind, record, plan, run, label."""
