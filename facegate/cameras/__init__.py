"""Frames that are pulled, not pushed: go2rtc, Frigate, snapshot URLs."""
