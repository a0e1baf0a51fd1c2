"""What happens beside training: records of the run, progress, pictures."""
