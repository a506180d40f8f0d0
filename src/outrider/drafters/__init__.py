"""One file a drafter: the file's name is the drafter's. Nothing else lives here."""
