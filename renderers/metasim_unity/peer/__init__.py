"""A player without Unity, for tests, demonstrations, and work on the protocol."""
