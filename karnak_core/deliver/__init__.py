"""From the spool to the destinations: workers, pipeline, retry."""
