"""Layer 3: the loop IR: one kernel as loops over outer axes with steps inside."""
