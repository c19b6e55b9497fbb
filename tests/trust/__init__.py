"""The promises of the library, attacked with what nobody has written down.

`make trust` is the long form, about an hour; `test_trust.py` the short one.
"""
