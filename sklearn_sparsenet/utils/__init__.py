"""What all rooms use: arguments, errors, threads, files."""
