"""Stages deal and publish, and what a finished corpus says of itself."""
