"""From KTH's list and videos to clips; the real list and clips where they are."""

import os

import numpy as np
import pytest
import torch
from small_kth import LENGTH, LIST, pictures, video

from eqflow.data import DataError, data_dir, kth, kth_sample
from eqflow.data.kth import ACTIONS, Sequence, clip_frames, decode_grey, parse_sequences, shrink


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
        ("person01_boxing_d1 frames 95-1", "1 <= first <= last; got 95-1"),
        ("person01_boxing_d1 frames 0-9", "1 <= first <= last; got 0-9"),
    ],
)
def test_list_of_sequences_refuses(line, message):
    with pytest.raises(DataError, match=f"00sequences.txt, line 2: .*{message}"):
        parse_sequences("\n" + line)


def test_clips_lie_in_the_middle_and_short_ones_repeat_the_last_frame():
    assert clip_frames(1, 31, 16, 2).tolist() == list(range(1, 32, 2))
    assert clip_frames(101, 141, 16, 2).tolist() == list(range(106, 137, 2))
    assert clip_frames(5, 10, 4, 2).tolist() == [5, 7, 9, 10]
    assert clip_frames(5, 5, 3, 1).tolist() == [5, 5, 5]


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
    assert sum(s.last - s.first < 30 for s in sequences) == 11
    people = np.array([s.subject for s in sequences])
    assert [int(((people > a) & (people <= b)).sum()) for a, b in ((0, 16), (16, 20), (20, 25))] == [
        1528,
        384,
        479,
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
