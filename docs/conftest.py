"""Doctests of the pages only: no configuration, nothing that Sphinx has written."""

collect_ignore = ["conf.py", "_ext", "gallery", "api"]
