"""Showing runs to people: in steps, as a diagram, as a page with counts and coverage, and progress while they go on."""
