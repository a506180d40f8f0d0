"""What bodies of requests look like, as pydantic models. Nothing of them goes further than `serve/reading`."""
