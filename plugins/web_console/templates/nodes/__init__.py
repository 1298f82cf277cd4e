"""The pages of the lists of nodes."""
