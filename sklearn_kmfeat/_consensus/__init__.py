"""A vote of several clusterings."""
