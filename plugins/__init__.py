"""The plugins that come with Karnak; imported as ``karnak_plugins``."""
