"""The checks, one file per notebook: ``nb12.py`` holds those of notebook 12."""
