"""Videos for a DataLoader: items by (seed, epoch, index) alone, whatever the workers; a naive set repeats.

Fixed sets, `video_set`, are tested with each kind of video.
"""

import copy
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from eqflow.data import VideoDataset, bouncing_digits, load_digits, rotating_digits, translating_digits

DIGITS = load_digits("embedded")


def made(size=12, frames=3, **options):
    return VideoDataset(DIGITS, size, frames, **options)


def passed(loader):
    """All videos and velocities of one pass."""
    videos, velocities = zip(*loader, strict=True)
    return torch.cat(videos), torch.cat(velocities)


def different(videos):
    return len(videos.flatten(1).unique(dim=0))


class Naive(Dataset):
    """The control: one generator, in the set's state; every worker gets a copy of it."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def __len__(self):
        return 12

    def __getitem__(self, index):
        draw = {"canvas": 16, "generator": self.generator}
        drawn = rotating_digits(DIGITS.train, 1, 3, **draw)
        return drawn.video[0], drawn.velocities[0]


OPTIONS = {
    "translating": {"max_speed": (3, 1)},
    "rotating": {"digits": 1},
    "bouncing": {"canvas": (16, 28), "vertical": True},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_workers_give_the_same_items_as_none_and_never_repeat(kind):
    videos = made(kind=kind, **OPTIONS[kind])
    alone = [passed(DataLoader(videos, batch_size=n)) for n in (1, 4)]
    workers = passed(DataLoader(videos, batch_size=4, num_workers=2))
    for one in (*alone, workers):
        for found, expected in zip(one, alone[0], strict=True):
            assert torch.equal(found, expected)
    assert different(workers[0]) == len(videos)
    assert workers[0].dtype == workers[1].dtype == torch.float32


def test_a_generator_in_the_sets_state_repeats():
    videos, _ = passed(DataLoader(Naive(), batch_size=2, num_workers=2))
    assert different(videos) == 6  # of 12: both workers drew the same
    assert not torch.equal(videos, passed(DataLoader(Naive(), batch_size=2))[0])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_that_stay_alive_follow_the_epoch(context):
    videos, reference, seen = made(kind="rotating", seed=3), made(kind="rotating", seed=3), []
    loader = DataLoader(
        videos, batch_size=3, num_workers=2, persistent_workers=True, multiprocessing_context=context
    )
    for epoch in (0, 1, 5):
        videos.set_epoch(epoch)
        reference.set_epoch(epoch)
        found, expected = passed(loader), passed(DataLoader(reference, batch_size=3))
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])
        seen.append(found[0])
    next(iter(loader))  # a pass that is left early draws ahead, in vain
    videos.set_epoch(1)
    assert torch.equal(passed(loader)[0], seen[1])
    assert different(torch.cat(seen)) == 3 * len(videos)
    assert reference.epoch == 5 and videos.epoch == 1


def test_shuffling_changes_the_order_alone():
    videos = made(kind="rotating")

    def shuffled(workers):
        order = torch.Generator().manual_seed(1)
        options = {"shuffle": True, "generator": order, "num_workers": workers}
        return passed(DataLoader(videos, batch_size=5, **options))[0]

    plain = passed(DataLoader(videos))[0]
    assert torch.equal(shuffled(0), shuffled(2)) and not torch.equal(shuffled(0), plain)
    assert torch.equal(shuffled(2).flatten(1).unique(dim=0), plain.flatten(1).unique(dim=0))


@pytest.mark.parametrize(
    "kind, draw",
    [("translating", translating_digits), ("rotating", rotating_digits), ("bouncing", bouncing_digits)],
)
def test_items_are_what_the_kind_draws(kind, draw):
    """From the state that the set gives to its item, seen by the way."""
    states, options = [], OPTIONS[kind]
    videos = made(kind=kind, split="test", **options)

    def watched(*arguments, generator, **rest):
        states.append(generator.initial_seed())
        return draw(*arguments, generator=generator, **rest)

    videos._draw = watched
    items = list(videos)
    assert len(items) == len(set(states)) == 12
    for (video, velocities), state in zip(items, states, strict=True):
        generator = torch.Generator().manual_seed(state)
        drawn = draw(DIGITS.test, 1, 3, **{"canvas": 16} | options, generator=generator)
        assert torch.equal(video, drawn.video[0]) and torch.equal(velocities, drawn.velocities[0].float())


def test_seed_and_epoch_decide_and_nothing_global():
    first = made()
    before = torch.random.get_rng_state()
    assert torch.equal(first[3][0], made()[3][0]) and torch.equal(first[-9][0], first[3][0])
    assert torch.equal(first[3][0], made(size=100)[3][0])  # nor the size
    assert not torch.equal(first[3][0], made(seed=1)[3][0])
    kept = first[3][0]
    first.set_epoch(1)
    assert not torch.equal(first[3][0], kept)
    assert torch.equal(before, torch.random.get_rng_state())


def test_neighbours_are_independent():
    """States that follow one another: velocities fill the grid, and one item says nothing of the next."""
    velocities = torch.stack([v[0] for _, v in made(size=4000, frames=1)]).double()  # (4000, 2)
    cells = ((velocities[:, 0] + 2) * 5 + velocities[:, 1] + 2).long().bincount(minlength=25)
    assert ((cells - 160).square() / 160).sum() < 52  # chi^2 of 24 degrees: exceeded once in 1,000
    both = torch.cat([velocities[:-1], velocities[1:]], 1).T
    assert (torch.corrcoef(both) - torch.eye(4)).abs().max() < 0.065  # sd .016


def test_copies_go_their_own_way():
    videos = made()
    for other in (copy.deepcopy(videos), pickle.loads(pickle.dumps(videos))):
        other.set_epoch(2)
        assert videos.epoch == 0 and other.epoch == 2
        assert torch.equal(passed(DataLoader(other, num_workers=1))[0], torch.stack([v for v, _ in other]))
        loader = DataLoader(other, num_workers=1, persistent_workers=True)
        passed(loader)
        other.set_epoch(3)
        assert torch.equal(passed(loader)[0], torch.stack([v for v, _ in other]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: made(size=0), r"a size from 1 to 2\^32; got 0"),
        (lambda: made(kind="still"), "kind 'translating' or 'rotating' or 'bouncing'; got 'still'"),
        (lambda: made(split="val"), "split 'train' or 'test'; got 'val'"),
        (lambda: made(digits=3), "digits=1 or 2; got 3"),
        (lambda: made(kind="bouncing"), "expected at least"),
        (lambda: made(velocities=(float("inf"), 0.0)), "integer velocities"),
        (lambda: made().set_epoch(-1), "an epoch >= 0; got -1"),
    ],
)
def test_errors_name_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_indices_end():
    with pytest.raises(IndexError):
        made()[12]
    assert len(made()) == 12 == len(list(made()))
