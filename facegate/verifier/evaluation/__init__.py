"""Error rates and times of networks on photos of people, side by side."""
