"""`python -m benchmarks`: every benchmark."""

import sys

from benchmarks import frame_predictor, kth, peers, residual, rotation, velocities

for benchmark in (frame_predictor, rotation, kth, velocities, residual, peers):
    benchmark.main(sys.argv[1:])  # options that all know: --device cuda
