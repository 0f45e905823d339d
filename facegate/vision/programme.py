"""The demo's events: what the cameras send, and what must come of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from facegate.core.decision import Reason
from facegate.vision.composites import PICTURES, Composite
from facegate.vision.figure import Place
from facegate.vision.scenes import Guest, Light, Scene, encode, render

CAMERAS: Final = ("porch",)
#: A face of 200 pixels is about a metre from a door camera of 1280 x 720.
METRE: Final = 200.0
LIGHTS: Final = {Light.DAY: "by day", Light.DUSK: "at dusk", Light.INFRARED: "in infrared"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come of an event: `MATCH` with the user's slug, or the reason of the deny."""

    reason: Reason
    user: str | None = None

    @property
    def granted(self) -> bool:
        """Whether the door must open."""
        return self.reason is Reason.MATCH


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One event.

    Attributes:
        camera: Slug of the camera.
        picture: What it sends: a JPEG, or what should be one.
        title: What is to be seen, for a person.
        expected: What must come of it.
        live: Whoever is seen stands there themselves: no photograph is held up.
    """

    camera: str
    picture: bytes = field(repr=False)
    title: str
    expected: Expectation
    live: bool = True


@dataclass(frozen=True, slots=True)
class Act:
    """A scene with its title and expectation, not drawn yet; `cut` keeps that share of the JPEG only."""

    scene: Scene
    title: str
    expected: Expectation
    cut: float = 1.0


def programme(people: Sequence[Composite], seed: int) -> list[DemoEvent]:
    """Return the events of a demo in the order in which they are to be sent.

    Args:
        people: The composites; those with a name are enrolled from picture 0 under their slug.
        seed: Draws places, sizes, pictures, noise and order.
    """
    rng = np.random.default_rng(seed)
    known = [person for person in people if not person.stranger]
    strangers = [person for person in people if person.stranger]
    acts = [visit(person, light, rng) for person in known for light in Light]
    acts += [visit(person, light, rng) for person in strangers for light in (Light.DAY, Light.INFRARED)]
    acts += special_acts(known, strangers, rng)
    order = rng.permutation(len(acts))
    return [staged(acts[at], CAMERAS[place % len(CAMERAS)], rng) for place, at in enumerate(order)]


def staged(act: Act, camera: str, rng: np.random.Generator) -> DemoEvent:
    """Draw an act and make it an event."""
    picture = encode(render(act.scene, rng), int(rng.integers(80, 93)))
    live = not any(guest.printed for guest in act.scene.guests)
    return DemoEvent(camera, picture[: int(len(picture) * act.cut)], act.title, act.expected, live)


def expected_of(person: Composite) -> Expectation:
    """Return what must come of a good look at somebody."""
    return Expectation(Reason.NO_MATCH) if person.stranger else Expectation(Reason.MATCH, person.slug)


def called(person: Composite) -> str:
    """Return what a title calls somebody."""
    return person.name or f"stranger {person.slug[-2:]}"


def place_of(rng: np.random.Generator, face: float) -> Place:
    """Draw a place for a face of a size, somewhere between the plant and the door."""
    return Place(
        float(rng.uniform(400, 700)), float(rng.uniform(0.9, 1.2) * face + 130), face, float(rng.uniform(-5, 5))
    )


def visit(person: Composite, light: Light, rng: np.random.Generator) -> Act:
    """Let one person come near, seen from another picture than the enrolled one."""
    face = float(rng.uniform(96, 180))
    guest = Guest(person, int(rng.integers(1, PICTURES)), place_of(rng, face))
    motion = float(rng.uniform(0, face / 30))
    title = f"{called(person)} {LIGHTS[light]}, {METRE / face:.1f} m"
    return Act(Scene(light, (guest,), motion), title, expected_of(person))


def special_acts(known: Sequence[Composite], strangers: Sequence[Composite], rng: np.random.Generator) -> list[Act]:
    """Return what is no plain visit: nobody, two at once, bad pictures, a photograph held up."""
    first, second, third, fourth = (known[int(at)] for at in rng.permutation(len(known))[:4])
    alien = strangers[int(rng.integers(len(strangers)))]
    nobody, poor = Expectation(Reason.NO_FACE), Expectation(Reason.LOW_QUALITY)
    near = place_of(rng, 150)
    return [
        Act(Scene(Light.DAY), "nobody by day", nobody),
        Act(Scene(Light.INFRARED), "nobody in infrared", nobody),
        Act(Scene(Light.DAY, (Guest(first, 2, Place(560, 366, 27)),)), f"{called(first)}, face too small", poor),
        Act(Scene(Light.DAY, (Guest(second, 3, near),), blur=11.0), f"{called(second)}, out of focus", poor),
        Act(Scene(Light.DAY, (Guest(third, 1, near),)), "a JPEG that is cut off", Expectation(Reason.BAD_IMAGE), 0.6),
        pair(alien, third, Light.DAY),
        pair(second, alien, Light.DUSK),
        Act(
            Scene(Light.DAY, (Guest(fourth, 1, Place(560, 280, 150, 3), printed=True),)),
            f"a photograph of {called(fourth)} held up (no attack detection yet)",
            expected_of(fourth),
        ),
    ]


def pair(behind: Composite, front: Composite, light: Light) -> Act:
    """Let two come at once; the nearer one, whose face is larger, counts."""
    guests = (Guest(behind, 4, Place(330, 236, 92)), Guest(front, 5, Place(680, 280, 150)))
    return Act(Scene(light, guests), f"{called(front)} before {called(behind)} {LIGHTS[light]}", expected_of(front))
