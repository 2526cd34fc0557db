"""Reference scores, computed without any code of the package under test."""
