"""Two users with a photo each, and faces that somebody spoke on."""

from datetime import UTC, datetime

from facegate.core.decision import Reason
from facegate.storage.frames import DecisionFrame
from facegate.verifier.enrollment import Enrollment
from facegate.vision.composites import people
from tests.storage.decisions import a_decision

ALICE, BOB, CAROL = sorted(people()[:3], key=lambda person: person.slug)
NOW = datetime.now(UTC)


def enroll(settings, storage, person, number=0):
    assert Enrollment.of(settings, storage).enroll(person.slug, None, [person.picture_path(number)]).accepted


def folders(library):
    return sorted(path.name for path in library.local_dir.iterdir())


def confirm(storage, slug, user=None, *, word="confirmed", reason=Reason.MATCH):
    """Record a decision on a face that is kept, and speak on it; return the decision's id."""
    photo = next(iter(storage.photos.of_user(slug)))
    named = slug if reason is Reason.MATCH else None
    decision = a_decision(f"e-{slug}-{word}-{user}-{reason}", user=named, reason=reason)
    storage.decisions.record(decision)
    storage.frames.keep(DecisionFrame(decision.id, slug, "porch", NOW, photo.crop), most=10)
    storage.decisions.speak(decision.id, word, NOW, user)
    return decision.id
