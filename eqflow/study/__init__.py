"""From a run to a verdict: `runs`, `experiments`, `verdicts`, `notebooks`; the commands are in `__main__`."""
