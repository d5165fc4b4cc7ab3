"""Stages sides and assign: which side of the split each document stands on."""
