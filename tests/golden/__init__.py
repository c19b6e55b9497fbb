"""Records of fits: a change of the code's form is to change no number of them."""
