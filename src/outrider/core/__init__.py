"""Plain data: what the stages of Outrider hand to each other. Imports nothing but `errors`."""
