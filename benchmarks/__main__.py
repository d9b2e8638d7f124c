"""`python -m benchmarks`: every benchmark."""

from benchmarks import frame_predictor, kth, peers, residual, rotation, velocities

for benchmark in (frame_predictor, rotation, kth, velocities, residual, peers):
    benchmark.main([])
