from datetime import UTC, datetime, timedelta

import pytest

from facegate.cameras.frigate import Frigate
from facegate.cameras.picture import jpeg_size
from facegate.cameras.sources import Sources, source_for
from facegate.errors import FacegateError, NotReadyError
from facegate.settings import CameraSection, FrigateSection, Settings
from tests.cameras.frigate_stand_in import EVENT, FRAME_TIME, frigate
from tests.fakes import StandingClock

NOON = datetime.fromtimestamp(FRAME_TIME + 1, UTC)


@pytest.fixture
def clock():
    return StandingClock(NOON)


@pytest.fixture(params=["0.14.1-f4f3cfa", "0.18.0-abc1234"])
def standing(request):
    with frigate(version=request.param) as server:
        yield server


def settings_for(standing, *, snapshot_url="", go2rtc_src="", **section):
    cameras = {"porch": CameraSection(snapshot_url=snapshot_url, go2rtc_src=go2rtc_src)}
    return Settings(frigate=FrigateSection(url=standing.url, **section), cameras=cameras)


def failure(source, event=EVENT, camera="porch"):
    with pytest.raises(FacegateError) as raised:
        source.pull(camera, event)
    return raised.value.what


def test_the_full_resolution_frame_comes_first_by_way_of_frigate_if_go2rtc_is_not_reachable(standing, clock):
    source = source_for("porch", settings_for(standing, go2rtc_src="porch_main"), clock)
    for _ in range(3):
        pulled = source.pull("porch", EVENT)
        assert (pulled.source, jpeg_size(pulled.picture)) == ("go2rtc", (2560, 1440))
        assert pulled.captured_at == NOON
    assert standing.asked == ["/api/go2rtc/api/frame.jpeg?src=porch_main"] * 3


def test_go2rtcs_own_url_is_asked_and_nothing_else(standing, clock):
    section = {"go2rtc_src": "porch_main", "go2rtc_url": f"{standing.url}/api/go2rtc/"}
    assert source_for("porch", settings_for(standing, **section), clock).pull("porch", None).source == "go2rtc"
    assert standing.asked == ["/api/go2rtc/api/frame.jpeg?src=porch_main"]


def test_an_empty_answer_between_key_frames_is_asked_for_once_more(standing, clock):
    section = {"go2rtc_src": "porch_main", "go2rtc_url": f"{standing.url}/api/go2rtc"}
    standing.empty_frames = 1
    assert source_for("porch", settings_for(standing, **section), clock).pull("porch", None).source == "go2rtc"
    standing.empty_frames = 2
    assert source_for("porch", settings_for(standing, **section), clock).pull("porch", None).source == "frigate"


def test_without_a_stream_the_latest_frame_comes_with_nothing_drawn_into_it(standing, clock):
    pulled = source_for("porch", settings_for(standing), clock).pull("porch", EVENT)
    assert (pulled.source, jpeg_size(pulled.picture)) == ("frigate", (1280, 720))
    assert b"boxes drawn" not in pulled.picture


def test_an_unknown_stream_leads_to_the_latest_frame_and_is_left_alone_for_a_while(standing, clock):
    source = source_for("porch", settings_for(standing, go2rtc_src="gone"), clock)
    assert source.pull("porch", EVENT).source == "frigate"
    asked = len(standing.asked)
    assert source.pull("porch", EVENT).source == "frigate"
    assert len(standing.asked) == asked + 1
    clock.pass_seconds(1)
    assert source.pull("porch", EVENT).source == "frigate"
    assert len(standing.asked) > asked + 2


def test_an_offline_camera_gives_neither_error_card_nor_preview_but_the_events_snapshot(standing, clock):
    standing.offline = True
    pulled = source_for("porch", settings_for(standing), clock).pull("porch", EVENT)
    assert pulled.source == "frigate_snapshot"
    assert b"boxes drawn" not in pulled.picture
    assert jpeg_size(pulled.picture) == (1280, 720)
    began = 1764158399.112233
    assert pulled.captured_at == datetime.fromtimestamp(FRAME_TIME if standing.newest else began, UTC)


def test_an_offline_camera_without_a_snapshot_says_why_each_source_failed(standing, clock):
    standing.offline, standing.snapshot_ready = True, False
    why = failure(source_for("porch", settings_for(standing), clock))
    assert "preview" in why
    assert "Snapshot not available" in why


def test_the_picture_of_an_old_event_never_passes_for_a_fresh_one(standing, clock):
    standing.offline = True
    clock.pass_seconds(3600)
    pulled = source_for("porch", settings_for(standing), clock).pull("porch", EVENT)
    assert (clock.now() - pulled.captured_at).total_seconds() > 3590


def test_a_frozen_camera_is_told_from_a_live_one(standing, clock):
    standing.frozen, standing.snapshot_ready = True, False
    source = source_for("porch", settings_for(standing), clock)
    source.pull("porch", EVENT)
    assert "the same picture again" in failure(source)


def test_an_event_that_is_none_of_frigates_enters_no_url(standing, clock):
    standing.offline = True
    for event in (None, "../../api/config", "ring-7", f"{EVENT}/../../x", f"{EVENT}\n"):
        failure(source_for("porch", settings_for(standing), clock), event)
    assert not any("events" in path for path in standing.asked)


def test_frigates_own_name_of_the_camera_is_used_however_it_is_written(clock):
    with frigate(camera="Porch") as standing:
        assert source_for("porch", settings_for(standing), clock).pull("porch", None).source == "frigate"
        mapped = settings_for(standing, cameras={"Porch": "front"})
        assert source_for("front", mapped, clock).pull("front", None).source == "frigate"
        assert "Camera not found" in failure(source_for("attic", settings_for(standing), clock), None, "attic")


def test_the_snapshot_url_is_the_last_resort_and_the_only_way_without_frigate(standing, clock):
    url = f"{standing.url}/api/porch/latest.jpg?bbox=0"
    alone = Settings(cameras={"porch": CameraSection(snapshot_url=url)})
    assert source_for("porch", alone, clock).pull("porch", None).source == "snapshot"
    standing.camera, elsewhere = "porch", settings_for(standing, snapshot_url=url, cameras={"Gone": "porch"})
    assert source_for("porch", elsewhere, clock).pull("porch", None).source == "snapshot"
    assert source_for("attic", alone, clock) is None


def test_a_login_is_made_once_and_again_when_the_session_ended(clock, tmp_path):
    (tmp_path / "password").write_text("a secret\n")
    section = {"username": "gate", "password_file": tmp_path / "password"}
    with frigate(login=("gate", "a secret")) as standing:
        source = source_for("porch", settings_for(standing, **section), clock)
        source.pull("porch", None)
        source.pull("porch", None)
        assert standing.logins == 1
        standing.sessions.clear()
        source.pull("porch", None)
        assert standing.logins == 2
        assert not any("origin" in headers for headers in standing.headers)


def test_a_refused_login_is_not_hammered_and_tells_no_secret(clock, tmp_path):
    (tmp_path / "password").write_text("a secret\n")
    section = {"username": "gate", "password_file": tmp_path / "password"}
    with frigate(login=("gate", "another")) as standing:
        source = source_for("porch", settings_for(standing, **section), clock)
        why = failure(source)
        assert "refuse" in why
        assert "a secret" not in why
        clock.pass_seconds(15)
        failure(source)
        assert standing.logins == 1
        clock.pass_seconds(30)
        failure(source)
        assert standing.logins == 2


def test_without_a_user_the_login_is_asked_for(clock):
    with frigate(login=("gate", "a secret")) as standing:
        assert "wants a login" in failure(source_for("porch", settings_for(standing), clock))


def test_the_version_is_told(standing, clock):
    assert Frigate(FrigateSection(url=standing.url), clock).version() == standing.version


def test_a_frigate_that_is_down_is_named_and_asked_less_and_less(clock):
    with frigate() as standing:
        settings = settings_for(standing)
    source = source_for("porch", settings, clock)
    assert "refused" in failure(source)
    with pytest.raises(NotReadyError):
        Frigate(settings.frigate, clock).version()


def test_every_camera_has_one_source_and_all_share_one_session(standing, clock):
    sources = Sources(settings_for(standing), clock)
    assert sources.source_for("porch") is sources.source_for("porch")
    sources.source_for("porch").pull("porch", None)
    with pytest.raises(FacegateError):
        sources.source_for("attic").pull("attic", None)
    assert sum(path == "/api/config" for path in standing.asked) == 1
    clock.pass_seconds(timedelta(minutes=6).total_seconds())
    sources.source_for("porch").pull("porch", None)
    assert sum(path == "/api/config" for path in standing.asked) == 2
