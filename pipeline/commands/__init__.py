"""What the commands do besides a run: look ahead, look back, prove, try again."""
