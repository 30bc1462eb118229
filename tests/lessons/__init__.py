"""What went wrong elsewhere, one test for each: the defects that must never come back."""
