"""`python -m benchmarks`: every benchmark."""

from benchmarks import frame_predictor, kth, rotation, velocities

for benchmark in (frame_predictor, rotation, kth, velocities):
    benchmark.main([])
