"""The experiments of section 6 of arXiv 2408.02801, and the same targets by ours."""
