"""Templates of pages; those that begin with an underscore are fragments."""
