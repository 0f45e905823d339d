"""Composites laid out as `evaluate folder` and `calibrate` want people."""

import shutil

from facegate.vision.composites import people


def people_folder(place, count=3, photos=4):
    """A folder a person, the photos numbered from 0."""
    for person in range(count):
        own = place / f"p{person}"
        own.mkdir(parents=True)
        for number in range(photos):
            shutil.copy(people()[person].picture_path(number), own)
    return place
