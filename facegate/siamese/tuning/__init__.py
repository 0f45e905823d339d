"""What fine-tuning learns a household from, how the challenger is judged, and what else was tried."""
