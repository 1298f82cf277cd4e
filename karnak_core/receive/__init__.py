"""From an association to the spool: listener, access, header, commit."""
