"""The commands of ``karnak``, a module for each group of them."""
