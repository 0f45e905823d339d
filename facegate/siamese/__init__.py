"""The twin networks: learning, fine-tuning, export. The only place that imports torch."""
