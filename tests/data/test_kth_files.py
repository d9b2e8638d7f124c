"""KTH in a folder, in the cache, on the network, whole and damaged: the small KTH, end to end."""

import re
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from small_kth import LINES, LIST, SUBJECTS, video

from eqflow.data import DataError, kth, kth_files, kth_sample, load_actions, sources
from eqflow.data.kth import ACTIONS

DEAD = "http://127.0.0.1:9/"


def fill(folder, **changed):
    """Six archives and the list; `changed`: action -> what stands in the place of its archive."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00sequences.txt").write_bytes(LIST.encode())
    for action in ACTIONS:
        with zipfile.ZipFile(folder / f"{action}.zip", "w") as archive:
            for subject in SUBJECTS:
                archive.writestr(f"person{subject:02}_{action}_d1_uncomp.avi", video(action, subject))
        if action in changed:
            (folder / f"{action}.zip").write_bytes(changed[action])
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty machine: no EQFLOW_DATA, nothing in the cache, no site alive, the small KTH expected."""
    monkeypatch.setattr(kth, "KTH_COUNTS", (len(LINES), 2 * len(LINES)))
    monkeypatch.setattr(sources, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(kth_files, "KTH_URLS", (DEAD,))
    monkeypatch.delenv("EQFLOW_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "kth"


@pytest.fixture
def mine(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("EQFLOW_DATA", str(tmp_path / "mine"))
    return fill(tmp_path / "mine" / "kth")


def load(**options):
    return load_actions("real", size=8, progress=False, **options)


def failure(**options):
    with pytest.raises(DataError) as caught:
        load(**options)
    message = str(caught.value)
    assert "\n" not in message and (caught.value.__suppress_context__ or not caught.value.__context__)
    return message


def left_in(folder):
    return {p.name for p in folder.rglob("*") if p.is_file() and p.name != ".download.lock"}


def is_small_kth(actions):
    """Every clip shows its own action, subject and frames, and stands in its own split."""
    for clips, people in zip(
        (actions.train, actions.val, actions.test), ((1, 16), (17,), (21,)), strict=True
    ):
        assert set(clips.subjects.tolist()) == set(people) and len(clips.video) == 12 * len(people)
        assert clips.labels.bincount().tolist() == [2 * len(people)] * 6
        grey = clips.video.double() * 255
        right = 20 + 30 * clips.labels + clips.subjects
        assert (grey[..., 5:].mean(dim=(2, 3, 4)) - right[:, None]).abs().max() < 2
        # 36 frames: 5 to spare, so the clip begins 2 after frame 1; 37 frames: 6 to spare, 3 after frame 8.
        first = torch.tensor([3, 11]).repeat(len(clips.video) // 2)
        left = 40 + 4 * (first[:, None] + 2 * torch.arange(16) - 1)
        assert (grey[..., :3].mean(dim=(2, 3, 4)) - left).abs().max() < 2
    return True


# --- from a folder ---


def test_archives_in_eqflow_data(mine, cache):
    actions = load()
    assert is_small_kth(actions)
    assert actions.train.video.shape == (24, 16, 1, 8, 8) and actions.train.video.dtype == torch.float32
    assert actions.name == actions.label.lower() == "kth" and not actions.stand_in
    assert left_in(cache) == {"clips-8px-16frames-step2.npz"}


@pytest.mark.parametrize("subfolder", [True, False])
def test_extracted_videos_in_eqflow_data(mine, cache, subfolder):
    for action in ACTIONS:
        with zipfile.ZipFile(mine / f"{action}.zip") as archive:
            archive.extractall(mine / action if subfolder else mine)
        (mine / f"{action}.zip").unlink()
    assert is_small_kth(load())
    next(mine.rglob("person17_running_d1_uncomp.avi")).unlink()
    cache.joinpath("clips-8px-16frames-step2.npz").unlink()
    message = failure()
    assert "1 of 4 videos are missing, the first person17_running_d1" in message


def test_decoded_once_for_each_size_and_list(mine, cache):
    first = load()
    for action in ACTIONS:
        (mine / f"{action}.zip").unlink()
    again = load()
    assert torch.equal(first.train.video, again.train.video) and torch.equal(
        first.test.labels, again.test.labels
    )
    assert "cannot download" in failure(frames=15)
    (mine / "00sequences.txt").write_text(LIST.replace("1-36", "1-35"))
    assert "cannot download" in failure()  # other sequences: the old clips do not serve


def test_damaged_clips_are_made_again(mine, cache):
    load()
    path = cache / "clips-8px-16frames-step2.npz"
    whole = path.read_bytes()
    for content in (b"", b"junk", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert is_small_kth(load()) and path.read_bytes()[:2] == b"PK"


@pytest.mark.parametrize(
    "content, message",
    [(b"<html>", "walking.zip is not complete \\(File is not a zip file"), (b"", "File is not a zip")],
)
def test_a_wrong_archive_is_an_error_and_left_alone(mine, cache, content, message):
    path = mine / "walking.zip"
    path.write_bytes(content)
    assert re.search(message, failure())
    assert path.read_bytes() == content and left_in(cache.parent) == set()


def test_a_damaged_video_is_an_error_and_nothing_is_lost(mine, cache):
    load(frames=4)
    kept = left_in(cache)
    path = mine / "jogging.zip"
    whole = path.read_bytes()
    at = whole.index(video("jogging", 16)) + 5000
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    message = failure()
    assert message.startswith(f"cannot read {path}, person16_jogging_d1 (Bad CRC-32")
    assert left_in(cache) == kept


def test_a_video_without_its_frames(mine, cache):
    # The list ends 3 frames behind the video: that clip ends with the video.
    (mine / "00sequences.txt").write_text(LIST.replace("8-44", "8-47"))
    last = load(frames=37, step=1).train.video[1, -1, 0, :, :3].mean() * 255
    assert abs(last - (40 + 4 * 43)) < 2
    # A sequence of which most is not there is an error.
    (mine / "00sequences.txt").write_text(LIST.replace("8-44", "40-70"))
    message = failure()
    assert "walking.zip, person01_walking_d1: expected frames 40-70; got 44 frames" in message


def test_a_wrong_list(mine):
    (mine / "00sequences.txt").write_text("\n".join(LINES[1:]))
    assert "expected 24 videos and 48 sequences; got 23 and 46" in failure()


def test_unwritable_cache(mine, cache):
    cache.parent.write_bytes(b"a file in the folder's place")
    message = failure()
    assert message.startswith(f"cannot write {cache / 'clips-8px-16frames-step2.npz'} (")
    assert "make it writable" in message


@pytest.mark.parametrize("options", [{"frames": 0}, {"step": 0}])
def test_refused(cache, options):
    with pytest.raises(ValueError, match="size, frames and step >= 1; got 8, "):
        load(**options)


# --- from the network ---


@pytest.fixture
def site(tmp_path, monkeypatch):
    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.server.requested.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    folder = fill(tmp_path / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.requested, server.folder = [], folder
        monkeypatch.setattr(kth_files, "KTH_URLS", (DEAD, f"http://127.0.0.1:{server.server_port}/"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_download_once(cache, site):
    assert is_small_kth(load())
    expected = {"00sequences.txt", *(f"{a}.zip" for a in ACTIONS)}
    assert {p[1:] for p in site.requested} == expected and len(site.requested) == 7
    assert left_in(cache) == expected | {"clips-8px-16frames-step2.npz"}
    load(frames=5)
    assert len(site.requested) == 7


def test_a_damaged_archive_in_the_cache_is_fetched_again(cache, site):
    fill(cache, boxing=b"half")
    assert is_small_kth(load()) and site.requested == ["/boxing.zip"]


@pytest.mark.parametrize("manner", ["gone", "no archive", "one byte changed"])
def test_a_failed_download_keeps_what_was_whole(cache, site, manner):
    path = site.folder / "running.zip"
    whole = path.read_bytes()
    at = whole.index(video("running", 16)) + 5000
    changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    path.unlink() if manner == "gone" else path.write_bytes({"no archive": b"<html>"}.get(manner, changed))
    reason = {"gone": "HTTP 404", "no archive": "not a zip"}.get(
        manner, "person16_running_d1_uncomp.avi is damaged"
    )
    message = failure()
    first = f"{DEAD}running.zip: ConnectionError"
    assert message.startswith(f"cannot download {cache / 'running.zip'} ({first}; ")
    assert reason in message and "put the six KTH .zip files into a folder kth" in message
    assert left_in(cache) == {"00sequences.txt", "walking.zip", "jogging.zip"}
    assert site.requested.count("/running.zip") == kth_files.ATTEMPTS


def test_no_network(cache):
    only = f"{DEAD}00sequences.txt: ConnectionError"
    assert failure().startswith(f"cannot download {cache / '00sequences.txt'} ({only}): ")
    assert left_in(cache) == set()


# --- the sample ---


def test_no_sample(cache):
    assert kth_sample() is None
    with pytest.raises(ValueError, match="32 or 64; got 48"):
        kth_sample(48)
