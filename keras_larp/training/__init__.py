"""Training: the order of a step, loss terms, schedules, optimizer, state."""
