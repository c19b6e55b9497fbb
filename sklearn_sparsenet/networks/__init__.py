"""Networks as flat vectors, chains of layers, live paths, and their derivatives."""
