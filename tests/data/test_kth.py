"""From KTH's list and videos to clips; the real list and clips where they are."""

import os

import numpy as np
import pytest
import torch
from small_kth import LENGTH, LIST, SHOWN, TRUNCATED, counted, pictures, png, truncated, video

from eqflow.data import DataError, data_dir, kth, kth_sample
from eqflow.data.kth import ACTIONS, Sequence, parse_sequences
from eqflow.data.kth_frames import decode_grey, in_order, shrink


def test_list_of_sequences():
    sequences = parse_sequences(LIST)
    assert len(sequences) == 48
    assert sequences[:2] == [
        Sequence("person01_walking_d1", "walking", 1, 1, 36),
        Sequence("person01_walking_d1", "walking", 1, 8, 44),
    ]
    assert parse_sequences("") == []
    assert parse_sequences(" person02_boxing_d4 frames 01-9,10-12, \n") == [
        Sequence("person02_boxing_d4", "boxing", 2, 1, 9),
        Sequence("person02_boxing_d4", "boxing", 2, 10, 12),
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("person01_boxing_d1 frames 1-95; 96-185", "expected 'frames 1-95, ...'; got 'person01"),
        ("person01_boxing_d1 frames", "expected 'frames 1-95, ...'"),
        ("person01_skating_d1 frames 1-95", "expected 'frames 1-95, ...'"),
        ("person99_boxing_d1 frames 1-95", "a subject of 1 to 25; got 99"),
        ("person00_boxing_d1 frames 1-95", "a subject of 1 to 25; got 0"),
        ("person01_boxing_d1 frames 95-1", "1 <= first <= last; got 95-1"),
        ("person01_boxing_d1 frames 0-9", "1 <= first <= last; got 0-9"),
    ],
)
def test_list_of_sequences_refuses(line, message):
    with pytest.raises(DataError, match=f"00sequences.txt, line 2: .*{message}"):
        parse_sequences("\n" + line)


def test_shrinking_averages_areas():
    """160x120 to 32x32: five columns are whole, 3.75 rows are not; against weights of one axis each."""
    picture = np.random.default_rng(0).integers(0, 256, (2, 120, 160), np.uint8)
    assert np.array_equal(shrink(picture, 40), picture.reshape(2, 40, 3, 40, 4).mean((2, 4)).round())
    # 120 rows onto 32: cell i holds the rows that it touches, floor(3.75 i) ... ceil(3.75 (i + 1)) - 1.
    rows = [picture[:, i * 120 // 32 : -(-(i + 1) * 120 // 32)].mean(1) for i in range(32)]
    expected = np.stack(rows, 1).reshape(2, 32, 32, 5).mean(-1)
    assert np.abs(shrink(picture, 32) - expected).max() <= 0.5
    assert np.array_equal(shrink(picture[:, :32, :32], 32), picture[:, :32, :32])


def test_decoding():
    decoded = np.stack(decode_grey(video("boxing", 16), "x"))
    assert decoded.shape == (LENGTH, 24, 32) and decoded.dtype == np.uint8
    gap = np.abs(decoded[:, :, [3, 12, 20, 28]] - pictures("boxing", 16)[:, :, [3, 12, 20, 28]].astype(float))
    assert gap.mean() < 1 and gap.max() < 4


@pytest.mark.parametrize("part, message", [(0, "Invalid data"), (0.3, ""), (0.8, "of 44 frames")])
def test_decoding_refuses_what_is_cut(part, message):
    whole = video("boxing", 1)
    with pytest.raises(DataError, match=f"^cannot decode here .*{message}.*official file"):
        decode_grey(whole[: int(part * len(whole))], "here")


@pytest.mark.parametrize("inside", [0.0, 0.1, 0.5])
def test_the_video_that_is_known_to_be_cut_off(inside):
    """Its 304 frames are taken, and no other video's: not another name, not one frame less."""
    decoded = np.stack(decode_grey(truncated(SHOWN, inside), "here", TRUNCATED))
    assert SHOWN <= len(decoded) <= SHOWN + 1
    assert np.abs(decoded[:SHOWN, 4:20, 4:12].mean((1, 2)) - counted(SHOWN)[:, 0, 0]).max() < 3
    with pytest.raises(DataError, match=r"^cannot decode here .*official file"):
        decode_grey(truncated(SHOWN, inside), "here", "person02_boxing_d4")
    with pytest.raises(DataError, match=r"^cannot decode here .*official file"):
        decode_grey(truncated(SHOWN - 1, inside), "here", TRUNCATED)


def test_pictures_are_decoded_exactly():
    frames = np.random.default_rng(0).integers(0, 256, (3, 24, 32), np.uint8)
    assert np.array_equal(decode_grey([png(x) for x in frames], "x"), frames)
    with pytest.raises(DataError, match=r"^cannot decode here .*official file"):
        decode_grey([png(frames[0]), b"junk"], "here")
    with pytest.raises(DataError, match=r"^cannot decode here .0 of 0 frames"):
        decode_grey([], "here")


def test_pictures_are_counted_as_people_count():
    assert in_order(["f10.png", "f9.png", "f11.png"], "x") == ["f9.png", "f10.png", "f11.png"]
    names = [f"image-{n:03}_64x64.png" for n in range(995, 1003)]
    assert in_order(sorted(names), "x") == names != sorted(names)
    assert in_order([], "x") == []


@pytest.mark.parametrize(
    "names, found",
    [
        (["f1.png", "f3.png"], "f3.png after f1.png"),
        (["f1.png", "f01.png"], "after"),
        (["f1.png", "f2.png", "poster.png"], "poster.png after f2.png"),
        (["f1.png", "f2.jpg"], "f2.jpg after f1.png"),
        (["a.png", "b.png"], "b.png after a.png"),
    ],
)
def test_pictures_that_do_not_count_one_by_one(names, found):
    with pytest.raises(DataError, match=f"^here: expected a picture for every frame; got .*{found}"):
        in_order(names, "here")


# --- the real list and clips, where they are ---


def real(name):
    path = data_dir() / "kth" / name
    if not os.environ.get("EQFLOW_DATA") or not path.exists():
        pytest.skip(f"no kth/{name} in EQFLOW_DATA")
    return path


def test_real_list():
    text = real("00sequences.txt").read_text()
    sequences = parse_sequences(text)
    assert (len({s.video for s in sequences}), len(sequences)) == kth.KTH_COUNTS == (599, 2391)
    assert {s.subject for s in sequences} == set(range(1, 26)) and {s.action for s in sequences} == set(
        ACTIONS
    )
    assert "person13_handclapping_d3" in text and "person13_handclapping_d3" not in {
        s.video for s in sequences
    }
    assert sum(s.last - s.first + 1 < 32 for s in sequences) == 21
    cut = [(s.first, s.last) for s in sequences if s.video == TRUNCATED]
    assert cut == [(1, 106), (107, 170), (171, 245), (246, 370)]
    people = np.array([s.subject for s in sequences])
    assert [int(((people > a) & (people <= b)).sum()) for a, b in ((0, 16), (16, 20), (20, 25))] == [
        1528,
        384,
        479,
    ]
    people = people[[s.last - s.first + 1 >= 32 for s in sequences]]
    assert [int(((people > a) & (people <= b)).sum()) for a, b in ((0, 16), (16, 20), (20, 25))] == [
        1517,
        380,
        473,
    ]
    # With a paragraph before it, as in the official file.
    header = "KTH human motion\n---\nFiles are named person15_walking_d1_uncomp.avi; frames count from 1.\n"
    assert parse_sequences(header + text) == sequences


def test_real_sample():
    real("kth_savp_gt.npz")
    for size in (64, 32):
        clips, actions = kth_sample(size)
        assert clips.shape == (6, 40, 1, size, size) and clips.dtype == torch.float32
        assert 0 <= clips.min() < clips.max() <= 1 and len(actions) == 6 and set(actions) <= set(ACTIONS)
