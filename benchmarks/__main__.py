"""`python -m benchmarks`: every benchmark."""

from benchmarks.frame_predictor import main

main()
