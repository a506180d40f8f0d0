"""One file for each group of routes; `app.py` includes them."""
