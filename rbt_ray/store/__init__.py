"""The journal of a study, its mirror, and the table read from it."""
