"""What a flavor and an image ask for: every rule of CPU policy."""
