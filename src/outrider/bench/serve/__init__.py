"""Load on a server that speaks OpenAI's interface: what it answers per second, and how long a caller waits."""
