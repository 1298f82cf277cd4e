"""Templates of the pages of the gateway."""
