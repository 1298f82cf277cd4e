"""The configuration: its models, how a file is read, what a change would do, and the versions in the database."""
