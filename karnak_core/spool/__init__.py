"""The durable middle: instance files and the delivery ledger. Received here, delivered from here."""
