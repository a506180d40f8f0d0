"""What a drafter is, how it is found and how it is named. The drafters themselves are in `outrider.drafters`."""
