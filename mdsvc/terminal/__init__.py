"""What people read in a terminal, and what all commands share."""
