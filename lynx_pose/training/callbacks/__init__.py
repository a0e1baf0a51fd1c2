"""What happens beside training: metrics.csv, the best epoch, progress, pictures."""
