"""What people are told and shown of what became of instances, and what is done after they were sent."""
