"""How models are trained: the train step, loss terms, schedules, state."""
