"""Files of others, unchanged, with their licences: htmx 4.0.1 and Pico 2.1.1."""
