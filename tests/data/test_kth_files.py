"""KTH in a folder, in the cache, on the network, whole, cut off and damaged: the small KTH, end to end."""

import errno
import os
import re
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from small_kth import CUT, LINES, LIST, SHOWN, SUBJECTS, TRUNCATED, counted, pictures, png, truncated, video

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
        # 36 frames: 5 to spare, so the clip in the middle begins 2 after frame 1; 37: 6, 3 after frame 8.
        first = torch.tensor([3, 11]).repeat(len(clips.video) // 2)
        left = 40 + 4 * (first[:, None] + 2 * torch.arange(16) - 1)
        assert (grey[..., :3].mean(dim=(2, 3, 4)) - left).abs().max() < 2
        assert clips.length.tolist() == [36, 37] * (len(clips) // 2)
    return True


# --- from a folder ---


def test_archives_in_eqflow_data(mine, cache):
    actions = load()
    assert is_small_kth(actions)
    assert actions.train.video.shape == (24, 16, 1, 8, 8) and actions.train.video.dtype == torch.float32
    assert actions.name == actions.label.lower() == "kth" and not actions.stand_in
    assert left_in(cache) == {"frames-8px.npz"}


@pytest.mark.parametrize("subfolder", [True, False])
def as_archives(folder):
    pass


def as_videos(folder):
    for action in ACTIONS:
        with zipfile.ZipFile(folder / f"{action}.zip") as archive:
            archive.extractall(folder / action)


def as_pictures(folder):
    """A folder of pictures for each video, named as tools do, beside a file that is none."""
    for action in ACTIONS:
        for subject in SUBJECTS:
            name = f"person{subject:02}_{action}_d1" + ("_uncomp" if subject == 16 else "")
            (folder / action / name).mkdir(parents=True)
            (folder / action / name / "Thumbs.db").write_bytes(b"")
            for n, picture in enumerate(pictures(action, subject)):
                number = f"{n:03}" if subject < 17 else n + 1
                (folder / action / name / f"frame{number}.png").write_bytes(png(picture))


@pytest.mark.parametrize("subfolder", [True, False])
@pytest.mark.parametrize("extract", [as_videos, as_pictures])
def test_extracted_videos_in_eqflow_data(mine, cache, extract, subfolder):
    extract(mine)
    for action in ACTIONS:
        (mine / f"{action}.zip").unlink()
        if not subfolder:
            for video in list((mine / action).iterdir()):
                video.rename(mine / video.name)
            (mine / action).rmdir()
    assert is_small_kth(load())
    first = next(p for p in sorted(mine.rglob("person17_running_d1*")))
    first.rename(first.parent / "elsewhere")
    (cache / "frames-8px.npz").unlink()
    assert "1 of 4 videos are missing, the first person17_running_d1" in failure()


def test_pictures_with_a_gap(mine):
    as_pictures(mine)
    for action in ACTIONS:
        (mine / f"{action}.zip").unlink()
    folder = mine / "jogging" / "person16_jogging_d1_uncomp"
    (folder / "frame012.png").unlink()
    assert failure().startswith(
        f"{folder}: expected a picture for every frame; got frame013.png after frame011.png"
    )


def test_pictures_that_end_too_early(mine):
    """Half a sequence would do for a video, whose header has been compared with its frames."""
    as_pictures(mine)
    for action in ACTIONS:
        (mine / f"{action}.zip").unlink()
    for n in range(40, 44):
        (mine / "jogging" / "person16_jogging_d1_uncomp" / f"frame{n:03}.png").unlink()
    assert "person16_jogging_d1: expected frames 8-44; got 40 frames: replace it" in failure()


@pytest.mark.parametrize("inside", [0.0, 0.5])
def test_the_truncated_video_of_the_official_archive(mine, cache, monkeypatch, inside):
    """Listed and declared with 370 frames, it ends after 304: four sequences all the same, and no others."""

    def put(name, content):
        lines = [*LINES, f"{name}\t\tframes\t{CUT}"]
        monkeypatch.setattr(kth, "KTH_COUNTS", (len(lines), 2 * len(LINES) + 4))
        (mine / "00sequences.txt").write_text("\n".join(lines))
        with zipfile.ZipFile(mine / "boxing.zip", "a") as archive:
            archive.writestr(f"{name}_uncomp.avi", content)

    put(TRUNCATED, truncated(SHOWN, inside))
    actions = load()
    assert sum(len(c) for c in (actions.train, actions.val, actions.test)) == 2 * len(LINES) + 4
    clips = actions.train
    assert clips.length[-4:].tolist() == [106, 64, 75, 59]  # 246-304
    assert clips.labels[-4:].tolist() == [3] * 4 and clips.subjects[-4:].tolist() == [1] * 4
    for first, length, begin in zip(clips.first[-4:], clips.length[-4:], (1, 107, 171, 246), strict=True):
        left = clips.frames[first : first + length, 0, 2:6, 1:3].double().mean((1, 2)).numpy()
        assert np.abs(left - counted(370)[begin - 1 : begin - 1 + length, 0, 0]).max() < 3

    fill(mine)
    put("person16_boxing_d4", truncated(SHOWN, inside))  # as short, but not the one that is known
    assert failure().startswith(f"cannot decode {mine / 'boxing.zip'}, person16_boxing_d4 (")
    fill(mine)
    (cache / "frames-8px.npz").unlink()  # the list is that of the first time
    put(TRUNCATED, truncated(SHOWN - 1, inside))
    assert failure().startswith(f"cannot decode {mine / 'boxing.zip'}, {TRUNCATED} (")


def test_sequences_too_short_for_a_clip_are_left_out(mine):
    """36 and 37 frames; published: a clip needs frames * step of them."""
    counts = {(18, 2): 48, (36, 1): 48, (37, 1): 24, (9, 4): 48, (38, 1): 0}
    for (frames, step), count in counts.items():
        actions = load(frames=frames, step=step)
        assert sum(len(c) for c in (actions.train, actions.val, actions.test)) == count


def test_decoded_once_for_each_size_and_list(mine, cache):
    first = load()
    for action in ACTIONS:
        (mine / f"{action}.zip").unlink()
    again = load()
    assert torch.equal(first.train.video, again.train.video) and torch.equal(
        first.test.labels, again.test.labels
    )
    assert load(frames=5, step=3).train.video.shape == (24, 5, 1, 8, 8)  # any clips are cut from the same
    with pytest.raises(DataError, match="cannot download"):
        load_actions("real", size=9, progress=False)
    (mine / "00sequences.txt").write_text(LIST.replace("1-36", "1-35"))
    assert "cannot download" in failure()  # other sequences: the old frames do not serve


def test_damaged_frames_are_made_again(mine, cache):
    load()
    path = cache / "frames-8px.npz"
    whole = path.read_bytes()
    with np.load(path) as file:
        kept = dict(file)
    at = whole.index(kept["frames"].tobytes()) + kept["frames"].nbytes // 2
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for content in (b"", b"junk", whole[: len(whole) // 2], flipped):
        path.write_bytes(content)
        assert is_small_kth(load()) and path.read_bytes() == whole
    # Sound as an archive, and under the right key: only the contents tell.
    np.savez(path, **kept | {"frames": 255 - kept["frames"]})
    assert is_small_kth(load())


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
    load_actions("real", size=4, progress=False)
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
    clips = load(frames=36, step=1).train
    assert clips.length.tolist() == [36, 37] * 12
    last = clips.frames[clips.first[1] + 36, 0, :, :3].double().mean()
    assert abs(last - (40 + 4 * 43)) < 2
    # A sequence of which most is not there is an error.
    (mine / "00sequences.txt").write_text(LIST.replace("8-44", "40-70"))
    message = failure()
    assert "walking.zip, person01_walking_d1: expected frames 40-70; got 44 frames" in message


def test_a_wrong_list(mine):
    (mine / "00sequences.txt").write_text("\n".join(LINES[1:]))
    assert "expected 24 videos and 48 sequences; got 23 and 46" in failure()


@pytest.mark.parametrize("closed", [".", "kth", "kth/boxing"])
@pytest.mark.parametrize("extract", [as_archives, as_videos])
def test_a_folder_that_must_not_be_searched(mine, monkeypatch, closed, extract):
    """One line; root, who may search every folder, is refused here as others are."""
    extract(mine)
    closed = (mine.parent / closed).resolve()
    stat, listed = Path.stat, os.listdir

    def refuse(path, *arguments, **options):
        if closed in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    def refuse_to_list(path):
        if closed in (Path(path), *Path(path).parents):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(os, "listdir", refuse_to_list)
    for action in ACTIONS:
        if extract is as_videos and closed.name != "mine":
            os.unlink(mine / f"{action}.zip")
    if extract is as_archives and closed.name == "boxing":  # there is no such folder
        assert is_small_kth(load())
        return
    message = failure()
    assert re.match(f"cannot look (for|into) {closed}.* \\(Permission denied\\): make ", message)
    assert "searchable" in message


def test_unwritable_cache(mine, cache):
    cache.parent.write_bytes(b"a file in the folder's place")
    message = failure()
    assert message.startswith(f"cannot write {cache / 'frames-8px.npz'} (")
    assert "make it writable" in message


@pytest.mark.parametrize("options", [{"frames": 0}, {"step": 0}])
def test_refused(cache, options):
    with pytest.raises(ValueError, match="frames and step >= 1; got "):
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
    assert left_in(cache) == expected | {"frames-8px.npz"}
    load(frames=5)
    assert len(site.requested) == 7
    # An archive in the cache whose list of contents is whole, and one video not: fetched again.
    path = cache / "jogging.zip"
    whole = path.read_bytes()
    at = whole.index(video("jogging", 16)) + 5000
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    (cache / "frames-8px.npz").unlink()
    assert is_small_kth(load()) and site.requested[7:] == ["/jogging.zip"] and path.read_bytes() == whole


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
    assert reason in message and "put the six KTH .zip files and 00sequences.txt into a folder kth" in message
    assert left_in(cache) == {"00sequences.txt", "walking.zip", "jogging.zip"}
    assert site.requested.count("/running.zip") == kth_files.ATTEMPTS


def test_no_network(cache):
    only = f"{DEAD}00sequences.txt: ConnectionError"
    assert failure().startswith(f"cannot download {cache / '00sequences.txt'} ({only}): ")
    assert left_in(cache) == set()


# --- the sample ---


@pytest.mark.skipif(os.geteuid() == 0, reason="root may search every folder")
def test_a_folder_without_its_permissions(mine):
    mine.chmod(0)
    try:
        assert failure().startswith(f"cannot look for {mine / '00sequences.txt'} (Permission denied): make ")
    finally:
        mine.chmod(0o700)


def test_no_sample(cache):
    assert kth_sample() is None
    with pytest.raises(ValueError, match="32 or 64; got 48"):
        kth_sample(48)
