"""Every form of X, as one source of images."""
