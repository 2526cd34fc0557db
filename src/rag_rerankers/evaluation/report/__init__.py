"""Results for people and programs: tables, a page, JSON."""
