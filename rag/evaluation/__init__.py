"""Labelled questions, what retrieval scores on them, and better settings found by them."""
