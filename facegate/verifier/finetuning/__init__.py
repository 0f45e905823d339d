"""Fine-tuning as the gate lives through it: gathered, learnt, judged, promoted, put on the shelf."""
