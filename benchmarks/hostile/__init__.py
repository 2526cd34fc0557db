"""Hostile input: what a server must survive, and how to see that it did."""
