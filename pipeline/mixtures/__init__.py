"""Stages mix and conflicts: labels, and how often each document is written."""
