"""The dedicated CPUs as programs use them: who holds which, and how they get there."""
